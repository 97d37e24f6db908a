//! Flashes: what a form that was sent without scripts came to, kept until the page that it leads to has shown it, once.
//!
//! The browser's cookie holds only a token, so that neither a link nor a cookie can put words into our mouth. In the database and not in
//! memory: another process may answer the next request.

use super::sessions::SecretToken;
use crate::backend::{Backend, Result};

/// Seconds; much longer than a browser takes to follow a redirect, and long enough to sign in on the way.
pub(super) const FLASH_SECONDS: i32 = 10 * 60;
/// Flashes that wait at once: with the largest form that is taken, they hold 128 MB at most.
const WAITING_MAX: i64 = 2000;

pub struct Flashes<'a>(pub(in crate::backend) &'a Backend);

impl Flashes<'_> {
    /// Keeps `content` for the page at `page`. `None`: too many wait already.
    pub async fn leave(&self, page: &str, content: &str) -> Result<Option<SecretToken>> {
        let token = SecretToken::generate()?;
        let left = sqlx::query!(
            "insert into flashes (token_hash, page, content, expires_at)
             select $1, $2, $3, now() + make_interval(secs => $4)
             where (select count(*) from flashes where expires_at > now()) < $5",
            token.hash(),
            page,
            content,
            f64::from(FLASH_SECONDS),
            WAITING_MAX
        )
        .execute(&self.0.db)
        .await?;
        Ok((left.rows_affected() == 1).then_some(token))
    }

    /// What waits for this page. Of two requests at once, one gets it.
    pub async fn take(&self, token: &SecretToken, page: &str) -> Result<Option<String>> {
        let content = sqlx::query_scalar!(
            "delete from flashes where token_hash = $1 and page = $2 and expires_at > now() returning content",
            token.hash(),
            page
        )
        .fetch_optional(&self.0.db)
        .await?;
        Ok(content)
    }
}

/// Deletes flashes that nobody has asked for. Returns their number.
pub(in crate::backend) async fn delete_expired(backend: &Backend, at_most: i64) -> Result<u64> {
    let purged = sqlx::query!(
        "delete from flashes where token_hash in (
             select token_hash from flashes where expires_at < now() order by expires_at limit $1)",
        at_most
    )
    .execute(&backend.db)
    .await?;
    Ok(purged.rows_affected())
}
