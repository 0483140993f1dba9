//! The build script of every package that embeds migrations: `embed_migrations!` does not see that
//! a folder was added.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
