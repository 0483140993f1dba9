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

use super::cleanup::Cleanup;

/// More than a run writes.
const SIZE_BYTES: u64 = 8 << 30;
/// Less than a page of PostgreSQL, so that nothing more can be written.
const MARGIN_BYTES: u64 = 4 << 10;
/// Bounds the attempts to fill it: something may be written between reading its use and setting the
/// limit.
const FILL_ATTEMPTS_MAX: u32 = 100;

/// A disk in memory (tmpfs). Only root can mount one.
pub struct Disk {
    folder: PathBuf,
    _unmount: Cleanup,
}

impl Disk {
    /// Mounts a disk at a new folder.
    pub fn at(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        limit(folder, SIZE_BYTES, MsFlags::empty())
            .with_context(|| format!("no disk can be mounted at {}", folder.display()))?;
        // Lazily, as servers that still stop have files open.
        let unmount = Cleanup::run("umount --lazy \"$1\"", folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            folder: folder.to_owned(),
            _unmount: unmount,
        })
    }

    /// Limits the disk to what is used.
    pub fn fill(&self) -> anyhow::Result<()> {
        let limit_to_use = || {
            let found = statvfs(&self.folder)?;
            let used = (found.blocks() - found.blocks_free()) * found.fragment_size();
            limit(&self.folder, used + MARGIN_BYTES, MsFlags::MS_REMOUNT)
        };
        let mut attempts = (0..FILL_ATTEMPTS_MAX).map(|_| limit_to_use());
        ensure!(
            attempts.any(|done| done.is_ok()),
            "the disk cannot be filled"
        );
        Ok(())
    }

    /// Copies all that is on it to a folder with the ending `kept`.
    pub fn keep(&self) -> anyhow::Result<()> {
        let copy = self.folder.with_extension("kept");
        let mut cp = Command::new("cp");
        cp.arg("--archive").arg(&self.folder).arg(&copy);
        ensure!(cp.status()?.success(), "{} is not complete", copy.display());
        Ok(())
    }

    pub fn make_room(&self) -> anyhow::Result<()> {
        limit(&self.folder, SIZE_BYTES, MsFlags::MS_REMOUNT)
            .context("the disk cannot be made larger")
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
