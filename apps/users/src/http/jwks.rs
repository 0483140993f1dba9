use actix_web::{HttpResponse, get};
use service_kit::Call;

use crate::State;

/// The public keys of access tokens (RFC 7517).
#[utoipa::path(tag = "sessions", responses((status = 200, body = serde_json::Value)))]
#[get("/.well-known/jwks.json")]
pub async fn get_jwks(call: Call<State>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("Cache-Control", "max-age=60"))
        .json(&*call.state().issuer.jwks())
}
