//! The limits of clients' connections: how many may be open, and how long a write may wait.

use std::{
    collections::HashMap,
    io::{self, IoSlice},
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// Bytes that a connection buffers of a request, whose head may not be larger, and of an answer.
pub const BUFFER_MAX_BYTES: usize = 32 * 1024;

/// The connections that are open.
#[derive(Clone)]
pub struct Connections {
    max: usize,
    /// `None` if all connections come from the same proxies.
    max_per_network: Option<usize>,
    open: Arc<Mutex<Open>>,
    gauge: Gauge,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// The permit of an open connection. Dropping it frees it for another one.
pub struct ConnectionPermit {
    network: IpAddr,
    connections: Connections,
}

impl Connections {
    /// `gauge` is the metric of the open connections.
    pub fn new(max: usize, max_per_network: Option<usize>, gauge: Gauge) -> Self {
        Self {
            max,
            max_per_network,
            open: Arc::default(),
            gauge,
        }
    }

    /// A permit for a connection from this network, if one is free.
    pub fn acquire(&self, network: IpAddr) -> Option<ConnectionPermit> {
        let mut open = self.open();
        let in_network = open.by_network.get(&network).copied().unwrap_or_default();
        if open.all >= self.max || self.max_per_network.is_some_and(|max| in_network >= max) {
            return None;
        }
        open.all += 1;
        open.by_network.insert(network, in_network + 1);
        self.gauge.inc();
        Some(ConnectionPermit {
            network,
            connections: self.clone(),
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.all -= 1;
        self.connections.gauge.dec();
        if let Some(count) = open.by_network.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.by_network.remove(&self.network);
            }
        }
    }
}

/// The answer to a refused connection, which may not have sent a request yet.
pub fn too_many_connections() -> Vec<u8> {
    const DETAIL: &str =
        "the gateway has no place for another connection, or for another one of this network";
    let body = json!({
        "type": "/api/docs/problems#too_many_connections",
        "title": "Service Unavailable",
        "status": 503,
        "code": "too_many_connections",
        "detail": DETAIL,
        "trace_id": null,
    });
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\n\
         content-type: application/problem+json\r\ncontent-length: {length}\r\n\
         cache-control: no-store\r\nretry-after: 5\r\nconnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A client's connection whose writes time out when the client reads nothing of its answer.
pub struct TimedWrites {
    stream: TcpStream,
    write_timeout: Duration,
    /// Runs while a write has to wait.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl TimedWrites {
    pub fn new(stream: TcpStream, write_timeout: Duration) -> Self {
        Self {
            stream,
            write_timeout,
            waiting: None,
        }
    }

    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let write_timeout = self.write_timeout;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep(write_timeout)));
        waiting
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for TimedWrites {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TimedWrites {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
