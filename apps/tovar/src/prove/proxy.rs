//! A TCP proxy on 127.0.0.1 that can do to its connections what a network does.

use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What becomes of what is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Open,
    /// Nothing arrives, and nobody is told. What was sent arrives when the line is open again, as
    /// TCP would have it
    Silent,
    SilentToServer,
    SilentToClient,
    /// Connections are reset, also new ones
    Cut,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

impl Mode {
    fn lets(self, way: Way) -> bool {
        match self {
            Self::Open => true,
            Self::SilentToServer => way == Way::ToClient,
            Self::SilentToClient => way == Way::ToServer,
            Self::Silent | Self::Cut => false,
        }
    }
}

/// Ends, with its connections, when this is dropped.
pub struct Proxy {
    mode: watch::Sender<Mode>,
    /// Changes when the connections that are there are forgotten.
    forgotten: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Hands what comes to `listener` on to `server`.
    pub fn start(listener: TcpListener, server: String) -> Self {
        let (mode, seen) = watch::channel(Mode::Open);
        let forgotten = watch::Sender::new(());
        let forgetting = forgotten.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let lines = (seen.clone(), forgetting.subscribe());
                tokio::spawn(connection(client, server.clone(), lines));
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

    /// On the connections that are there nothing arrives any more, as when a router forgets them;
    /// new ones work.
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
    // When one side has ended neither protocol has anything more to say, so the other is ended as
    // well.
    let is_cut = tokio::select! {
        _ = pump(from_client, to_server, mode.clone(), Way::ToServer) => false,
        _ = pump(from_server, to_client, mode, Way::ToClient) => false,
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
    way: Way,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        until(&mut mode, |mode| mode.lets(way)).await;
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        until(&mut mode, |mode| mode.lets(way)).await;
        to.write_all(&bytes[..count]).await?;
    }
}

/// Waits for a mode; also over when the proxy is no more.
async fn until(mode: &mut watch::Receiver<Mode>, wanted: impl Fn(Mode) -> bool) {
    let _ = mode.wait_for(|mode| wanted(*mode)).await.map(drop);
}
