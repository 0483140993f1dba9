use std::sync::Arc;

use anyhow::Context;
use connect::Secret;
use db::{Db, DbError};
use service_kit::{Kind, Role, SecurityLog};
use tokio_util::sync::CancellationToken;

use super::register::{self, Register, RegisterError};
use crate::{
    domain::{email::Email, password::Password, passwords::Passwords},
    store::people,
};

/// Makes the manager of the settings, unless there is a manager already.
pub async fn make_first_manager(
    db: &Db,
    passwords: &Arc<Passwords>,
    security: &SecurityLog,
    email: &str,
    password: &Secret,
) -> anyhow::Result<()> {
    let has_manager = db
        .transaction("users.has_manager", async |tx| -> Result<bool, DbError> {
            people::has_manager(tx).await
        })
        .await?;
    if has_manager {
        return Ok(());
    }
    let password = Password::typed(password.expose());
    let manager = Register {
        email: Email::parse(email).context("FIRST_MANAGER_EMAIL")?,
        name: "First manager".to_owned(),
        password_hash: Some(passwords.hash(&password, &CancellationToken::new()).await?),
        role: Role::Manager,
        trail: security.trail(Kind::Registration, "settings", "the first manager"),
    };
    let made = db
        .transaction("users.make_first_manager", async |tx| {
            register::add(tx, &manager).await
        })
        .await;
    match made {
        Ok(person) => tracing::info!(user = %person.id, "made the first manager"),
        // Another replica was faster, or the address is a customer's, who must not become a manager unasked.
        Err(RegisterError::EmailTaken) => tracing::warn!("the first manager's address is taken"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
