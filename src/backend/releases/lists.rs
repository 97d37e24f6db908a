//! Lists of releases: filtered, sorted, counted and paged by the database.

use std::collections::HashMap;

use sqlx::PgPool;

use super::{Releases, view};
use crate::{
    backend::{Result, db},
    domain::{
        account::Actor,
        ids::{ObjectId, ReleaseId, UserId},
        problem::Problem,
        release::{
            Missing, PAGE_SIZE, Page, ReleaseCounts, ReleaseFilter, ReleaseSort, ReleaseStatus, ReleaseSummary,
            pages_of,
        },
    },
};

/// The number of characters of a search that count.
const SEARCH_MAX_CHARS: usize = 100;
const CONTINUE_MAX: i64 = 6;

impl Releases<'_> {
    /// The actor's own releases.
    pub async fn own(&self, actor: &Actor, filter: &ReleaseFilter) -> Result<Page<ReleaseSummary>> {
        let filter = ReleaseFilter { artist: Some(actor.id), ..filter.clone() };
        search(&self.0.db, &filter).await
    }

    pub async fn own_counts(&self, actor: &Actor) -> Result<ReleaseCounts> {
        let counts = sqlx::query_as!(
            ReleaseCounts,
            r#"select count(*) filter (where status = 'DRAFT') as "draft!",
                      count(*) filter (where status = 'PROCESSING') as "processing!",
                      count(*) filter (where status = 'PENDING_REVIEW') as "pending_review!",
                      count(*) filter (where status = 'PUBLISHED') as "published!",
                      count(*) filter (where status = 'REJECTED') as "rejected!"
               from releases where artist_id = $1"#,
            actor.id as UserId
        )
        .fetch_one(&self.0.db)
        .await?;
        Ok(counts)
    }

    /// Lists drafts and rejected releases, the latest change first.
    pub async fn to_continue(&self, actor: &Actor) -> Result<Vec<ReleaseSummary>> {
        let rows = sqlx::query_as!(
            ReleaseSummary,
            r#"select r.id as "id: ReleaseId", r.title, r.title_version, r.status as "status: ReleaseStatus",
                      r.artist_id as "artist_id: UserId", u.artist_name,
                      (select o.id from objects o where o.id = r.cover_id and o.examination = 'PASSED') as "cover: ObjectId",
                      (select count(*) from tracks t where t.release_id = r.id) as "track_count!",
                      r.release_date, r.updated_at, r.submitted_at,
                      (r.status = 'REJECTED' or release_has_failed_file(r.id)) as "needs_attention!"
               from releases r join users u on u.id = r.artist_id
               where r.artist_id = $1 and r.status in ('DRAFT', 'REJECTED')
               order by r.updated_at desc, r.id
               limit $2"#,
            actor.id as UserId,
            CONTINUE_MAX
        )
        .fetch_all(&self.0.db)
        .await?;
        Ok(rows)
    }
}

impl Releases<'_> {
    /// Finds the checklist item to fix first for each of the actor's own drafts in `releases`. Complete drafts have no
    /// item, and neither have drafts that were deleted meanwhile.
    pub async fn first_missing(
        &self,
        actor: &Actor,
        releases: &[ReleaseSummary],
    ) -> Result<HashMap<ReleaseId, Missing>> {
        let mut tx = db::snapshot(&self.0.db).await?;
        let mut found = HashMap::new();
        for draft in releases.iter().filter(|release| release.status == ReleaseStatus::Draft) {
            let release = view::load(&mut tx, draft.id).await?.filter(|release| release.artist_id == actor.id);
            found.extend(release.and_then(|release| Some((release.id, release.first_missing()?))));
        }
        Ok(found)
    }
}

/// Turns a search into a pattern for `ilike` in which `%` and `_` mean themselves. `None` if the search is empty.
///
/// # Errors
/// `Invalid` if the search contains U+0000, which no text in the database contains.
pub(super) fn like_pattern(search: &str) -> Result<Option<String>> {
    if search.contains('\0') {
        return Err(Problem::field("search", "This text contains an invisible character. Type the text again.").into());
    }
    let typed: String = search.trim().chars().take(SEARCH_MAX_CHARS).collect();
    if typed.is_empty() {
        return Ok(None);
    }
    let escaped = typed.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    Ok(Some(format!("%{escaped}%")))
}

/// Limits a page number to the pages that the list has. Pages count from 1.
pub(in crate::backend) fn page_of(page: u32, total: i64) -> u32 {
    page.clamp(1, pages_of(total))
}

/// The number of rows before a page.
pub(in crate::backend) fn offset_of(page: u32) -> i64 {
    (i64::from(page) - 1) * PAGE_SIZE
}

/// The query for the rows of a list, in the given order.
macro_rules! summaries {
    ($order:literal, $status:expr, $artist:expr, $pattern:expr, $offset:expr) => {
        sqlx::query_as!(
            ReleaseSummary,
            r#"select r.id as "id: ReleaseId", r.title, r.title_version, r.status as "status: ReleaseStatus",
                      r.artist_id as "artist_id: UserId", u.artist_name,
                      (select o.id from objects o where o.id = r.cover_id and o.examination = 'PASSED') as "cover: ObjectId",
                      (select count(*) from tracks t where t.release_id = r.id) as "track_count!",
                      r.release_date, r.updated_at, r.submitted_at,
                      (r.status = 'REJECTED' or release_has_failed_file(r.id)) as "needs_attention!"
               from releases r join users u on u.id = r.artist_id
               where ($1::release_status is null or r.status = $1)
                 and ($2::uuid is null or r.artist_id = $2)
                 and ($3::text is null or r.title ilike $3 or r.title_version ilike $3
                      or ($2::uuid is null and u.artist_name ilike $3))
               order by "# + $order + r#" limit $4 offset $5"#,
            $status as Option<ReleaseStatus>,
            $artist as Option<UserId>,
            $pattern,
            PAGE_SIZE,
            $offset
        )
    };
}

/// Lists the releases of all artists, or of one, as the filter says.
pub(in crate::backend) async fn search(db: &PgPool, filter: &ReleaseFilter) -> Result<Page<ReleaseSummary>> {
    let (status, artist, pattern) = (filter.status, filter.artist, like_pattern(&filter.search)?);
    let pattern = pattern.as_deref();
    let total = count(db, status, artist, pattern).await?;
    let page = page_of(filter.page, total);
    let offset = offset_of(page);
    let rows = match filter.sort {
        ReleaseSort::Changed => {
            summaries!("r.updated_at desc, r.id", status, artist, pattern, offset).fetch_all(db).await?
        }
        // The order ignores accents and case, whatever the database's collation: “Élan” stands between “Echo” and
        // “Ember”.
        ReleaseSort::Title => {
            summaries!(
                "lower(regexp_replace(normalize(r.title, nfkd), '[\\u0300-\\u036f]', '', 'g')), r.title, r.id",
                status,
                artist,
                pattern,
                offset
            )
            .fetch_all(db)
            .await?
        }
        ReleaseSort::ReleaseDate => {
            summaries!("r.release_date desc nulls last, r.id", status, artist, pattern, offset).fetch_all(db).await?
        }
    };
    Ok(Page::new(rows, page, total))
}

/// Lists the releases that wait for a verdict, the longest wait first.
pub(super) async fn review_queue(
    db: &PgPool,
    search: &str,
    artist: Option<UserId>,
    page: u32,
) -> Result<Page<ReleaseSummary>> {
    let (status, pattern) = (Some(ReleaseStatus::PendingReview), like_pattern(search)?);
    let pattern = pattern.as_deref();
    let total = count(db, status, artist, pattern).await?;
    let page = page_of(page, total);
    let offset = offset_of(page);
    let rows = summaries!("r.submitted_at, r.id", status, artist, pattern, offset).fetch_all(db).await?;
    Ok(Page::new(rows, page, total))
}

async fn count(
    db: &PgPool,
    status: Option<ReleaseStatus>,
    artist: Option<UserId>,
    pattern: Option<&str>,
) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from releases r join users u on u.id = r.artist_id
           where ($1::release_status is null or r.status = $1)
             and ($2::uuid is null or r.artist_id = $2)
             and ($3::text is null or r.title ilike $3 or r.title_version ilike $3
                  or ($2::uuid is null and u.artist_name ilike $3))"#,
        status as Option<ReleaseStatus>,
        artist as Option<UserId>,
        pattern
    )
    .fetch_one(db)
    .await?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_means_what_was_typed() {
        assert_eq!(like_pattern("  ").unwrap(), None);
        assert_eq!(like_pattern("50%_\\").unwrap().as_deref(), Some("%50\\%\\_\\\\%"));
        assert!(like_pattern("a\0b").is_err());
    }
}
