//! What makes a service out of a domain: settings, HTTP, callers, problem+json, telemetry, health,
//! shutdown. A service implements [`Service`], a table of contents; everything else is the same for
//! all of them.

mod auth;
mod http;
mod readings;
mod run;
mod security;
mod service;
mod settings;

pub use auth::{
    AuthError, Caller, Claims, OwnKeys, Role, TokenSettingsError, Tokens, VoidTokens, tokens_void,
};
pub use http::{
    answer::Answer,
    body::NoBody,
    call::{Call, Responded, UseCase},
    events::{EventStream, Gone},
    limit::network,
    page::{CursorKey, InvalidCursor, Page, PageQuery},
    problem::{ApiError, COMMON_PROBLEMS, Problem, ProblemDoc},
    version::{PreconditionFailed, Preconditions, Version},
};
pub use run::{Running, main, start, start_by};
pub use security::{Kind, SecurityLog, Trail};
pub use service::{Boot, NoSettings, Service};
pub use settings::{KitSettings, ServiceSettings, TokenSettings};
