use std::{convert::Infallible, fmt::Display, future::Future, time::Duration};

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    web::Bytes,
};
use futures_util::stream::{empty, unfold};
use serde::Serialize;
use tokio::{runtime::Handle, sync::mpsc};

/// Frames that wait for a slow client, before the stream waits too.
const WAITING: usize = 16;
/// A stream is ended after this long, or with its caller's token; the client resumes it with
/// another one.
const LONGEST: Duration = Duration::from_secs(900);

/// The service's end of a stream of server-sent events (WHATWG HTML, section 9.2).
pub struct EventStream(mpsc::Sender<Bytes>);

/// The client went away.
#[derive(Clone, Copy, Debug)]
pub struct Gone;

impl EventStream {
    /// An answer that `tell` writes on `runtime`, until it is done, the client goes away, the
    /// stream is too old, or `token_over` says that its caller may not read on.
    pub fn answer<F, Fut>(
        runtime: &Handle,
        token_over: impl Future<Output = ()> + Send + 'static,
        tell: F,
    ) -> HttpResponse
    where
        F: FnOnce(Self) -> Fut,
        Fut: Future<Output = Result<(), Gone>> + Send + 'static,
    {
        let (frames, sent) = mpsc::channel(WAITING);
        let told = tell(Self(frames));
        runtime.spawn(tokio::time::timeout(LONGEST, async move {
            tokio::select! {
                _ = told => {}
                () = token_over => {}
            }
        }));
        let body = unfold(sent, async |mut sent| {
            let frame: Bytes = sent.recv().await?;
            Some((Ok::<_, Infallible>(frame), sent))
        });
        Self::begun().streaming(Box::pin(body))
    }

    /// The head of such an answer, for who asks for no more.
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

    /// Sends a comment, so that nobody on the way takes the connection for dead.
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
