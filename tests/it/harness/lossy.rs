use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A way to PostgreSQL on which the answer to a COMMIT can be lost.
pub struct Lossy {
    pub port: u16,
    wish: Arc<Mutex<Wish>>,
}

/// Which answers are lost.
#[derive(Clone, Default)]
struct Wish {
    /// What a transaction has said before, as it goes over the line.
    of: Vec<u8>,
    left: usize,
    /// Whether nobody gets through from then on.
    then_away: bool,
    is_away: bool,
}

impl Lossy {
    /// To the server at this port.
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let wish = Arc::new(Mutex::new(Wish::default()));
        let seen = wish.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let is_away = with(&seen, |wish| wish.is_away);
                if !is_away {
                    tokio::spawn(line(client, server, seen.clone()));
                }
            }
        });
        Self { port, wish }
    }

    /// Loses the answers to the next commits of transactions that have said `of`, each with its
    /// connection.
    pub fn lose(&self, of: &str, times: usize) {
        with(&self.wish, |wish| {
            *wish = Wish {
                of: of.as_bytes().to_vec(),
                left: times,
                ..Wish::default()
            };
        });
    }

    /// The same with the next one only, after which there is no way to the server until
    /// [`Lossy::come_back`].
    pub fn lose_and_go_away(&self, of: &str) {
        self.lose(of, 1);
        with(&self.wish, |wish| wish.then_away = true);
    }

    pub fn come_back(&self) {
        with(&self.wish, |wish| *wish = Wish::default());
    }

    /// How many are still to be lost.
    pub fn left(&self) -> usize {
        with(&self.wish, |wish| wish.left)
    }
}

fn with<R>(wish: &Mutex<Wish>, look: impl FnOnce(&mut Wish) -> R) -> R {
    look(&mut wish.lock().unwrap_or_else(PoisonError::into_inner))
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && bytes.windows(part.len()).any(|window| window == part)
}

async fn line(mut client: TcpStream, server: u16, wish: Arc<Mutex<Wish>>) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut up, mut down) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut said = Vec::new();
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let sent = &up[..read?];
                if sent.is_empty() || with(&wish, |wish| wish.is_away) {
                    return Ok(());
                }
                said.extend_from_slice(sent);
                server.write_all(sent).await?;
                if has(sent, b"COMMIT") {
                    let is_lost = with(&wish, |wish| {
                        let is_lost = wish.left > 0 && has(&said, &wish.of);
                        if is_lost {
                            wish.left -= 1;
                            wish.is_away = wish.then_away;
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
