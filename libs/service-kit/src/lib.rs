//! The frame of a service: settings, HTTP, callers, problem+json, telemetry, health, shutdown. A
//! service implements [`Service`], its table of contents; all services share the rest.

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
    call::Call,
    events::{EventStream, Gone},
    execute::UseCase,
    limit::network,
    page::{CursorKey, InvalidCursor, Page, PageQuery},
    problem::{ApiError, COMMON_PROBLEMS, Problem, ProblemDoc, Responded},
    version::{PreconditionFailed, Preconditions, Version},
};
pub use run::{Running, main, start, start_by};
pub use security::{Kind, SecurityLog, Trail};
pub use service::{NoSettings, Service, StartContext};
pub use settings::{KitSettings, ServiceSettings, TokenSettings};
