use std::sync::Arc;

use crate::{
    domain::{attempts::Attempts, session_life::SessionLife},
    hashing::PasswordHasher,
    usecases::issue_token::TokenIssuer,
};

/// What the use cases of users share.
#[derive(Clone)]
pub struct State {
    pub(crate) hasher: Arc<PasswordHasher>,
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) issuer: Arc<TokenIssuer>,
    pub(crate) session_life: SessionLife,
}
