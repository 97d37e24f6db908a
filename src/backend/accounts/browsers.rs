//! Known browsers: browsers that have signed in to an account. While somebody guesses the account's password, only
//! these may sign in.
//!
//! Each browser has one token, in a cookie that outlives sessions. The token alone gives access to nothing.

use sqlx::PgConnection;

use super::{tokens::SecretToken, visitor::Visitor};
use crate::{
    backend::{Backend, Result},
    domain::ids::UserId,
};

/// The largest number of known browsers of one account. Beyond it, the least recently used one is deleted.
const KNOWN_MAX: i64 = 50;
/// The retention of an unused known browser, in days: the lifetime of its cookie.
const RETENTION_DAYS: i32 = 400;

/// Whether the visitor's browser is known to this account. Queries the database for an unknown account, too, so that
/// both cases take the same time.
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

/// Makes the visitor's browser known to this account. Returns the token for its cookie: the token that the browser sent
/// if the server made it, or a new one.
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

/// Whether the server made this token. A token that somebody planted in the browser is replaced.
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

/// Deletes known browsers whose cookie has expired. Returns their number.
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
