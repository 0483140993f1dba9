use std::process::{Child, Command, Stdio};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::store::Store;

/// A relay in a process of its own; killed when this is dropped.
pub struct Process(Child);

impl Process {
    pub fn start(store: &Store) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_outbox-relay"))
            .env("DATABASE_URL", &store.url)
            .env("KAFKA_BROKERS", &store.brokers)
            .env("KAFKA_PREFIX", &store.prefix)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
