//! The review: the lists of releases and artists that admins see, and their verdicts.

use sqlx::PgPool;
use time::OffsetDateTime;
use tracing::info_span;
use uuid::Uuid;

use super::{changed_facts, lists, locked, search};
use crate::{
    backend::{
        Backend, Result,
        audit::{self, By, NewEntry},
        cause::{self, Cause, TRACE_ONLY},
        db,
        paging::{PageSearch, Side},
    },
    domain::{
        account::{Actor, Role},
        audit::AuditAction,
        ids::{ObjectId, ReleaseId, UserId},
        page::{Count, Page, PageLinks, PageStart, Place},
        problem::Problem,
        release::{ReleaseEventKind, ReleaseFilter, ReleaseStatus, ReleaseSummary},
        review::{ArtistSummary, Verdict, VerdictOutcome},
        search::Search,
    },
};

const RESULT_CHANGED: &str =
    "The result of this file changed just now, or another admin dismissed it. Reload the page to see its state.";

/// An account in the list of artists, without its releases.
struct Account {
    id: UserId,
    artist_name: String,
    email: String,
    role: Role,
    is_disabled: bool,
    created_at: OffsetDateTime,
}

/// The query for accounts from a table `users`, which the rest of the statement names.
macro_rules! accounts {
    ($from:literal $(+ $more:literal)*, $($bind:expr),+) => {
        sqlx::query_as!(
            Account,
            r#"select users.id as "id: UserId", artist_name, email, role as "role: Role", disabled_at is not null as "is_disabled!", created_at
               from "# + $from $(+ $more)*,
            $($bind),+
        )
    };
}

/// The query for the accounts on one side of a place.
macro_rules! accounts_beside {
    ($than:literal, $direction:literal, $($bind:expr),+) => {
        accounts!(
            "users where (sort_text(artist_name), users.id) " + $than + " (sort_text($1), $2)
             order by sort_text(artist_name) " + $direction + ", users.id " + $direction + " limit 25",
            $($bind),+
        )
    };
}

pub struct Review<'a>(pub(in crate::backend) &'a Backend);

impl Review<'_> {
    /// Lists the releases that wait for a verdict, the longest wait first.
    pub async fn queue(
        &self,
        actor: &Actor,
        search: &str,
        artist: Option<UserId>,
        start: &PageStart,
    ) -> Result<Page<ReleaseSummary>> {
        actor.require_admin()?;
        lists::review_queue(&self.0.db, search, artist, start).await
    }

    /// Lists the releases of all artists, in every status.
    pub async fn releases(&self, actor: &Actor, filter: &ReleaseFilter) -> Result<Page<ReleaseSummary>> {
        actor.require_admin()?;
        lists::list(&self.0.db, filter).await
    }

    /// Approves or rejects a release. `version` is the version that the reviewer's page showed.
    ///
    /// # Errors
    /// `Conflict` if the release no longer waits for a verdict, or if it has another version. An approval is also a
    /// `Conflict` while a new file is not stored, or if a file would be refused today.
    pub async fn decide(&self, actor: &Actor, id: ReleaseId, version: i64, verdict: Verdict) -> Result<VerdictOutcome> {
        actor.require_admin()?;
        let trace_parent = self.trace_parent(id).await?;
        let span = info_span!(target: TRACE_ONLY, "verdict", release.id = %id);
        cause::rejoin(trace_parent.as_deref(), span, self.decide_in_trace(actor, id, version, verdict)).await
    }

    /// The span that enqueued the last job of a release. Its trace began with an upload. `None` if no traces are exported.
    async fn trace_parent(&self, id: ReleaseId) -> Result<Option<String>> {
        if Cause::current().trace_parent.is_none() {
            return Ok(None);
        }
        let trace_parent = sqlx::query_scalar!(
            r#"select trace_parent as "trace_parent!" from upload_jobs
               where release_id = $1 and trace_parent is not null order by updated_at desc limit 1"#,
            id as ReleaseId
        );
        Ok(trace_parent.fetch_optional(&self.0.db).await?)
    }

    async fn decide_in_trace(
        &self,
        actor: &Actor,
        id: ReleaseId,
        version: i64,
        verdict: Verdict,
    ) -> Result<VerdictOutcome> {
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
            r#"select coalesce(
                   (select r.id from releases r
                    where r.status = 'PENDING_REVIEW'
                      and (r.submitted_at, r.id) > (select decided.submitted_at, decided.id from releases decided where decided.id = $1)
                    order by r.submitted_at, r.id limit 1),
                   (select r.id from releases r where r.status = 'PENDING_REVIEW' order by r.submitted_at, r.id limit 1)
               ) as "id: ReleaseId""#,
            id as ReleaseId
        )
        .fetch_one(&mut *tx)
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
        let file = changed_facts::file_of(&mut tx, object).await?;
        audit::record(
            &mut tx,
            NewEntry {
                subject: Some(object.0),
                label: Some(&file.name),
                release: file.release,
                ..NewEntry::new(By::Admin(actor.id), AuditAction::ResultDismissed)
            },
        )
        .await?;
        tx.commit().await?;
        tracing::info!(object.id = %object, user.id = %actor.id, "changed file dismissed");
        Ok(())
    }

    /// Lists all accounts with the counts of their releases, by name. The order ignores accents and case, as in lists
    /// of releases.
    pub async fn artists(&self, actor: &Actor, search: &str, start: &PageStart) -> Result<Page<ArtistSummary>> {
        actor.require_admin()?;
        let db = &self.0.db;
        let (accounts, links, total) = match search::parse(search)? {
            None => read_accounts(db, start).await?,
            Some(search) => find_accounts(db, &search, start).await?,
        };
        let ids: Vec<UserId> = accounts.iter().map(|account| account.id).collect();
        let mut counts = lists::counts_of(db, &ids).await?;
        let rows = accounts.into_iter().map(|account| ArtistSummary {
            releases: counts.remove(&account.id).unwrap_or_default(),
            id: account.id,
            artist_name: account.artist_name,
            email: account.email,
            role: account.role,
            is_disabled: account.is_disabled,
            created_at: account.created_at,
        });
        Ok(Page { rows: rows.collect(), links, total, is_similar: false })
    }
}

async fn read_accounts(db: &PgPool, start: &PageStart) -> Result<(Vec<Account>, PageLinks, Count)> {
    let place_of = |account: &Account| Place { key: account.artist_name.clone(), id: account.id.0 };
    let mut search = PageSearch::new(start, Place { key: String::new(), id: Uuid::nil() }, place_of);
    let (accounts, links) = loop {
        let (Place { key, id }, side) = search.read_at();
        let accounts = match side {
            Side::After => accounts_beside!(">", "asc", key, id).fetch_all(db).await?,
            Side::Before => accounts_beside!("<", "desc", key, id).fetch_all(db).await?,
        };
        if let Some(page) = search.take(accounts) {
            break page;
        }
    };
    let total =
        sqlx::query_scalar!(r#"select count(*) as "count!" from (select from users limit 1001) counted"#).fetch_one(db);
    Ok((accounts, links, Count::of(total.await?)))
}

async fn find_accounts(db: &PgPool, search: &Search, start: &PageStart) -> Result<(Vec<Account>, PageLinks, Count)> {
    let found = search::find_users(db, search).await?;
    let (ids, links) = found.page(start);
    let accounts = accounts!(
        "unnest($1::uuid[]) with ordinality as found (id, place) join users on users.id = found.id order by found.place",
        ids as &[UserId]
    );
    Ok((accounts.fetch_all(db).await?, links, found.count()))
}
