use std::{fmt, io, net::SocketAddr, str::FromStr};

use tokio::net::{TcpListener, TcpSocket};

/// The address at which a process listens: `127.0.0.1:8080`, or `reserved:127.0.0.1:8080`, a port
/// that its parent holds for it. Other users cannot take a reserved port, even while the process
/// does not run: the system lets only processes of the same user share a port (SO_REUSEPORT,
/// socket(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    address: SocketAddr,
    is_reserved: bool,
}

const RESERVED: &str = "reserved:";

/// Connections that may wait to be accepted.
const BACKLOG_CONNECTIONS: u32 = 1024;

impl Listen {
    /// Opens the listener, within a runtime.
    pub async fn open(self) -> io::Result<TcpListener> {
        if !self.is_reserved {
            return TcpListener::bind(self.address).await;
        }
        let socket = match self.address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_reuseport(true)?;
        socket.bind(self.address)?;
        socket.listen(BACKLOG_CONNECTIONS)
    }
}

impl FromStr for Listen {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = text.strip_prefix(RESERVED);
        Ok(Self {
            address: address.unwrap_or(text).parse()?,
            is_reserved: address.is_some(),
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// A port of 127.0.0.1 that is held for processes of one user, for as long as this lives. The
/// reservation itself does not listen.
#[derive(Debug)]
pub struct Reservation {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl Reservation {
    /// Holds this port, or any free one for port 0. `user` is the id of the user whose processes
    /// may listen at it; only root may choose another user than itself.
    pub fn of(port: u16, user: Option<u32>) -> io::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        // Fails if the port is in use, also by another process of this user, with which the
        // reservation would share it silently.
        drop(std::net::TcpListener::bind(address)?);
        // No SO_REUSEADDR: it lets other users bind the port while no process listens.
        let socket = TcpSocket::new_v4()?;
        if let Some(user) = user {
            std::os::unix::fs::fchown(&socket, Some(user), None)?;
        }
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        Ok(Self {
            address: socket.local_addr()?,
            _socket: socket,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address for the settings of the process that will listen.
    pub fn setting(&self) -> String {
        format!("{RESERVED}{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_a_reservation() {
        let plain: Listen = "127.0.0.1:8080".parse().unwrap();
        let reserved: Listen = "reserved:[::1]:8080".parse().unwrap();
        assert!(!plain.is_reserved && reserved.is_reserved);
        assert_eq!(reserved.to_string(), "[::1]:8080");
        for wrong in ["reserved:", "reserved:8080", "users:8080", "fd:3"] {
            wrong.parse::<Listen>().unwrap_err();
        }
    }

    #[tokio::test]
    async fn a_reserved_port_is_its_process_s_alone_also_after_a_crash() {
        let held = Reservation::of(0, None).unwrap();
        let listen: Listen = held.setting().parse().unwrap();
        for _ in ["the first process", "the next one"] {
            // A process that does not know of the reservation; std sets SO_REUSEADDR.
            std::net::TcpListener::bind(held.address()).unwrap_err();
            let process = listen.open().await.unwrap();
            let (_client, accepted) =
                tokio::try_join!(TcpStream::connect(held.address()), process.accept()).unwrap();
            drop((accepted, process));
        }
        std::net::TcpListener::bind(held.address()).unwrap_err();
        let again = Reservation::of(held.address().port(), None).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    }

    /// Only root can be two users.
    #[tokio::test]
    async fn a_port_that_is_reserved_for_another_user_cannot_be_shared() {
        let held = Reservation::of(0, None).unwrap();
        // Root gives the port to the servers' user; others are not allowed to give anything away.
        let Ok(others) = Reservation::of(0, Some(65_533)) else {
            return;
        };
        let listen: Listen = others.setting().parse().unwrap();
        let refused = listen.open().await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        let own: Listen = held.setting().parse().unwrap();
        own.open().await.unwrap();
    }
}
