//! Locks on a user's row, held until the end of the transaction.

use sqlx::PgConnection;

use crate::{
    backend::Result,
    domain::{ids::UserId, problem::Problem},
};

/// Locks a user's row until the end of the transaction. The lock serialises requests that count against the same limit:
/// the second one counts the first.
///
/// # Errors
/// `NotFound` for an unknown user.
pub(in crate::backend) async fn lock_user(db: &mut PgConnection, id: UserId) -> Result<()> {
    let row =
        sqlx::query!("select id from users where id = $1 for no key update", id as UserId).fetch_optional(db).await?;
    row.map(drop).ok_or_else(|| Problem::NotFound.into())
}

/// Locks a user's row, like [`lock_user`], if the password is still the one that was verified.
///
/// # Errors
/// `Conflict` when the password has changed or the account was disabled in the meantime.
pub(super) async fn lock_user_with_password(db: &mut PgConnection, id: UserId, password_hash: &str) -> Result<()> {
    sqlx::query!(
        "select id from users where id = $1 and password_hash = $2 and disabled_at is null for no key update",
        id as UserId,
        password_hash
    )
    .fetch_optional(db)
    .await?
    .ok_or_else(|| Problem::conflict("The password was changed elsewhere just now. Sign in again."))?;
    Ok(())
}
