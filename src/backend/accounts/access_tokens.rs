//! Personal access tokens, with which scripts upload for a user. They are opaque, like session tokens, and their owner
//! can revoke them.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{locks, name_in_log, security_log, sessions, tokens::SecretToken, visitor::Visitor};
use crate::{
    backend::{
        Backend, Result, db,
        mail::{self, Recipient},
    },
    domain::{
        account::{
            ACCESS_TOKEN_NOTICE_DAYS, ACCESS_TOKENS_MAX, AccessToken, AccessTokenName, Actor, NewAccessToken, Role,
        },
        ids::{AccessTokenId, UserId},
        mail::Message,
        problem::Problem,
        security::SecurityEventKind,
    },
};

/// The prefix of access tokens. It makes a leaked token in a log or a repository recognisable.
const PREFIX: &str = "vwaza_";

pub struct AccessTokens<'a>(pub(in crate::backend) &'a Backend);

impl AccessTokens<'_> {
    /// Creates a token that is valid for `days` days. The token cannot be shown again.
    ///
    /// # Errors
    /// `SignedOut` when the session that `current` proves has ended in the meantime; `Conflict` when the actor has
    /// [`ACCESS_TOKENS_MAX`] tokens.
    pub async fn make(
        &self,
        actor: &Actor,
        current: &SecretToken,
        name: &AccessTokenName,
        days: i32,
        visitor: &Visitor,
    ) -> Result<NewAccessToken> {
        let token = SecretToken::generate()?;
        let id = AccessTokenId(Uuid::now_v7());
        let mut tx = db::begin(&self.0.db).await?;
        locks::lock_user(&mut tx, actor.id).await?;
        sessions::require(&mut tx, actor.id, current).await?;
        let made = sqlx::query!(
            "insert into access_tokens (id, user_id, name, token_hash, expires_at)
             select $1, $2, $3, $4, now() + make_interval(days => $6) where (select count(*) from access_tokens where user_id = $2) < $5",
            id as AccessTokenId,
            actor.id as UserId,
            name.as_str(),
            token.hash(),
            ACCESS_TOKENS_MAX,
            days
        )
        .execute(&mut *tx)
        .await?;
        if made.rows_affected() == 0 {
            let message = format!("You have {ACCESS_TOKENS_MAX} access tokens. Revoke one that you do not use.");
            return Err(Problem::conflict(message).into());
        }
        security_log::record(&mut tx, actor.id, SecurityEventKind::AccessTokenMade, name.as_str(), visitor).await?;
        tx.commit().await?;
        Ok(NewAccessToken { id, token: format!("{PREFIX}{}", token.reveal()) })
    }

    /// The actor's tokens, newest first.
    pub async fn list(&self, actor: &Actor) -> Result<Vec<AccessToken>> {
        let tokens = sqlx::query_as!(
            AccessToken,
            r#"select id as "id: AccessTokenId", name, created_at, last_used_at, expires_at, expires_at <= now() as "is_expired!"
               from access_tokens where user_id = $1 order by created_at desc, id"#,
            actor.id as UserId
        )
        .fetch_all(&self.0.db)
        .await?;
        Ok(tokens)
    }

    /// Deletes one access token of the actor.
    ///
    /// # Errors
    /// `NotFound` for a token that is not the actor's.
    pub async fn revoke(&self, actor: &Actor, id: AccessTokenId, visitor: &Visitor) -> Result<()> {
        let mut tx = db::begin(&self.0.db).await?;
        let name = sqlx::query_scalar!(
            "delete from access_tokens where id = $1 and user_id = $2 returning name",
            id as AccessTokenId,
            actor.id as UserId
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Problem::NotFound)?;
        security_log::record(&mut tx, actor.id, SecurityEventKind::AccessTokenRevoked, &name, visitor).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The user of a token; `None` if the token is unknown or has expired, or the account is disabled.
    pub async fn actor(&self, token: &str) -> Result<Option<Actor>> {
        let Some(token) = parse(token) else { return Ok(None) };
        let row = sqlx::query!(
            r#"select t.id as "token: AccessTokenId", u.id as "id: UserId", u.role as "role: Role", u.email, u.artist_name,
                      $2 and u.email_verified_at is null as "must_verify_email!",
                      coalesce(t.last_used_at < now() - interval '1 minute', true) as "needs_refresh!"
               from access_tokens t join users u on u.id = t.user_id
               where t.token_hash = $1 and t.expires_at > now() and u.disabled_at is null"#,
            token.hash(),
            self.0.settings.requires_verified_email
        )
        .fetch_optional(&self.0.db)
        .await?;
        let Some(row) = row else { return Ok(None) };
        self.0.limits.remember_user_of(&token, row.id);
        if row.needs_refresh {
            sqlx::query!("update access_tokens set last_used_at = now() where id = $1", row.token as AccessTokenId)
                .execute(&self.0.db)
                .await?;
        }
        let actor = Actor {
            id: row.id,
            role: row.role,
            email: row.email,
            artist_name: row.artist_name,
            must_verify_email: row.must_verify_email,
            // A token gives no admin rights.
            must_set_up_two_factor: false,
        };
        name_in_log(&actor);
        Ok(Some(actor))
    }
}

/// Parses an access token as its owner writes it; `None` if it is malformed.
pub fn parse(token: &str) -> Option<SecretToken> {
    token.strip_prefix(PREFIX).and_then(SecretToken::parse)
}

pub(super) async fn revoke_all_of(db: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("delete from access_tokens where user_id = $1", user as UserId).execute(db).await?;
    Ok(())
}

/// Queues a mail to the owner of each token that is about to expire, once per token. Returns the number of tokens.
pub(in crate::backend) async fn enqueue_expiry_mails(backend: &Backend, at_most: i64) -> Result<u64> {
    let mut tx = db::begin(&backend.db).await?;
    let expiring = sqlx::query!(
        r#"update access_tokens set expiry_told_at = now()
           where id in (select id from access_tokens
                        where expires_at > now() and expires_at < now() + make_interval(days => $1) and expiry_told_at is null
                        order by expires_at limit $2 for update skip locked)
           returning user_id as "user: UserId", name, expires_at"#,
        ACCESS_TOKEN_NOTICE_DAYS,
        at_most
    )
    .fetch_all(&mut *tx)
    .await?;
    let told = expiring.len() as u64;
    for token in expiring {
        let message = Message::AccessTokenExpires { name: token.name, expires_at: token.expires_at };
        mail::enqueue(&mut tx, Recipient::User(token.user), message).await?;
    }
    tx.commit().await?;
    Ok(told)
}

/// Deletes tokens that expired more than 30 days ago. Until then, their owners can see why a script is refused. Returns
/// their number.
pub(in crate::backend) async fn delete_expired(backend: &Backend, at_most: i64) -> Result<u64> {
    let purged = sqlx::query!(
        "delete from access_tokens where id in (
             select id from access_tokens where expires_at < now() - interval '30 days' order by expires_at limit $1)",
        at_most
    )
    .execute(&backend.db)
    .await?;
    Ok(purged.rows_affected())
}
