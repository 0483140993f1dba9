use std::{convert::Infallible, fmt::Display, future::Future, time::Duration};

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    web::Bytes,
};
use futures_util::stream::{empty, unfold};
use serde::Serialize;
use tokio::{runtime::Handle, sync::mpsc};

/// Frames that may wait for a slow client; then the writer of the stream waits too.
const QUEUE_MAX_FRAMES: usize = 16;
/// How long a stream lasts at most; it also ends with its caller's token. The client resumes it by
/// a new request.
const STREAM_MAX: Duration = Duration::from_secs(900);

/// The service's end of a stream of server-sent events (WHATWG HTML, section 9.2).
pub struct EventStream(mpsc::Sender<Bytes>);

/// The client went away.
#[derive(Clone, Copy, Debug)]
pub struct Gone;

impl EventStream {
    /// An answer whose frames `write` sends, on `runtime`. It ends when `write` is done, the client
    /// goes away, the stream lasts too long, or `token_over` ends.
    pub fn answer<F, Fut>(
        runtime: &Handle,
        token_over: impl Future<Output = ()> + Send + 'static,
        write: F,
    ) -> HttpResponse
    where
        F: FnOnce(Self) -> Fut,
        Fut: Future<Output = Result<(), Gone>> + Send + 'static,
    {
        let (frames, sent) = mpsc::channel(QUEUE_MAX_FRAMES);
        let written = write(Self(frames));
        runtime.spawn(tokio::time::timeout(STREAM_MAX, async move {
            tokio::select! {
                _ = written => {}
                () = token_over => {}
            }
        }));
        let body = unfold(sent, async |mut sent| {
            let frame: Bytes = sent.recv().await?;
            Some((Ok::<_, Infallible>(frame), sent))
        });
        Self::begun().streaming(Box::pin(body))
    }

    /// The head of such an answer, for a HEAD request.
    pub fn head() -> HttpResponse {
        Self::begun().streaming(empty::<Result<Bytes, Infallible>>())
    }

    fn begun() -> HttpResponseBuilder {
        let mut answer = HttpResponse::Ok();
        answer
            .insert_header((CONTENT_TYPE, "text/event-stream"))
            .insert_header((CACHE_CONTROL, "no-store"));
        answer
    }

    /// Sends an event; a client that resumes names the last `id` that it saw.
    pub async fn send(
        &self,
        id: impl Display,
        event: &str,
        data: &impl Serialize,
    ) -> Result<(), Gone> {
        let data =
            serde_json::to_string(data).expect("views are plain structs, which are always JSON");
        self.frame(format!("id: {id}\nevent: {event}\ndata: {data}\n\n"))
            .await
    }

    /// Sends a comment, so that no proxy on the way takes the connection for dead.
    pub async fn keep_alive(&self) -> Result<(), Gone> {
        self.frame(":\n\n".to_owned()).await
    }

    /// Waits until the client has gone away.
    pub async fn gone(&self) {
        self.0.closed().await;
    }

    async fn frame(&self, frame: String) -> Result<(), Gone> {
        self.0.send(frame.into()).await.map_err(|_| Gone)
    }
}
