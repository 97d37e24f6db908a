//! The review: the lists of releases and artists that admins see, and their verdicts.

use super::{
    changed_facts,
    lists::{self, like_pattern, offset_of, page_of},
    locked,
};
use crate::{
    backend::{Backend, Result, db},
    domain::{
        account::{Actor, Role},
        ids::{ObjectId, ReleaseId, UserId},
        problem::Problem,
        release::{PAGE_SIZE, Page, ReleaseCounts, ReleaseEventKind, ReleaseFilter, ReleaseStatus, ReleaseSummary},
        review::{ArtistSummary, Verdict, VerdictOutcome},
    },
};

const RESULT_CHANGED: &str =
    "The result of this file changed just now, or another admin dismissed it. Reload the page to see its state.";

pub struct Review<'a>(pub(in crate::backend) &'a Backend);

impl Review<'_> {
    /// Lists the releases that wait for a verdict, the longest wait first.
    pub async fn queue(
        &self,
        actor: &Actor,
        search: &str,
        artist: Option<UserId>,
        page: u32,
    ) -> Result<Page<ReleaseSummary>> {
        actor.require_admin()?;
        lists::review_queue(&self.0.db, search, artist, page).await
    }

    /// Lists the releases of all artists, in every status.
    pub async fn releases(&self, actor: &Actor, filter: &ReleaseFilter) -> Result<Page<ReleaseSummary>> {
        actor.require_admin()?;
        lists::search(&self.0.db, filter).await
    }

    /// Approves or rejects a release. `version` is the version that the reviewer's page showed.
    ///
    /// # Errors
    /// `Conflict` if the release no longer waits for a verdict, or if it has another version. An approval is also a
    /// `Conflict` while a new file is not stored, or if a file would be refused today.
    pub async fn decide(&self, actor: &Actor, id: ReleaseId, version: i64, verdict: Verdict) -> Result<VerdictOutcome> {
        actor.require_admin()?;
        let mut tx = db::begin(&self.0.db).await?;
        let release = locked::lock(&mut tx, id).await?.ok_or(Problem::NotFound)?;
        if release.status != ReleaseStatus::PendingReview {
            return Err(Problem::conflict(match release.status {
                ReleaseStatus::Published => "This release was approved before you decided. Your verdict was not saved.",
                ReleaseStatus::Rejected => "This release was rejected before you decided. Your verdict was not saved.",
                _ => "The artist withdrew this release before you decided. Your verdict was not saved.",
            })
            .into());
        }
        if release.version != version {
            return Err(Problem::conflict(
                "This release changed since you opened it. Reload the page and listen again before you decide.",
            )
            .into());
        }
        if matches!(verdict, Verdict::Approve) && locked::has_unfinished_upload(&mut tx, id).await? {
            return Err(Problem::conflict(
                "A new file of this release is not ready yet. Reload the page and listen to it before you decide.",
            )
            .into());
        }
        if matches!(verdict, Verdict::Approve)
            && let Some((file, why)) = changed_facts::refusal_in(&mut tx, id).await?
        {
            return Err(Problem::conflict(format!(
                "We examined “{file}” again and it did not pass: {why} Reject the release, so that the artist can replace the file."
            ))
            .into());
        }
        let (status, kind, reason) = match &verdict {
            Verdict::Approve => (ReleaseStatus::Published, ReleaseEventKind::Approved, None),
            Verdict::Reject { reason } => (ReleaseStatus::Rejected, ReleaseEventKind::Rejected, Some(reason.as_str())),
        };
        locked::transition(&mut tx, release, status, kind, Some(actor.id), reason).await?;
        // The reviewer gets the release after this one in the queue, and after the last one the first. So a reviewer
        // who skips a release does not come back to it at once.
        let next = sqlx::query_scalar!(
            r#"select r.id as "id: ReleaseId" from releases r join releases decided on decided.id = $1
               where r.status = 'PENDING_REVIEW'
               order by (r.submitted_at, r.id) < (decided.submitted_at, decided.id), r.submitted_at, r.id
               limit 1"#,
            id as ReleaseId
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        self.0.events.release_changed(id, release.artist);
        Ok(VerdictOutcome { next })
    }

    /// Takes a changed file from the list of admins. `revision` is the result that the admin's page showed. The file
    /// comes back if a later examination finds something else.
    ///
    /// # Errors
    /// `NotFound` for an unknown file. `Conflict` if the file has another result now, or none, or if the result is
    /// dismissed already.
    pub async fn dismiss_changed_file(&self, actor: &Actor, object: ObjectId, revision: i64) -> Result<()> {
        actor.require_admin()?;
        let mut tx = db::begin(&self.0.db).await?;
        if !changed_facts::dismiss(&mut tx, object, revision, actor.id).await? {
            let is_known = sqlx::query_scalar!(
                r#"select exists (select 1 from objects where id = $1) as "exists!""#,
                object as ObjectId
            )
            .fetch_one(&mut *tx)
            .await?;
            return Err(if is_known { Problem::conflict(RESULT_CHANGED) } else { Problem::NotFound }.into());
        }
        tx.commit().await?;
        tracing::info!(object.id = %object, user.id = %actor.id, "changed file dismissed");
        Ok(())
    }

    /// Lists all accounts with the counts of their releases, by name. The order ignores accents and case, as in lists
    /// of releases.
    pub async fn artists(&self, actor: &Actor, search: &str, page: u32) -> Result<Page<ArtistSummary>> {
        actor.require_admin()?;
        let pattern = like_pattern(search)?;
        let total = sqlx::query_scalar!(
            r#"select count(*) as "count!" from users where $1::text is null or artist_name ilike $1 or email ilike $1"#,
            pattern.as_deref()
        )
        .fetch_one(&self.0.db)
        .await?;
        let page = page_of(page, total);
        let rows = sqlx::query!(
            r#"with shown as (
                   select id, artist_name, email, role, disabled_at, created_at from users
                   where $1::text is null or artist_name ilike $1 or email ilike $1
                   order by lower(regexp_replace(normalize(artist_name, nfkd), '[\u0300-\u036f]', '', 'g')), artist_name, id
                   limit $2 offset $3
               )
               select s.id as "id: UserId", s.artist_name, s.email, s.role as "role: Role", s.disabled_at is not null as "is_disabled!", s.created_at,
                      count(*) filter (where r.status = 'DRAFT') as "draft!",
                      count(*) filter (where r.status = 'PROCESSING') as "processing!",
                      count(*) filter (where r.status = 'PENDING_REVIEW') as "pending_review!",
                      count(*) filter (where r.status = 'PUBLISHED') as "published!",
                      count(*) filter (where r.status = 'REJECTED') as "rejected!"
               from shown s left join releases r on r.artist_id = s.id
               group by s.id, s.artist_name, s.email, s.role, s.disabled_at, s.created_at
               order by lower(regexp_replace(normalize(s.artist_name, nfkd), '[\u0300-\u036f]', '', 'g')), s.artist_name, s.id"#,
            pattern.as_deref(),
            PAGE_SIZE,
            offset_of(page)
        )
        .fetch_all(&self.0.db)
        .await?;
        let rows = rows.into_iter().map(|row| ArtistSummary {
            id: row.id,
            artist_name: row.artist_name,
            email: row.email,
            role: row.role,
            is_disabled: row.is_disabled,
            created_at: row.created_at,
            releases: ReleaseCounts {
                draft: row.draft,
                processing: row.processing,
                pending_review: row.pending_review,
                published: row.published,
                rejected: row.rejected,
            },
        });
        Ok(Page::new(rows.collect(), page, total))
    }
}
