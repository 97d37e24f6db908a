//! Verified e-mail addresses. A link proves that an address belongs to its user, at sign-up and after a change.

use sqlx::PgConnection;

use super::{email_links, locks, security_log, tokens::SecretToken, users, visitor::Visitor};
use crate::{
    backend::{
        Backend, Result, db,
        limits::{Client, Rule},
        mail::{self, ClaimedMail, Recipient},
    },
    domain::{
        account::{Actor, Email, EmailChange, VERIFICATION_LINK_HOURS},
        ids::{MailJobId, UserId},
        limits::LimitedBy,
        mail::Message,
        problem::Problem,
        security::SecurityEventKind,
    },
};

pub struct Verification<'a>(pub(in crate::backend) &'a Backend);

impl Verification<'_> {
    /// Sends another verification link to the actor's current address.
    ///
    /// # Errors
    /// `Conflict` when the address is already verified; `RateLimited` after too many verification mails in an hour.
    pub async fn send_again(&self, actor: &Actor) -> Result<()> {
        if !actor.must_verify_email {
            return Err(Problem::conflict("Your e-mail address is confirmed already.").into());
        }
        self.count_mail(actor).await?;
        let mut tx = db::begin(&self.0.db).await?;
        mail::enqueue(&mut tx, Recipient::User(actor.id), Message::VerifyEmail).await?;
        tx.commit().await?;
        self.0.events.mail_added();
        Ok(())
    }

    /// Changes the actor's address. If addresses must be verified, only the link in a mail to the new address completes
    /// the change.
    ///
    /// # Errors
    /// `Invalid` for a wrong `current_password`, or for the address that the actor already has; `Conflict` when the address has
    /// another account; `RateLimited` after too many verification mails in an hour, or too many wrong passwords.
    pub async fn change_email(
        &self,
        actor: &Actor,
        email: &Email,
        current_password: &str,
        visitor: &Visitor,
    ) -> Result<EmailChange> {
        let hash = self.0.users().require_password(actor, current_password, visitor).await?;
        if email.as_str() == actor.email {
            return Err(Problem::field("email", "This is your address already.").into());
        }
        self.count_mail(actor).await?;
        let mut tx = db::begin(&self.0.db).await?;
        locks::lock_user_with_password(&mut tx, actor.id, &hash).await?;
        let change = if self.0.settings.requires_verified_email {
            refuse_taken_email(&mut tx, actor.id, email.as_str()).await?;
            mail::enqueue(&mut tx, Recipient::At(actor.id, email.as_str()), Message::VerifyEmail).await?;
            let requested = Message::EmailChangeRequested { new_email: email.as_str().to_owned() };
            mail::enqueue(&mut tx, Recipient::At(actor.id, &actor.email), requested).await?;
            let kind = SecurityEventKind::EmailChangeRequested;
            security_log::record(&mut tx, actor.id, kind, email.as_str(), visitor).await?;
            EmailChange::Unconfirmed
        } else {
            set_email(&mut tx, actor.id, email.as_str(), false, visitor).await?;
            EmailChange::Done
        };
        tx.commit().await?;
        self.0.events.mail_added();
        Ok(change)
    }

    /// Verifies the address that a link was sent to. If it is a new address, it becomes the user's address. Returns the
    /// address.
    ///
    /// # Errors
    /// `Conflict` when the address has another account by now; `Gone` when the link was used, has expired or never existed.
    pub async fn finish(&self, token: &SecretToken, visitor: &Visitor) -> Result<String> {
        let mut tx = db::begin(&self.0.db).await?;
        let row = sqlx::query!(
            r#"select t.user_id as "user: UserId", t.email from email_verification_tokens t join users u on u.id = t.user_id
               where t.token_hash = $1 and t.expires_at > now() and u.disabled_at is null"#,
            token.hash()
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(link_is_over)?;
        locks::lock_user(&mut tx, row.user).await?;
        // Using one link ends all links of the user. The second of two concurrent clicks finds none.
        let used = sqlx::query_scalar!(
            "delete from email_verification_tokens where user_id = $1 returning token_hash",
            row.user as UserId
        )
        .fetch_all(&mut *tx)
        .await?;
        if !used.contains(&token.hash()) {
            return Err(link_is_over().into());
        }
        set_email(&mut tx, row.user, &row.email, true, visitor).await?;
        tx.commit().await?;
        self.0.events.mail_added();
        Ok(row.email)
    }

    async fn count_mail(&self, actor: &Actor) -> Result<()> {
        self.0.limits.require(Rule::VerificationMail, Client::of_user(actor.id), LimitedBy::Mail).await?;
        Ok(())
    }
}

/// Sets the user's address. If it differs from the old one, notifies the old address.
async fn set_email(
    db: &mut PgConnection,
    user: UserId,
    email: &str,
    is_verified: bool,
    visitor: &Visitor,
) -> Result<()> {
    let old = sqlx::query_scalar!("select email from users where id = $1", user as UserId).fetch_one(&mut *db).await?;
    sqlx::query!(
        "update users set email = $2, email_verified_at = case when $3 then now() end, updated_at = now() where id = $1",
        user as UserId,
        email,
        is_verified
    )
    .execute(&mut *db)
    .await
    .map_err(users::email_taken)?;
    if old == email {
        return security_log::record(db, user, SecurityEventKind::EmailVerified, email, visitor).await;
    }
    email_links::use_up_links(&mut *db, user).await?;
    email_links::drop_email_changes(&mut *db, user).await?;
    let changed = Message::EmailChanged { new_email: email.to_owned() };
    mail::enqueue(&mut *db, Recipient::At(user, &old), changed).await?;
    security_log::record(db, user, SecurityEventKind::EmailChanged, email, visitor).await
}

async fn refuse_taken_email(db: &mut PgConnection, user: UserId, email: &str) -> Result<()> {
    let is_taken = sqlx::query_scalar!(
        r#"select exists (select 1 from users where lower(email) = lower($2) and id <> $1) as "is_taken!""#,
        user as UserId,
        email
    )
    .fetch_one(db)
    .await?;
    if is_taken { Err(users::email_taken_problem().into()) } else { Ok(()) }
}

fn link_is_over() -> Problem {
    Problem::Gone(format!(
        "This link was used already, or is older than {VERIFICATION_LINK_HOURS} hours. Ask for a new one on your account page."
    ))
}

/// Creates the token of a verification mail that is about to be sent. Returns `None` if the mail must no longer be
/// sent.
pub(in crate::backend) async fn make_token(backend: &Backend, mail: &ClaimedMail) -> Result<Option<SecretToken>> {
    let Some(user) = mail.user else { return Ok(None) };
    let token = SecretToken::generate()?;
    let mut tx = db::begin(&backend.db).await?;
    // The lock waits for a concurrent change of the password, which drops this mail.
    locks::lock_user(&mut tx, user).await?;
    let made = sqlx::query!(
        "insert into email_verification_tokens (token_hash, user_id, email, expires_at)
         select $1, u.id, coalesce(m.address, u.email), now() + make_interval(hours => $4)
         from mail_jobs m join users u on u.id = m.user_id
         where m.id = $2 and m.attempt = $3 and m.status = 'PENDING' and u.disabled_at is null",
        token.hash(),
        mail.id as MailJobId,
        mail.attempt,
        VERIFICATION_LINK_HOURS
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok((made.rows_affected() == 1).then_some(token))
}

/// Deletes expired links. Returns their number.
pub(in crate::backend) async fn delete_expired(backend: &Backend, at_most: i64) -> Result<u64> {
    let purged = sqlx::query!(
        "delete from email_verification_tokens where token_hash in (
             select token_hash from email_verification_tokens where expires_at < now() order by expires_at limit $1)",
        at_most
    )
    .execute(&backend.db)
    .await?;
    Ok(purged.rows_affected())
}
