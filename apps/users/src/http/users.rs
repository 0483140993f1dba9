use actix_web::{HttpRequest, delete, get, patch, post, put, web::Path};
use kernel::{Class, Classify, UserId};
use serde::Deserialize;
use service_kit::{Answer, AuthError, Call, Caller, Kind, Responded, Role, network};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::{
    State,
    domain::{email::Email, password::Password, person::parse_name, status::Status},
    usecases::{
        change_person::{ChangePerson, NewPassword, change_person},
        change_role::{ChangeRole, change_role},
        change_status::{ChangeStatus, change_status},
        delete_person::{DeletePerson, delete_person},
        register::{Register, Registration, is_new, register},
        view_person::{PersonView, ViewPerson, view_me, view_person},
    },
};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUser {
    #[schema(
        example = "ada@example.org",
        max_length = 254,
        pattern = r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$"
    )]
    email: String,
    #[schema(
        min_length = 8,
        max_length = 128,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*$"
    )]
    password: String,
    #[schema(example = "Ada Lovelace", min_length = 1, max_length = 100)]
    name: String,
}

/// Register. The Idempotency-Key belongs to the e-mail address, since there is no caller yet.
#[utoipa::path(tag = "users", request_body = NewUser, responses((status = 201, body = PersonView)))]
#[post("/api/users")]
pub async fn post_user(request: HttpRequest, call: Call<State, NewUser>) -> Responded {
    let email = Email::parse(&call.body.email)?;
    let name = parse_name(&call.body.name)?;
    let password = Password::parse(&call.body.password)?;
    password.is_not_of(email.as_str(), &name)?;
    let owner = format!("email:{}", email.as_str());
    let call = call.keyed_by(owner.clone())?;
    let trail = call.trail(Kind::Registration);
    let registration = Registration {
        email: email.clone(),
        owner,
        key: call.key()?,
        keep_hours: call.keep_hours(),
    };
    let password_hash = if call.before("users.is_new", is_new, registration).await? {
        let hasher = &call.state().hasher;
        let _attempt = call
            .state()
            .attempts
            .begin(email.as_str(), network(&request))?;
        // A client that goes away takes this handler with it.
        Some(hasher.hash(&password, &CancellationToken::new()).await?)
    } else {
        None
    };
    call.map(|_| Register {
        email,
        name,
        password_hash,
        role: Role::Customer,
        trail,
    })
    .run_idempotent("users.register", register, |person| {
        Answer::created("/api/users/me", person)
    })
    .await
}

/// Who you are.
#[utoipa::path(
    tag = "users",
    params(
        (
            "If-None-Match" = Option<String>,
            Header,
            description = "The ETag of what you have; the answer is 304 if that is all"
        )
    ),
    security(("token" = [])),
    responses((status = 200, body = PersonView), (status = 304, description = "You have it"))
)]
#[get("/api/users/me")]
pub async fn get_me(call: Call<State>) -> Responded {
    let caller = call.caller()?;
    call.map(|_| caller)
        .run_in_transaction("users.view_me", view_me, PersonView::answer)
        .await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProfileChange {
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    #[schema(
        min_length = 8,
        max_length = 128,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*$"
    )]
    password: Option<String>,
    /// Needed with a new password.
    current_password: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("current_password: send the current password with the new one")]
struct CurrentPasswordMissing;

impl Classify for CurrentPasswordMissing {
    fn class(&self) -> Class {
        Class::Invalid
    }
    fn code(&self) -> &'static str {
        "current_password_missing"
    }
}

/// Change your name or your password. With another password your other sessions end; this one goes
/// on, by its refresh token. With If-Match only if it was not changed meanwhile.
#[utoipa::path(
    tag = "users",
    params(("If-Match" = Option<String>, Header, description = "The ETag of what you have read")),
    security(("token" = [])),
    request_body = ProfileChange,
    responses((status = 200, body = PersonView))
)]
#[patch("/api/users/me")]
pub async fn patch_me(request: HttpRequest, call: Call<State, ProfileChange>) -> Responded {
    let client_gone = CancellationToken::new();
    // Dropped with this handler when the client goes away.
    let _cancel = client_gone.clone().drop_guard();
    let caller = call.caller()?;
    let preconditions = call.preconditions();
    let name = call.body.name.as_deref().map(parse_name).transpose()?;
    let password = match (&call.body.password, &call.body.current_password) {
        (Some(new), Some(current)) => {
            let (new, current) = (Password::parse(new)?, Password::typed(current));
            let network = network(&request);
            let trail = call.trail(Kind::Password);
            Some(NewPassword {
                new,
                current,
                network,
                trail,
                client_gone,
            })
        }
        (Some(_), None) => return Err(CurrentPasswordMissing.into()),
        (None, _) => None,
    };
    call.map(|_| ChangePerson {
        caller,
        name,
        password,
        preconditions,
    })
    .run_outside_transaction(change_person, PersonView::answer)
    .await
}

/// Leave the store: your account is closed, and what is available on it is paid out. Orders under
/// way go on; money that comes back from them is paid out too. It needs a log-in of the last
/// minutes.
#[utoipa::path(
    tag = "users",
    params(("If-Match" = Option<String>, Header, description = "The ETag of what you have read")),
    security(("token" = ["fresh log-in"])),
    responses((status = 204, description = "You are deleted"))
)]
#[delete("/api/users/me")]
pub async fn delete_me(call: Call<State>) -> Responded {
    let caller = call.fresh()?;
    let preconditions = call.preconditions();
    call.logged_as(Kind::Deletion);
    call.map(|_| DeletePerson {
        caller,
        preconditions,
    })
    .run_in_transaction("users.delete_person", delete_person, |()| {
        Answer::no_content()
    })
    .await
}

/// The caller of a route for managers. The use case decides by their row whether they may call it;
/// the role in their token only decides whether the security log records the act of a manager or a
/// refusal.
fn managing<B>(call: &Call<State, B>, kind: Kind) -> Result<Caller, AuthError> {
    let caller = call.caller()?;
    if caller.role == Role::Manager {
        call.logged_as(kind);
    }
    Ok(caller)
}

/// Any user, for managers.
#[utoipa::path(
    tag = "users",
    params(
        ("id" = UserId, Path),
        (
            "If-None-Match" = Option<String>,
            Header,
            description = "The ETag of what you have; the answer is 304 if that is all"
        )
    ),
    security(("token" = [])),
    responses((status = 200, body = PersonView), (status = 304, description = "You have it"))
)]
#[get("/api/users/{id}")]
pub async fn get_user(call: Call<State>, id: Path<UserId>) -> Responded {
    let caller = managing(&call, Kind::Manager)?;
    let user_id = id.into_inner();
    call.map(|_| ViewPerson { caller, user_id })
        .run_in_transaction("users.view_person", view_person, PersonView::answer)
        .await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRole {
    role: Role,
}

/// Give a person a role, for managers. Their sessions go on, by their refresh tokens. With If-Match
/// only if they were not changed meanwhile.
#[utoipa::path(
    tag = "users",
    params(
        ("id" = UserId, Path),
        ("If-Match" = Option<String>, Header, description = "The ETag of what you have read")
    ),
    security(("token" = [])),
    request_body = NewRole,
    responses((status = 200, body = PersonView))
)]
#[put("/api/users/{id}/role")]
pub async fn put_role(call: Call<State, NewRole>, id: Path<UserId>) -> Responded {
    let caller = managing(&call, Kind::Role)?;
    let preconditions = call.preconditions();
    call.map(|body| ChangeRole {
        caller,
        user_id: id.into_inner(),
        role: body.role,
        preconditions,
    })
    .run_in_transaction("users.change_role", change_role, PersonView::answer)
    .await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewStatus {
    status: Status,
}

/// Suspend a person, or let them in again, for managers. A suspended person is logged out
/// everywhere, and cannot log in. With If-Match only if they were not changed meanwhile.
#[utoipa::path(
    tag = "users",
    params(
        ("id" = UserId, Path),
        ("If-Match" = Option<String>, Header, description = "The ETag of what you have read")
    ),
    security(("token" = [])),
    request_body = NewStatus,
    responses((status = 200, body = PersonView))
)]
#[put("/api/users/{id}/status")]
pub async fn put_status(call: Call<State, NewStatus>, id: Path<UserId>) -> Responded {
    let caller = managing(&call, Kind::Status)?;
    let preconditions = call.preconditions();
    call.map(|body| ChangeStatus {
        caller,
        user_id: id.into_inner(),
        status: body.status,
        preconditions,
    })
    .run_in_transaction("users.change_status", change_status, PersonView::answer)
    .await
}
