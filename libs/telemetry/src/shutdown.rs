use std::io;

use tokio::{
    io::AsyncReadExt,
    signal::unix::{Signal, SignalKind, signal},
};

#[derive(Clone, Debug, Default, clap::Args)]
pub struct ShutdownSettings {
    /// Also stop when standard input ends: for a process that must not outlive the one that started it
    #[arg(long, env = "STOP_AT_EOF")]
    pub stop_at_eof: bool,
}

/// The wish that this process end: SIGTERM, SIGINT, or the end of standard input.
pub struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
    stop_at_eof: bool,
}

impl Shutdown {
    /// From now on the signals are kept for [`Shutdown::wished`].
    pub fn listen(settings: &ShutdownSettings) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            stop_at_eof: settings.stop_at_eof,
        })
    }

    pub async fn wished(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = end_of_input(), if self.stop_at_eof => {}
        }
    }
}

async fn end_of_input() {
    let mut input = tokio::io::stdin();
    let mut ignored = [0; 64];
    while matches!(input.read(&mut ignored).await, Ok(read) if read > 0) {}
}
