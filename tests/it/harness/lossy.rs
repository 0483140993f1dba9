use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A proxy before PostgreSQL that can lose the answer to a COMMIT.
pub struct Lossy {
    pub port: u16,
    lost: Arc<Mutex<LostAnswers>>,
}

/// Which answers are lost.
#[derive(Clone, Default)]
struct LostAnswers {
    /// What a transaction must have sent before its COMMIT.
    of: Vec<u8>,
    left: usize,
    /// Whether no client reaches the server after the last of them.
    then_away: bool,
    is_away: bool,
}

impl Lossy {
    /// Starts a proxy to the server at this port.
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let lost = Arc::new(Mutex::new(LostAnswers::default()));
        let seen = lost.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let is_away = with(&seen, |lost| lost.is_away);
                if !is_away {
                    tokio::spawn(forward(client, server, seen.clone()));
                }
            }
        });
        Self { port, lost }
    }

    /// Loses the answers to the next commits of transactions that have sent `of`, each with its
    /// connection.
    pub fn lose(&self, of: &str, times: usize) {
        with(&self.lost, |lost| {
            *lost = LostAnswers {
                of: of.as_bytes().to_vec(),
                left: times,
                ..LostAnswers::default()
            };
        });
    }

    /// Loses the answer to the next such commit, and lets no client reach the server until
    /// [`Lossy::come_back`].
    pub fn lose_and_go_away(&self, of: &str) {
        self.lose(of, 1);
        with(&self.lost, |lost| lost.then_away = true);
    }

    pub fn come_back(&self) {
        with(&self.lost, |lost| *lost = LostAnswers::default());
    }

    /// The number of answers that are still to be lost.
    pub fn left(&self) -> usize {
        with(&self.lost, |lost| lost.left)
    }
}

fn with<R>(lost: &Mutex<LostAnswers>, change: impl FnOnce(&mut LostAnswers) -> R) -> R {
    change(&mut lost.lock().unwrap_or_else(PoisonError::into_inner))
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && bytes.windows(part.len()).any(|window| window == part)
}

async fn forward(
    mut client: TcpStream,
    server: u16,
    lost: Arc<Mutex<LostAnswers>>,
) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut up, mut down) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut said = Vec::new();
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let sent = &up[..read?];
                if sent.is_empty() || with(&lost, |lost| lost.is_away) {
                    return Ok(());
                }
                said.extend_from_slice(sent);
                server.write_all(sent).await?;
                if has(sent, b"COMMIT") {
                    let is_lost = with(&lost, |lost| {
                        let is_lost = lost.left > 0 && has(&said, &lost.of);
                        if is_lost {
                            lost.left -= 1;
                            lost.is_away = lost.then_away;
                        }
                        is_lost
                    });
                    if is_lost {
                        // It has taken effect when it is answered, however much of the answer comes
                        // at once.
                        return server.read(&mut down).await.map(drop);
                    }
                    said.clear();
                }
            }
            read = server.read(&mut down) => {
                let answered = &down[..read?];
                if answered.is_empty() {
                    return Ok(());
                }
                client.write_all(answered).await?;
            }
        }
    }
}
