use chrono::{DateTime, Utc};
use db::Tx;
use kernel::SessionId;
use serde::Serialize;
use service_kit::{Caller, Page};
use utoipa::ToSchema;

use super::view_person::PersonNotThere;
use crate::{
    State,
    store::{
        callers::calling,
        sessions::{self, Session},
    },
};

pub struct ListSessions {
    pub caller: Caller,
    pub limit: i64,
    /// The last session of the page before.
    pub after: Option<SessionId>,
}

/// A client where a person is logged in.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenSessionView {
    pub id: SessionId,
    /// Whether it is the session of this request.
    pub current: bool,
    pub created_at: DateTime<Utc>,
    /// Time at which the password was typed.
    pub authenticated_at: DateTime<Utc>,
    /// Time at which it was last refreshed.
    pub used_at: DateTime<Utc>,
    /// Time at which it ends, unless it is refreshed before.
    pub expires_at: DateTime<Utc>,
    /// Network of its last refresh: an address of IPv4, or the first 64 bits of one of IPv6.
    #[schema(example = "192.0.2.7")]
    pub network: Option<String>,
    /// The client's `User-Agent`.
    pub user_agent: Option<String>,
}

/// Lists the caller's sessions, the newest first.
pub async fn list_sessions(
    tx: &mut Tx<'_>,
    _: &State,
    list: &ListSessions,
) -> Result<Page<OpenSessionView>, PersonNotThere> {
    let caller = list.caller;
    calling::<PersonNotThere>(tx, &caller).await?;
    let rows = sessions::of_user(tx, caller.user_id, list.after, list.limit + 1).await?;
    let view = |row: Session| OpenSessionView {
        id: row.id,
        current: row.id == caller.session,
        created_at: row.created_at,
        authenticated_at: row.authenticated_at,
        used_at: row.used_at,
        expires_at: row.expires_at,
        network: row.network,
        user_agent: row.user_agent,
    };
    let views = rows.into_iter().map(view).collect();
    Ok(Page::cut(views, list.limit, |last: &OpenSessionView| {
        last.id
    }))
}
