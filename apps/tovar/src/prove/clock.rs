//! Clocks that are wrong.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

const SOURCE: &str = include_str!("clock.c");

/// How far a process's clock is off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    Right,
    HourAhead,
    HourBehind,
}

/// A library that is loaded into a program and changes its clock.
pub struct WrongClocks {
    library: PathBuf,
}

impl WrongClocks {
    /// Compiles the library in `folder`.
    pub fn build(folder: &Path) -> anyhow::Result<Self> {
        let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
        fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl");
        let output = compiler
            .output()
            .context("there is no C compiler named cc")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{} cannot be compiled: {said}",
            source.display()
        );
        Ok(Self { library })
    }

    /// The environment of a process with this clock.
    pub fn environment(&self, clock: Clock) -> Vec<(&'static str, OsString)> {
        let off = match clock {
            Clock::Right => return Vec::new(),
            Clock::HourAhead => "3600",
            Clock::HourBehind => "-3600",
        };
        vec![
            ("LD_PRELOAD", self.library.clone().into()),
            ("CLOCK_OFF", off.into()),
        ]
    }
}
