//! Personal access tokens: with them, scripts upload for a person. Opaque like a session, and revoked by its owner.

use uuid::Uuid;

use super::{Backend, Result, db, sessions::SecretToken, users};
use crate::domain::{
    account::{ACCESS_TOKENS_MAX, AccessToken, AccessTokenName, Actor, NewAccessToken, Role},
    ids::{AccessTokenId, UserId},
    problem::Problem,
};

/// Tells a token that has found its way into a log or a repository from any other hexadecimal.
const PREFIX: &str = "vwaza_";

pub struct AccessTokens<'a>(pub(super) &'a Backend);

impl AccessTokens<'_> {
    /// Makes a token. This is the only time that it can be seen.
    ///
    /// # Errors
    /// 409 when the actor has too many already.
    pub async fn make(&self, actor: &Actor, name: &AccessTokenName) -> Result<NewAccessToken> {
        let token = SecretToken::generate()?;
        let id = AccessTokenId(Uuid::now_v7());
        let mut tx = db::begin(&self.0.db).await?;
        users::one_at_a_time(&mut tx, actor.id).await?;
        let made = sqlx::query!(
            "insert into access_tokens (id, user_id, name, token_hash)
             select $1, $2, $3, $4 where (select count(*) from access_tokens where user_id = $2) < $5",
            id as AccessTokenId,
            actor.id as UserId,
            name.as_str(),
            token.hash(),
            ACCESS_TOKENS_MAX
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        if made.rows_affected() == 0 {
            let message = format!("You have {ACCESS_TOKENS_MAX} access tokens. Revoke one that you do not use.");
            return Err(Problem::conflict(message).into());
        }
        Ok(NewAccessToken { id, token: format!("{PREFIX}{}", token.reveal()) })
    }

    /// The newest first.
    pub async fn list(&self, actor: &Actor) -> Result<Vec<AccessToken>> {
        let tokens = sqlx::query_as!(
            AccessToken,
            r#"select id as "id: AccessTokenId", name, created_at, last_used_at
               from access_tokens where user_id = $1 order by created_at desc, id"#,
            actor.id as UserId
        )
        .fetch_all(&self.0.db)
        .await?;
        Ok(tokens)
    }

    /// # Errors
    /// 404 for what is not the actor's own.
    pub async fn revoke(&self, actor: &Actor, id: AccessTokenId) -> Result<()> {
        let revoked = sqlx::query!(
            "delete from access_tokens where id = $1 and user_id = $2",
            id as AccessTokenId,
            actor.id as UserId
        )
        .execute(&self.0.db)
        .await?;
        if revoked.rows_affected() == 1 { Ok(()) } else { Err(Problem::NotFound.into()) }
    }

    /// Whom a token belongs to, unless the account is disabled.
    pub async fn actor(&self, token: &str) -> Result<Option<Actor>> {
        let Some(token) = token.strip_prefix(PREFIX).and_then(SecretToken::parse) else { return Ok(None) };
        let row = sqlx::query!(
            r#"select t.id as "token: AccessTokenId", u.id as "id: UserId", u.role as "role: Role", u.email, u.artist_name,
                      coalesce(t.last_used_at < now() - interval '1 minute', true) as "is_news!"
               from access_tokens t join users u on u.id = t.user_id
               where t.token_hash = $1 and u.disabled_at is null"#,
            token.hash()
        )
        .fetch_optional(&self.0.db)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if row.is_news {
            sqlx::query!("update access_tokens set last_used_at = now() where id = $1", row.token as AccessTokenId)
                .execute(&self.0.db)
                .await?;
        }
        Ok(Some(Actor { id: row.id, role: row.role, email: row.email, artist_name: row.artist_name }))
    }
}
