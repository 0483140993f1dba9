use std::sync::Arc;

use anyhow::Context;
use connect::Secret;
use db::{Db, DbError, Tx};
use service_kit::{Kind, Role, SecurityLog, Trail};
use tokio_util::sync::CancellationToken;

use super::{
    register::{self, Register, RegisterError},
    view_person::PersonView,
};
use crate::{
    domain::{email::Email, password::Password},
    hashing::{Fit, PasswordHasher},
    store::{first_passwords, people},
};

/// Makes the manager of the settings, if there is no manager. A password works once: the hash of
/// each password in the settings of a start is stored, and that password makes no manager at a
/// later start. It may stay in the settings for years, and become known.
pub async fn make_first_manager(
    db: &Db,
    hasher: &Arc<PasswordHasher>,
    security: &SecurityLog,
    email: &str,
    password: &Secret,
) -> anyhow::Result<()> {
    let (has_manager, seen) = db
        .transaction(
            "users.has_manager",
            async |tx| -> Result<(bool, Vec<String>), DbError> {
                Ok((
                    people::has_manager(tx).await?,
                    first_passwords::all(tx).await?,
                ))
            },
        )
        .await?;
    let here = CancellationToken::new();
    let typed = Password::typed(password.expose());
    for hash in seen {
        if hasher.verify(&typed, Some(hash), &here).await? != Fit::No {
            if !has_manager {
                tracing::error!(
                    "there is no manager, and FIRST_MANAGER_PASSWORD was used before: set another \
                     one, and start again"
                );
            }
            return Ok(());
        }
    }
    let hash = hasher.hash(&typed, &here).await?;
    let manager = if has_manager {
        None
    } else {
        Some(first_manager(
            email,
            password,
            hash.clone(),
            security.trail(Kind::Registration, "settings", "the first manager"),
        )?)
    };
    let made = db
        .transaction("users.make_first_manager", async |tx| {
            make(tx, manager.as_ref(), &hash).await
        })
        .await;
    match made {
        Ok(Some(person)) => tracing::info!(user = %person.id, "made the first manager"),
        Ok(None) => {}
        // A customer has the address, and must not become a manager unasked. The password stays
        // usable.
        Err(RegisterError::EmailTaken) => tracing::warn!(
            "there is no manager, and the address of FIRST_MANAGER_EMAIL is a customer's: set \
             another one, and start again"
        ),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn first_manager(
    email: &str,
    password: &Secret,
    hash: String,
    trail: Trail,
) -> anyhow::Result<Register> {
    let email = Email::parse(email).context("FIRST_MANAGER_EMAIL")?;
    let name = "First manager".to_owned();
    Password::parse(password.expose())
        .and_then(|password| password.is_not_of(email.as_str(), &name))
        .context("FIRST_MANAGER_PASSWORD")?;
    Ok(Register {
        email,
        name,
        password_hash: Some(hash),
        role: Role::Manager,
        trail,
    })
}

/// Adds the manager and the hash. A lock lets one replica do so after the other: the second finds
/// the manager that the first has made.
async fn make(
    tx: &mut Tx<'_>,
    manager: Option<&Register>,
    hash: &str,
) -> Result<Option<PersonView>, RegisterError> {
    first_passwords::lock(tx).await?;
    let made = match manager {
        Some(manager) if !people::has_manager(tx).await? => Some(register::add(tx, manager).await?),
        _ => None,
    };
    first_passwords::add(tx, hash).await?;
    Ok(made)
}
