//! Password reset: a link in a mail sets a new password, once.

use sqlx::PgConnection;

use super::{
    access_tokens, browsers, common_passwords::refuse_common, email_links, locks, security_log, sessions,
    tokens::SecretToken, two_factor, visitor::Visitor,
};
use crate::{
    backend::{
        Backend, Result, db,
        limits::{Client, Rule},
        mail::{self, ClaimedMail, Recipient},
    },
    domain::{
        account::{Email, Password, RESET_LINK_MINUTES},
        ids::{MailJobId, UserId},
        limits::LimitedBy,
        mail::{Message, PasswordChange},
        problem::Problem,
        security::SecurityEventKind,
    },
};

pub struct PasswordReset<'a>(pub(in crate::backend) &'a Backend);

impl PasswordReset<'_> {
    /// Sends a reset link to the user of this e-mail address, if there is one. Both cases do the same work, so that
    /// neither the answer nor its time reveals whether the address has an account.
    ///
    /// # Errors
    /// `Invalid` for an invalid `email`; `RateLimited` after too many requests for this address in an hour.
    pub async fn request(&self, email: &str, visitor: &Visitor) -> Result<()> {
        let email = Email::parse(email).map_err(|message| Problem::field("email", message))?;
        let row = sqlx::query!(
            r#"select lower($1) as "lower_email!", u.id as "user?: UserId"
               from (select) one left join users u on lower(u.email) = lower($1) and u.disabled_at is null"#,
            email.as_str()
        )
        .fetch_one(&self.0.db)
        .await?;
        self.0.limits.require(Rule::ResetMail, Client::of_account(&row.lower_email), LimitedBy::Mail).await?;
        let mut tx = db::begin(&self.0.db).await?;
        let message = Message::PasswordReset {
            address: visitor.address.map(|address| address.to_string()),
            user_agent: visitor.user_agent.as_str().to_owned(),
        };
        mail::enqueue(&mut tx, Recipient::IfAny(row.user), message).await?;
        tx.commit().await?;
        self.0.events.mail_added();
        Ok(())
    }

    /// Sets a new password with the token of a reset link. Ends all sessions and access tokens of the account, and
    /// notifies its owner by mail. Returns the token that makes this browser a known one.
    ///
    /// # Errors
    /// `Invalid` for an invalid or common `new_password`; `Gone` when the link was used, has expired or never existed.
    pub async fn finish(&self, token: &SecretToken, new: &str, visitor: &Visitor) -> Result<SecretToken> {
        let new = Password::parse(new).map_err(|message| Problem::field("new_password", message))?;
        let hash = token.hash();
        let user = sqlx::query!(
            r#"select u.id as "id: UserId", u.email from password_reset_tokens t join users u on u.id = t.user_id
               where t.token_hash = $1 and t.used_at is null and t.expires_at > now() and u.disabled_at is null"#,
            hash
        )
        .fetch_optional(&self.0.db)
        .await?
        .ok_or_else(link_is_over)?;
        refuse_common("new_password", &new, &user.email)?;
        let password_hash = self.0.passwords.hash(new.as_str().to_owned()).await?;
        let mut tx = db::begin(&self.0.db).await?;
        locks::lock_user(&mut tx, user.id).await?;
        // The second of two concurrent clicks finds no valid link.
        if !email_links::use_up_links(&mut tx, user.id).await?.contains(&hash) {
            return Err(link_is_over().into());
        }
        sqlx::query!(
            "update users set password_hash = $2, updated_at = now() where id = $1",
            user.id as UserId,
            password_hash
        )
        .execute(&mut *tx)
        .await?;
        sessions::end_all_of(&mut tx, user.id).await?;
        two_factor::end_challenges(&mut tx, user.id).await?;
        email_links::drop_email_changes(&mut tx, user.id).await?;
        access_tokens::revoke_all_of(&mut tx, user.id).await?;
        browsers::delete_all_of(&mut tx, user.id).await?;
        let browser = browsers::remember(&mut tx, user.id, visitor).await?;
        let changed = Message::PasswordChanged { how: PasswordChange::WithResetLink };
        mail::enqueue(&mut tx, Recipient::At(user.id, &user.email), changed).await?;
        security_log::record(&mut tx, user.id, SecurityEventKind::PasswordReset, "", visitor).await?;
        tx.commit().await?;
        self.0.events.mail_added();
        Ok(browser)
    }
}

fn link_is_over() -> Problem {
    Problem::Gone("This link was used already, or is older than an hour. Ask for a new one.".into())
}

/// The path of a reset link. The token is in the fragment, which browsers do not send.
pub(in crate::backend) fn link(token: &SecretToken) -> String {
    format!("/reset-password#{}", token.reveal())
}

/// Creates a token for the operator, who passes the link on.
pub(super) async fn make_operator_token(db: &mut PgConnection, user: UserId) -> Result<SecretToken> {
    let token = SecretToken::generate()?;
    sqlx::query!(
        "insert into password_reset_tokens (token_hash, user_id, expires_at)
         values ($1, $2, now() + make_interval(mins => $3))",
        token.hash(),
        user as UserId,
        RESET_LINK_MINUTES
    )
    .execute(db)
    .await?;
    Ok(token)
}

/// Creates the token of a reset mail that is about to be sent, and stores its hash. Returns `None` if the mail was
/// dropped in the meantime. `asked_by` is `None` if an admin sent the link, because that event is already recorded.
pub(in crate::backend) async fn make_token(
    backend: &Backend,
    mail: &ClaimedMail,
    asked_by: Option<&Visitor>,
) -> Result<Option<SecretToken>> {
    let Some(user) = mail.user else { return Ok(None) };
    let token = SecretToken::generate()?;
    let mut tx = db::begin(&backend.db).await?;
    // The lock waits for a concurrent reset, which drops this mail, and for an admin who disables the account.
    locks::lock_user(&mut tx, user).await?;
    let made = sqlx::query!(
        "insert into password_reset_tokens (token_hash, user_id, expires_at)
         select $1, u.id, now() + make_interval(mins => $4) from mail_jobs m join users u on u.id = m.user_id
         where m.id = $2 and m.attempt = $3 and m.status = 'PENDING' and u.disabled_at is null",
        token.hash(),
        mail.id as MailJobId,
        mail.attempt,
        RESET_LINK_MINUTES
    )
    .execute(&mut *tx)
    .await?;
    if made.rows_affected() == 0 {
        return Ok(None);
    }
    if let Some(asked_by) = asked_by.filter(|_| mail.attempt == 1) {
        // `request` does not record the event, because its answer must take the same time for an address without an
        // account.
        security_log::record(&mut tx, user, SecurityEventKind::ResetRequested, "", asked_by).await?;
    }
    tx.commit().await?;
    Ok(Some(token))
}

/// Deletes expired tokens. Returns their number.
pub(in crate::backend) async fn delete_expired(backend: &Backend, at_most: i64) -> Result<u64> {
    let purged = sqlx::query!(
        "delete from password_reset_tokens where token_hash in (
             select token_hash from password_reset_tokens where expires_at < now() order by expires_at limit $1)",
        at_most
    )
    .execute(&backend.db)
    .await?;
    Ok(purged.rows_affected())
}
