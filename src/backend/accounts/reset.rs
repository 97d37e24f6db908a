//! Password reset: a link by mail sets a new password, once.

use sqlx::PgConnection;

use super::{
    Visitor, access_tokens, browsers, refuse_common, security_log,
    sessions::{self, SecretToken},
    two_factor, users, verification,
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
    /// Sends a reset link to the user of this address, if there is one. Both cases do the same work, so that neither words nor time tell
    /// whether the address has an account.
    ///
    /// # Errors
    /// 400 of `email`; 429 when this address was asked for too often in an hour.
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

    /// Sets a new password with the token of a reset link. Ends every session and access token of the account, and says so by mail.
    /// Returns the token that makes this browser a known one.
    ///
    /// # Errors
    /// 400 of `new_password`; 410 when the link was used, has expired or never was.
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
        users::lock_user(&mut tx, user.id).await?;
        // Two clicks at once: the second finds no link that works.
        if !use_up_links(&mut tx, user.id).await?.contains(&hash) {
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
        verification::drop_email_changes(&mut tx, user.id).await?;
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

/// Ends all reset links of a user and drops reset mails that are not sent yet. Returns the hashes of the links that still worked.
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

fn link_is_over() -> Problem {
    Problem::Gone("This link was used already, or is older than an hour. Ask for a new one.".into())
}

/// The path of a reset link. Browsers do not send what stands behind the `#`.
pub(in crate::backend) fn link(token: &SecretToken) -> String {
    format!("/reset-password#{}", token.reveal())
}

/// Makes a token for the operator, who hands the link over.
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

/// Makes the token of a reset mail; stores only its hash. Returns `None` if the mail was dropped meanwhile. `asked_by` is `None` when an
/// admin asked: that event is recorded already.
pub(in crate::backend) async fn make_token(
    backend: &Backend,
    mail: &ClaimedMail,
    asked_by: Option<&Visitor>,
) -> Result<Option<SecretToken>> {
    let Some(user) = mail.user else { return Ok(None) };
    let token = SecretToken::generate()?;
    let mut tx = db::begin(&backend.db).await?;
    // Waits for a reset that is under way, which drops this mail, and for an admin who disables the account.
    users::lock_user(&mut tx, user).await?;
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
        // Recorded here and not by `request`: its answer must take the same time for an address without an account.
        security_log::record(&mut tx, user, SecurityEventKind::ResetRequested, "", asked_by).await?;
    }
    tx.commit().await?;
    Ok(Some(token))
}

/// Deletes tokens whose time is over. Returns their number.
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
