use actix_web::{
    get, post,
    web::{Path, Query},
};
use kernel::{Money, UserId};
use serde::Deserialize;
use service_kit::{Answer, Call, Page, PageQuery, Responded, Role};
use utoipa::ToSchema;

use crate::{
    state::State,
    usecases::{
        list_entries::{EntryView, ListEntries, list_entries},
        move_money::{MoveMoney, MovedView, top_up, withdraw},
        view_account::{AccountView, view_any, view_own},
    },
};

/// Your account.
#[utoipa::path(
    tag = "account",
    security(("token" = [])),
    responses((status = 200, body = AccountView))
)]
#[get("/api/account")]
pub async fn get_account(call: Call<State>) -> Responded {
    let user_id = call.caller()?.user_id;
    call.map(|_| user_id)
        .run_in_transaction("billing.view_account", view_own, Answer::ok)
        .await
}

/// The movements of your account, the newest first.
#[utoipa::path(
    tag = "account",
    params(PageQuery),
    security(("token" = [])),
    responses((status = 200, body = Page<EntryView>))
)]
#[get("/api/account/entries")]
pub async fn get_entries(call: Call<State>, page: Query<PageQuery>) -> Responded {
    let user_id = call.caller()?.user_id;
    call.map(|_| ListEntries {
        user_id,
        page: page.into_inner(),
    })
    .run_in_transaction("billing.list_entries", list_entries, Answer::ok)
    .await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Amount {
    /// Minor units.
    #[schema(value_type = i64, minimum = 1, maximum = 100_000_000_000_i64)]
    amount: Money,
}

/// Bring money.
#[utoipa::path(
    tag = "account",
    request_body = Amount,
    security(("token" = [])),
    responses((status = 201, body = MovedView))
)]
#[post("/api/account/top-ups")]
pub async fn post_top_up(call: Call<State, Amount>) -> Responded {
    let user_id = call.caller()?.user_id;
    call.map(|body| MoveMoney {
        user_id,
        amount: body.amount,
    })
    .run_idempotent("billing.top_up", top_up, |moved| {
        Answer::created("/api/account/entries", moved)
    })
    .await
}

/// Take money out. It needs a log-in of the last minutes.
#[utoipa::path(
    tag = "account",
    request_body = Amount,
    security(("token" = ["fresh log-in"])),
    responses((status = 201, body = MovedView))
)]
#[post("/api/account/withdrawals")]
pub async fn post_withdrawal(call: Call<State, Amount>) -> Responded {
    let user_id = call.fresh()?.user_id;
    call.map(|body| MoveMoney {
        user_id,
        amount: body.amount,
    })
    .run_idempotent("billing.withdraw", withdraw, |moved| {
        Answer::created("/api/account/entries", moved)
    })
    .await
}

/// The account of any user, for managers.
#[utoipa::path(
    tag = "account",
    params(("user_id" = UserId, Path)),
    security(("token" = [])),
    responses((status = 200, body = AccountView))
)]
#[get("/api/accounts/{user_id}")]
pub async fn get_any_account(call: Call<State>, user_id: Path<UserId>) -> Responded {
    call.require(&[Role::Manager])?;
    call.map(|_| user_id.into_inner())
        .run_in_transaction("billing.view_any_account", view_any, Answer::ok)
        .await
}
