use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use idempotency::StoredAnswer;
use serde::Serialize;

use super::version::{PreconditionFailed, Preconditions, Read, Version};

/// The answer to a request that succeeded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer(StoredAnswer);

impl Answer {
    pub fn ok(view: &impl Serialize) -> Self {
        Self::with_body(StatusCode::OK, view)
    }

    /// 201 with the `Location` of the new resource.
    pub fn created(location: impl Into<String>, view: &impl Serialize) -> Self {
        Self::with_body(StatusCode::CREATED, view).header(header::LOCATION.as_str(), location)
    }

    pub fn accepted() -> Self {
        Self::empty(StatusCode::ACCEPTED)
    }

    pub fn no_content() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds the version as ETag, for updates that must not be lost.
    #[must_use]
    pub fn etag(self, version: impl Into<Version>) -> Self {
        self.header(header::ETAG.as_str(), version.into().to_string())
    }

    /// The same answer to a read with preconditions: 304 if the caller has this version already.
    pub(crate) fn for_reader(
        self,
        preconditions: &Preconditions,
    ) -> Result<Self, PreconditionFailed> {
        let etag = self
            .0
            .headers
            .iter()
            .find(|(name, _)| name == header::ETAG.as_str());
        let Some((_, etag)) = etag.filter(|_| self.0.status == StatusCode::OK.as_u16()) else {
            return Ok(self);
        };
        Ok(match preconditions.of_read(etag)? {
            Read::Whole => self,
            Read::NotModified => Self(StoredAnswer {
                status: StatusCode::NOT_MODIFIED.as_u16(),
                body: String::new(),
                ..self.0
            }),
        })
    }

    pub(crate) fn stored(&self) -> &StoredAnswer {
        &self.0
    }

    pub(crate) fn replayed(stored: StoredAnswer) -> Self {
        Self(stored).header("Idempotency-Replayed", "true")
    }

    fn empty(status: StatusCode) -> Self {
        Self(StoredAnswer {
            status: status.as_u16(),
            headers: Vec::new(),
            body: String::new(),
        })
    }

    fn with_body(status: StatusCode, view: &impl Serialize) -> Self {
        let body =
            serde_json::to_string(view).expect("views are plain structs, which are always JSON");
        Self(StoredAnswer {
            status: status.as_u16(),
            headers: Vec::new(),
            body,
        })
    }

    pub(crate) fn into_response(self) -> HttpResponse {
        let status =
            StatusCode::from_u16(self.0.status).expect("stored statuses came from StatusCode");
        let mut response = HttpResponse::build(status);
        for (name, value) in self.0.headers {
            response.insert_header((name, value));
        }
        if self.0.body.is_empty() {
            response.finish()
        } else {
            response.content_type("application/json").body(self.0.body)
        }
    }
}
