use std::time::Duration;

use actix_web::{HttpRequest, dev::Payload, web::BytesMut};
use futures_util::StreamExt;
use kernel::{Class, Classify};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, error::Category};

/// The body of a request that needs none.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body is not JSON: {0}")]
    Malformed(#[source] serde_json::Error),
    #[error("the body does not fit: {0}")]
    Invalid(#[source] serde_json::Error),
    #[error("the body holds a NUL character, which no text of the store may have")]
    Nul,
    #[error("send the body as application/json")]
    ContentType,
    #[error("the body has more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body broke off")]
    BrokeOff,
}

impl Classify for BodyError {
    fn class(&self) -> Class {
        match self {
            Self::Malformed(_) | Self::ContentType | Self::BrokeOff | Self::TooSlow => {
                Class::Malformed
            }
            Self::Invalid(_) | Self::Nul => Class::Invalid,
            Self::TooLarge { .. } => Class::TooLarge,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::BrokeOff => "malformed_json",
            Self::Invalid(_) | Self::Nul => "invalid_body",
            Self::ContentType => "content_type",
            Self::TooLarge { .. } => "body_too_large",
            Self::TooSlow => "body_too_slow",
        }
    }
}

/// Reads a body as JSON. An empty body counts as `{}`, so that the error names the missing field.
pub async fn read(
    request: &HttpRequest,
    mut payload: Payload,
    limit: usize,
    timeout: Duration,
) -> Result<Value, BodyError> {
    let mut body = BytesMut::new();
    let all = async {
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| BodyError::BrokeOff)?;
            if body.len() + chunk.len() > limit {
                return Err(BodyError::TooLarge { limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(())
    };
    tokio::time::timeout(timeout, all)
        .await
        .map_err(|_| BodyError::TooSlow)??;
    if body.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let content_type = request
        .headers()
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(BodyError::ContentType);
    }
    let value = serde_json::from_slice(&body).map_err(BodyError::Malformed)?;
    if has_nul(&value) {
        Err(BodyError::Nul)
    } else {
        Ok(value)
    }
}

/// Converts a body's JSON to the type that the route expects.
pub fn parse<B: DeserializeOwned>(value: Value) -> Result<B, BodyError> {
    serde_json::from_value(value).map_err(|error| match error.classify() {
        Category::Data => BodyError::Invalid(error),
        _ => BodyError::Malformed(error),
    })
}

/// Whether a text in it has a NUL, which PostgreSQL's text cannot hold.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}
