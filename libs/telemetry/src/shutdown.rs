use std::io::{self, Read};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

#[derive(Clone, Debug, Default, clap::Args)]
pub struct ShutdownSettings {
    /// Also stop when standard input ends: for a process that must not outlive the one that started
    /// it
    #[arg(long, env = "STOP_AT_EOF")]
    pub stop_at_eof: bool,
}

/// Receives the request that this process end: SIGTERM, SIGINT, or the end of standard input.
pub struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
    /// Its other end is dropped when standard input ends.
    input: Option<oneshot::Receiver<()>>,
}

impl Shutdown {
    /// Keeps the signals from now on for [`Shutdown::requested`].
    pub fn listen(settings: &ShutdownSettings) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            input: settings.stop_at_eof.then(watch_input),
        })
    }

    /// Waits until the process should end.
    pub async fn requested(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = ended(&mut self.input) => {}
        }
    }
}

async fn ended(input: &mut Option<oneshot::Receiver<()>>) {
    match input {
        // Only an error can come: the other end was dropped.
        Some(open) => drop(open.await),
        None => std::future::pending().await,
    }
}

/// Reads standard input on a thread of its own, because a runtime would wait for the read before it
/// ends.
fn watch_input() -> oneshot::Receiver<()> {
    let (open, input) = oneshot::channel();
    std::thread::spawn(move || {
        let mut ignored = [0; 64];
        while matches!(io::stdin().read(&mut ignored), Ok(read) if read > 0) {}
        drop(open);
    });
    input
}
