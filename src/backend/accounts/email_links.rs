//! Ends the links in mails to a user, for changes that make those links dangerous.

use sqlx::PgConnection;

use crate::{
    backend::{Result, mail},
    domain::ids::UserId,
};

/// Ends all reset links of a user and drops unsent reset mails. Returns the hashes of the links that were still valid.
pub(super) async fn use_up_links(db: &mut PgConnection, user: UserId) -> Result<Vec<Vec<u8>>> {
    mail::drop_resets(db, user).await?;
    let used = sqlx::query_scalar!(
        "update password_reset_tokens set used_at = now()
         where user_id = $1 and used_at is null and expires_at > now() returning token_hash",
        user as UserId
    )
    .fetch_all(db)
    .await?;
    Ok(used)
}

/// Ends unconfirmed changes of a user's e-mail address, because somebody other than the owner may have requested them.
/// A link to the user's own address stays valid.
pub(super) async fn drop_email_changes(db: &mut PgConnection, user: UserId) -> Result<()> {
    mail::drop_verifications_elsewhere(&mut *db, user).await?;
    sqlx::query!(
        "delete from email_verification_tokens t using users u
         where u.id = t.user_id and t.user_id = $1 and lower(t.email) <> lower(u.email)",
        user as UserId
    )
    .execute(db)
    .await?;
    Ok(())
}
