use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, get, web::Path};
use kernel::{Class, Classify, OrderId};
use serde::Serialize;
use service_kit::{Call, EventStream, Gone, Responded};
use utoipa::ToSchema;

use crate::{
    domain::{
        facts::{Facts, Kind},
        status::Status,
        timeline,
    },
    state::State,
    streams::Follower,
    usecases::{
        stream_order::{FollowOrder, follow_order},
        view_order::StepView,
    },
};

/// How long a stream is silent before it sends a comment: well below the 60 seconds after which
/// proxies commonly close a silent connection.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
#[error("Last-Event-ID is the id of an event of this stream, a number")]
struct InvalidLastEventId;

impl Classify for InvalidLastEventId {
    fn class(&self) -> Class {
        Class::Malformed
    }
    fn code(&self) -> &'static str {
        "invalid_last_event_id"
    }
}

/// A step as the stream carries it: a server-sent event.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it stands for the stream on the API page")]
struct OrderEvent {
    /// For Last-Event-ID.
    #[schema(pattern = "^[0-9]+$")]
    id: String,
    /// What happened, such as `billing.held`.
    event: String,
    /// A NewsView as JSON.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// A step, and the status of the order after it.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewsView {
    #[serde(flatten)]
    pub step: StepView,
    pub status: Status,
}

/// One of your orders, live: each step as a server-sent event, from the first one or from the one
/// after Last-Event-ID. A Last-Event-ID beyond the last event is not of this stream, which then
/// begins with the first one. The stream ends when the order does; after that 204 says that there
/// is nothing more.
#[utoipa::path(
    tag = "orders",
    params(
        ("id" = OrderId, Path),
        (
            "Last-Event-ID" = Option<u32>,
            Header,
            description = "The last event that was seen, to go on after it",
        ),
    ),
    security(("token" = [])),
    responses(
        (status = 200, content_type = "text/event-stream", body = OrderEvent),
        (status = 204, description = "The order is over, and all was told"),
    )
)]
#[get("/api/orders/{id}/events")]
pub async fn get_order_events(
    call: Call<State>,
    id: Path<OrderId>,
    request: HttpRequest,
) -> Responded {
    let owner = call.caller()?.user_id;
    let (order_id, after) = (id.into_inner(), last_event_id(&request)?);
    let (streams, runtime) = (call.state().streams.clone(), call.runtime());
    let (is_head, token_over) = (call.is_head(), call.token_over());
    let command = call.map(|_| FollowOrder {
        order_id,
        owner,
        after,
    });
    let Some(after) = command.read("orders.follow_order", follow_order).await? else {
        return Ok(HttpResponse::NoContent().finish());
    };
    if is_head {
        return Ok(EventStream::head());
    }
    let follower = streams.follow(order_id, owner)?;
    Ok(EventStream::answer(&runtime, token_over, |stream| {
        send_steps(follower, after, stream)
    }))
}

fn last_event_id(request: &HttpRequest) -> Result<i32, InvalidLastEventId> {
    let Some(header) = request.headers().get("last-event-id") else {
        return Ok(0);
    };
    let text = header.to_str().map_err(|_| InvalidLastEventId)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidLastEventId);
    }
    // A number that no event can have is greater than all.
    Ok(text.parse().unwrap_or(i32::MAX))
}

/// Sends each step after the one with the number `seen`, by number, until the order is finished.
async fn send_steps(mut order: Follower, mut seen: i32, stream: EventStream) -> Result<(), Gone> {
    loop {
        let facts = tokio::select! {
            facts = order.facts_beyond(seen) => facts,
            () = stream.gone() => None,
            () = tokio::time::sleep(KEEP_ALIVE_INTERVAL) => {
                stream.keep_alive().await?;
                continue;
            }
        };
        let Some(facts) = facts else {
            return Ok(());
        };
        let mut known = Facts::default();
        for fact in facts.iter() {
            known.add(fact.fact.clone(), fact.at);
            if fact.number <= seen {
                continue;
            }
            let step = timeline::step(&fact.fact, fact.at, &known);
            let news = NewsView {
                status: Status::of(&known),
                step: step.into(),
            };
            stream.send(fact.number, &news.step.event, &news).await?;
            seen = fact.number;
        }
        if known.has(Kind::Finished) {
            return Ok(());
        }
    }
}
