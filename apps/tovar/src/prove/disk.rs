//! A disk that can be full.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use nix::{
    mount::{MsFlags, mount},
    sys::statvfs::statvfs,
};

use super::afterwards::Afterwards;

/// More than a run writes.
const SIZE: u64 = 8 << 30;
/// Less than a page of PostgreSQL's.
const MARGIN: u64 = 4 << 10;
/// Something may be written between the look at what is used and the limit to it.
const ATTEMPTS: u32 = 100;

/// A disk in memory (tmpfs). Only root can have one.
pub struct Disk {
    folder: PathBuf,
    _unmount: Afterwards,
}

impl Disk {
    /// At a new folder.
    pub fn at(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        limit(folder, SIZE, MsFlags::empty())
            .with_context(|| format!("no disk can be mounted at {}", folder.display()))?;
        // Servers that are still about to end keep what they have open.
        let unmount = Afterwards::run("umount --lazy \"$1\"", folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            folder: folder.to_owned(),
            _unmount: unmount,
        })
    }

    /// Leaves no room for anything further.
    pub fn fill(&self) -> anyhow::Result<()> {
        let limit_to_use = || {
            let found = statvfs(&self.folder)?;
            let used = (found.blocks() - found.blocks_free()) * found.fragment_size();
            limit(&self.folder, used + MARGIN, MsFlags::MS_REMOUNT)
        };
        let mut attempts = (0..ATTEMPTS).map(|_| limit_to_use());
        ensure!(
            attempts.any(|done| done.is_ok()),
            "the disk cannot be filled"
        );
        Ok(())
    }

    /// Copies all that is on it to a folder beside it.
    pub fn keep(&self) -> anyhow::Result<()> {
        let copy = self.folder.with_extension("kept");
        let mut cp = Command::new("cp");
        cp.arg("--archive").arg(&self.folder).arg(&copy);
        ensure!(cp.status()?.success(), "{} is not complete", copy.display());
        Ok(())
    }

    pub fn make_room(&self) -> anyhow::Result<()> {
        limit(&self.folder, SIZE, MsFlags::MS_REMOUNT).context("the disk cannot be made larger")
    }
}

fn limit(folder: &Path, size: u64, flags: MsFlags) -> nix::Result<()> {
    let options = format!("size={size}");
    mount(
        Some("prove"),
        folder,
        Some("tmpfs"),
        flags,
        Some(options.as_str()),
    )
}
