//! Known browsers: those from which an account was signed in to. While somebody guesses its password, only these may sign in.
//!
//! A browser has one token, in a cookie that outlives sessions; the token alone opens nothing.

use sqlx::PgConnection;

use super::{Visitor, sessions::SecretToken};
use crate::{
    backend::{Backend, Result},
    domain::ids::UserId,
};

/// Browsers of one account that are remembered; the one not used for longest goes first.
const KNOWN_MAX: i64 = 50;
/// As long as browsers keep the cookie.
const RETENTION_DAYS: i32 = 400;

/// Whether the visitor has signed in to this account before. Asks the database for an unknown account, too, so that both take the same time.
pub(in crate::backend) async fn is_known(backend: &Backend, user: Option<UserId>, visitor: &Visitor) -> Result<bool> {
    let Some(browser) = &visitor.browser else { return Ok(false) };
    let is_known = sqlx::query_scalar!(
        r#"select exists (select 1 from known_browsers where user_id = $1 and token_hash = $2
                          and last_used_at > now() - make_interval(days => $3)) as "is_known!""#,
        user as Option<UserId>,
        browser.hash(),
        RETENTION_DAYS
    )
    .fetch_one(&backend.db)
    .await?;
    Ok(is_known)
}

/// Remembers the visitor's browser for this account. Returns the token for its cookie: the one that it sent, if the server has made it.
pub(super) async fn remember(db: &mut PgConnection, user: UserId, visitor: &Visitor) -> Result<SecretToken> {
    let token = match &visitor.browser {
        Some(token) if is_ours(db, token).await? => token.clone(),
        _ => SecretToken::generate()?,
    };
    sqlx::query!(
        "insert into known_browsers (token_hash, user_id) values ($1, $2)
         on conflict (user_id, token_hash) do update set last_used_at = now()",
        token.hash(),
        user as UserId
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "delete from known_browsers where user_id = $1 and token_hash in (
             select token_hash from known_browsers where user_id = $1 order by last_used_at desc offset $2)",
        user as UserId,
        KNOWN_MAX
    )
    .execute(db)
    .await?;
    Ok(token)
}

/// True if the server made this token. A token that somebody planted in the browser is replaced.
async fn is_ours(db: &mut PgConnection, token: &SecretToken) -> Result<bool> {
    let is_ours = sqlx::query_scalar!(
        r#"select exists (select 1 from known_browsers where token_hash = $1) as "is_ours!""#,
        token.hash()
    )
    .fetch_one(db)
    .await?;
    Ok(is_ours)
}

/// Deletes all known browsers of an account.
pub(super) async fn delete_all_of(db: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("delete from known_browsers where user_id = $1", user as UserId).execute(db).await?;
    Ok(())
}

/// Deletes browsers whose cookie has expired. Returns their number.
pub(in crate::backend) async fn delete_old(backend: &Backend, at_most: i64) -> Result<u64> {
    let purged = sqlx::query!(
        "delete from known_browsers where (user_id, token_hash) in (
             select user_id, token_hash from known_browsers where last_used_at < now() - make_interval(days => $1)
             order by last_used_at limit $2)",
        RETENTION_DAYS,
        at_most
    )
    .execute(&backend.db)
    .await?;
    Ok(purged.rows_affected())
}
