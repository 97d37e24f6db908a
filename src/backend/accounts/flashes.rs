//! Flashes: the result of a form that was sent without scripts. A flash is kept until the page that the form leads to
//! has shown it once.
//!
//! The browser's cookie holds only a random token, so neither a link nor a cookie can put words on our pages. Flashes
//! are stored in the database, because another process may answer the next request.

use super::{tokens::FLASH_SECONDS, tokens::SecretToken};
use crate::backend::{Backend, Result};

/// The largest number of flashes that wait at once. With the largest allowed form each, they take 128 MB.
const WAITING_MAX: i64 = 2000;

pub struct Flashes<'a>(pub(in crate::backend) &'a Backend);

impl Flashes<'_> {
    /// Stores `content` for the page at `page`. Returns its token, or `None` if too many flashes wait.
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

    /// Takes the content of the flash that waits for this page. Only one of two concurrent requests gets it.
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

/// Deletes expired flashes. Returns their number.
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
