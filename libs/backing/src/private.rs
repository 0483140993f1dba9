//! Files and folders that other users cannot read, from the moment of their creation, and that are
//! never opened through a link.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use anyhow::Context;
use nix::fcntl::OFlag;

/// Only its owner reads and writes it.
const FILE: u32 = 0o600;
/// Only its owner enters it.
const FOLDER: u32 = 0o700;

/// Creates a folder that only its owner enters, and the folders above it with the usual rights. A
/// folder that exists is left as it is.
pub fn folder(path: &Path) -> anyhow::Result<()> {
    let make = || -> io::Result<()> {
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        match new_folder(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made,
        }
    };
    make().with_context(|| format!("cannot make {}", path.display()))
}

/// Creates a folder that only its owner enters; an error if a file or folder has its name.
pub fn new_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(FOLDER).create(path)
}

/// Writes a file that only its owner may read. After a crash the file is complete or unchanged.
pub fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    let write = || -> io::Result<()> {
        // A draft of a process that was killed, which others may be able to read.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE)
            .open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Opens a log to append to. Other users cannot read it, also if it existed before.
pub fn log(path: &Path) -> anyhow::Result<File> {
    let open = || -> io::Result<File> {
        let file = not_by_a_link().create(true).append(true).open(path)?;
        file.set_permissions(Permissions::from_mode(FILE))?;
        Ok(file)
    };
    open().with_context(|| format!("cannot write the log {}", path.display()))
}

/// Opens a file to read and write, and creates it if there is none.
pub fn open(path: &Path) -> io::Result<File> {
    not_by_a_link()
        .read(true)
        .write(true)
        .create(true)
        .open(path)
}

fn not_by_a_link() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE).custom_flags(OFlag::O_NOFOLLOW.bits());
    options
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_made_is_closed_to_others() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("above/data");
        folder(&data).unwrap();
        folder(&data).unwrap();
        let secret = data.join("secrets.json");
        // A process that was killed left this.
        fs::write(data.join("secrets.new"), "").unwrap();
        fs::set_permissions(data.join("secrets.new"), Permissions::from_mode(0o666)).unwrap();
        write(&secret, b"one").unwrap();
        write(&secret, b"two").unwrap();
        assert_eq!(fs::read(&secret).unwrap(), b"two");
        let old = data.join("old.log");
        fs::write(&old, "before\n").unwrap();
        fs::set_permissions(&old, Permissions::from_mode(0o644)).unwrap();
        writeln!(log(&old).unwrap(), "after").unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), "before\nafter\n");
        drop(open(&data.join("lock")).unwrap());
        assert_eq!(mode(&data), 0o700);
        for file in [secret, old, data.join("lock")] {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    }

    #[test]
    fn a_link_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let (target, link) = (home.path().join("of another"), home.path().join("link"));
        fs::write(&target, "kept").unwrap();
        symlink(&target, &link).unwrap();
        log(&link).unwrap_err();
        open(&link).unwrap_err();
        new_folder(&link).unwrap_err();
        // A link is replaced, and its target stays.
        write(&link, b"mine").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"kept");
        assert_eq!(fs::read(&link).unwrap(), b"mine");
    }
}
