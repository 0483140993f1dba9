//! Takes the two files that an API page needs out of the packaged Swagger UI, which has 11 MB as a
//! whole.

use std::{env, error::Error, fs::File, io, path::Path};

use flate2::{Compression, write::GzEncoder};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

const FILES: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    // As in the packages whose only build script is libs/db/watch-migrations.rs.
    println!("cargo:rerun-if-changed=migrations");
    let out = env::var("OUT_DIR")?;
    let mut archive = ZipArchive::new(io::Cursor::new(SWAGGER_UI_VENDORED))?;
    for name in FILES {
        let path = archive
            .file_names()
            .find(|path| path.ends_with(&format!("/dist/{name}")) && !path.contains("/flavors/"))
            .ok_or_else(|| format!("Swagger UI has no dist/{name}"))?
            .to_owned();
        let packed = File::create(Path::new(&out).join(format!("{name}.gz")))?;
        let mut packed = GzEncoder::new(packed, Compression::best());
        io::copy(&mut archive.by_name(&path)?, &mut packed)?;
        packed.finish()?;
    }
    Ok(())
}
