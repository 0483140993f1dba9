use actix_web::{get, post, put, web::Path};
use connect::Secret;
use kernel::UserId;
use serde::Deserialize;
use service_kit::{Answer, Call, Responded, Role};
use utoipa::ToSchema;

use crate::{
    State,
    domain::person::{Email, check_password, parse_name},
    usecases::{
        change_role::{ChangeRole, change_role},
        register::{Register, register},
        view_person::{PersonView, view_person},
    },
};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUser {
    #[schema(example = "ada@example.org", max_length = 254)]
    email: String,
    #[schema(min_length = 8, max_length = 128)]
    password: String,
    #[schema(example = "Ada Lovelace", min_length = 1, max_length = 100)]
    name: String,
}

/// Register. The Idempotency-Key belongs to the e-mail address, since there is no caller yet.
#[utoipa::path(tag = "users", request_body = NewUser, responses((status = 201, body = PersonView)))]
#[post("/api/users")]
pub async fn post_user(call: Call<State, NewUser>) -> Responded {
    let email = Email::parse(&call.body.email)?;
    let name = parse_name(&call.body.name)?;
    check_password(&call.body.password)?;
    let password_hash = call
        .state()
        .passwords
        .hash(Secret::new(&call.body.password))
        .await?;
    call.keyed_by(format!("email:{}", email.as_str()))
        .map(|_| Register {
            email,
            name,
            password_hash,
            role: Role::Customer,
        })
        .once("users.register", register, |person| {
            Answer::created("/api/users/me", person)
        })
        .await
}

/// Who you are.
#[utoipa::path(tag = "users", security(("token" = [])), responses((status = 200, body = PersonView)))]
#[get("/api/users/me")]
pub async fn get_me(call: Call<State>) -> Responded {
    let id = call.caller()?.user_id;
    call.map(|_| id)
        .run("users.view_me", view_person, Answer::ok)
        .await
}

/// Somebody, for managers.
#[utoipa::path(tag = "users", params(("id" = UserId, Path)), security(("token" = [])), responses((status = 200, body = PersonView)))]
#[get("/api/users/{id}")]
pub async fn get_user(call: Call<State>, id: Path<UserId>) -> Responded {
    call.require(&[Role::Manager])?;
    call.map(|_| id.into_inner())
        .run("users.view_person", view_person, Answer::ok)
        .await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRole {
    role: Role,
}

/// Give somebody a role, for managers.
#[utoipa::path(tag = "users", params(("id" = UserId, Path)), security(("token" = [])), request_body = NewRole, responses((status = 200, body = PersonView)))]
#[put("/api/users/{id}/role")]
pub async fn put_role(call: Call<State, NewRole>, id: Path<UserId>) -> Responded {
    call.require(&[Role::Manager])?;
    call.map(|body| ChangeRole {
        user_id: id.into_inner(),
        role: body.role,
    })
    .run("users.change_role", change_role, Answer::ok)
    .await
}
