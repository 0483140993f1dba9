//! A TCP proxy on 127.0.0.1 that breaks its connections as a network does.

use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What the proxy does with the bytes that it gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Open,
    /// Nothing arrives, and no side gets an error. What was sent arrives when the mode is `Open`
    /// again, as with TCP.
    Silent,
    SilentToServer,
    SilentToClient,
    /// Connections are reset, also new ones.
    Cut,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl Mode {
    fn lets(self, direction: Direction) -> bool {
        match self {
            Self::Open => true,
            Self::SilentToServer => direction == Direction::ToClient,
            Self::SilentToClient => direction == Direction::ToServer,
            Self::Silent | Self::Cut => false,
        }
    }
}

/// A running proxy, which ends with its connections when this is dropped.
pub struct Proxy {
    mode: watch::Sender<Mode>,
    /// Changes when the present connections are forgotten.
    forgotten: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy from `listener` to the address `server`.
    pub fn start(listener: TcpListener, server: String) -> Self {
        let (mode, seen) = watch::channel(Mode::Open);
        let forgotten = watch::Sender::new(());
        let forgetting = forgotten.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let signals = (seen.clone(), forgetting.subscribe());
                tokio::spawn(connection(client, server.clone(), signals));
            }
        });
        Self {
            mode,
            forgotten,
            accepting,
        }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Nothing arrives any more on the present connections, as when a router forgets them; new ones
    /// work.
    pub fn forget(&self) {
        self.forgotten.send_replace(());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connection(
    mut client: TcpStream,
    server: String,
    (mode, mut forgotten): (watch::Receiver<Mode>, watch::Receiver<()>),
) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let _ = client.set_nodelay(true).and(server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let mut cut = mode.clone();
    // When one side has closed, neither protocol sends anything more, so the proxy closes the other
    // one.
    let is_cut = tokio::select! {
        _ = pump(from_client, to_server, mode.clone(), Direction::ToServer) => false,
        _ = pump(from_server, to_client, mode, Direction::ToClient) => false,
        () = until(&mut cut, |mode| mode == Mode::Cut) => true,
        _ = forgotten.changed() => {
            until(&mut cut, |mode| mode == Mode::Cut).await;
            true
        }
    };
    if is_cut {
        let _ = client.set_zero_linger().and(server.set_zero_linger());
    }
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut mode: watch::Receiver<Mode>,
    direction: Direction,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        until(&mut mode, |mode| mode.lets(direction)).await;
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        until(&mut mode, |mode| mode.lets(direction)).await;
        to.write_all(&bytes[..count]).await?;
    }
}

/// Waits for a mode, or for the end of the proxy.
async fn until(mode: &mut watch::Receiver<Mode>, wanted: impl Fn(Mode) -> bool) {
    let _ = mode.wait_for(|mode| wanted(*mode)).await.map(drop);
}
