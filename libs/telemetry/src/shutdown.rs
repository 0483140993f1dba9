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

/// The wish that this process end: SIGTERM, SIGINT, or the end of standard input.
pub struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
    /// Its other end is dropped when standard input ends.
    input: Option<oneshot::Receiver<()>>,
}

impl Shutdown {
    /// From now on the signals are kept for [`Shutdown::wished`].
    pub fn listen(settings: &ShutdownSettings) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            input: settings.stop_at_eof.then(watch_input),
        })
    }

    pub async fn wished(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = ended(&mut self.input) => {}
        }
    }
}

async fn ended(input: &mut Option<oneshot::Receiver<()>>) {
    match input {
        // An error is what is waited for: the other end is gone.
        Some(open) => drop(open.await),
        None => std::future::pending().await,
    }
}

/// On a thread of its own: a runtime would wait for the read before it ends.
fn watch_input() -> oneshot::Receiver<()> {
    let (open, input) = oneshot::channel();
    std::thread::spawn(move || {
        let mut ignored = [0; 64];
        while matches!(io::stdin().read(&mut ignored), Ok(read) if read > 0) {}
        drop(open);
    });
    input
}
