//! The actions of artists on their releases: create, edit, submit, withdraw, revise and delete. Every change locks the
//! release's row first (lock order: release, track, upload, job).

use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::{
    changed_facts,
    locked::{self, LockedRelease},
    view,
};
use crate::{
    backend::{
        Backend, Result,
        audit::{self, By, NewEntry},
        db,
        storage::objects,
        uploads,
    },
    domain::{
        account::Actor,
        audit::{AuditAction, AuditState},
        ids::{ReleaseId, UserId},
        problem::Problem,
        release::{RawDetails, ReleaseEventKind, ReleaseKind, ReleaseStatus, ReleaseView},
    },
};

pub struct Releases<'a>(pub(in crate::backend) &'a Backend);

impl Releases<'_> {
    /// Returns a release with everything that its pages show.
    ///
    /// # Errors
    /// `NotFound` if there is no such release, or if it is not the actor's own and the actor is no admin.
    pub async fn view(&self, actor: &Actor, id: ReleaseId) -> Result<ReleaseView> {
        let mut tx = db::snapshot(&self.0.db).await?;
        let release = view::load(&mut tx, id).await?.ok_or(Problem::NotFound)?;
        if release.artist_id == actor.id || actor.is_admin() { Ok(release) } else { Err(Problem::NotFound.into()) }
    }

    pub async fn create(&self, actor: &Actor) -> Result<ReleaseId> {
        let id = ReleaseId(Uuid::now_v7());
        let mut tx = db::begin(&self.0.db).await?;
        sqlx::query!("insert into releases (id, artist_id) values ($1, $2)", id as ReleaseId, actor.id as UserId)
            .execute(&mut *tx)
            .await?;
        let created = ReleaseEventKind::Created;
        locked::record(&mut tx, id, created, Some(actor.id), 1, None).await?;
        locked::record_states(&mut tx, id, created, Some(actor.id), None, ReleaseStatus::Draft, None).await?;
        tx.commit().await?;
        self.0.events.release_changed(id, actor.id);
        Ok(id)
    }

    pub async fn save_details(&self, actor: &Actor, id: ReleaseId, raw: &RawDetails) -> Result<ReleaseView> {
        let details = match raw.parse() {
            Ok(details) => details,
            Err(_) => raw.parse_over(&self.view(actor, id).await?.details)?,
        };
        let mut tx = db::begin(&self.0.db).await?;
        let release = locked::lock_draft(&mut tx, actor, id).await?;
        sqlx::query!(
            "update releases set title = $2, title_version = $3, kind = $4, genre = $5, language = $6, release_date = $7,
                    label = $8, gtin = $9, p_line = $10, c_line = $11
             where id = $1",
            id as ReleaseId,
            details.title,
            details.title_version.as_deref(),
            details.kind as Option<ReleaseKind>,
            details.genre.as_deref(),
            details.language.as_deref(),
            details.release_date,
            details.label.as_deref(),
            details.gtin.as_ref().map(|gtin| gtin.as_str()),
            details.p_line.as_deref(),
            details.c_line.as_deref()
        )
        .execute(&mut *tx)
        .await?;
        self.finish_edit(tx, release).await
    }

    /// Submits a draft.
    ///
    /// # Errors
    /// `Invalid` with the missing items, to which unfinished uploads belong. `Conflict` if the release is no draft.
    /// `NotAllowedYet` if the artist has to confirm their e-mail address first.
    pub async fn submit(&self, actor: &Actor, id: ReleaseId) -> Result<ReleaseView> {
        if actor.must_verify_email {
            let message = "Confirm your e-mail address first: open the link that we sent you, or ask for a new one on your account page.";
            return Err(Problem::NotAllowedYet(message.into()).into());
        }
        let mut tx = db::begin(&self.0.db).await?;
        let release = locked::lock_draft(&mut tx, actor, id).await?;
        let view = view::load(&mut tx, id).await?.ok_or(Problem::NotFound)?;
        let missing = view.missing();
        if !missing.is_empty() {
            let mut errors = crate::domain::problem::FieldErrors::default();
            for item in missing {
                errors.add(&item.field, item.sentence());
            }
            return Err(Problem::Invalid(errors).into());
        }
        locked::transition(
            &mut tx,
            release,
            ReleaseStatus::Processing,
            ReleaseEventKind::Submitted,
            Some(actor.id),
            None,
        )
        .await?;
        let release = LockedRelease { status: ReleaseStatus::Processing, ..release };
        locked::advance(&mut tx, release).await?;
        self.commit_and_view(tx, release).await
    }

    /// Turns a release back into a draft while it is examined or waits for its review.
    ///
    /// # Errors
    /// `Conflict` in every other status.
    pub async fn withdraw(&self, actor: &Actor, id: ReleaseId) -> Result<ReleaseView> {
        let mut tx = db::begin(&self.0.db).await?;
        let release = locked::lock_own(&mut tx, actor, id).await?;
        if !release.status.can_withdraw() {
            return Err(Problem::conflict(match release.status {
                ReleaseStatus::Published => "This release was approved before you withdrew it. It is published.",
                ReleaseStatus::Rejected => {
                    "This release was rejected before you withdrew it. Choose “Revise” to change it."
                }
                _ => "This release is a draft already.",
            })
            .into());
        }
        locked::transition(&mut tx, release, ReleaseStatus::Draft, ReleaseEventKind::Withdrawn, Some(actor.id), None)
            .await?;
        changed_facts::examine_refused(&mut tx, id).await?;
        self.commit_and_view(tx, release).await
    }

    /// Turns a rejected release back into a draft.
    ///
    /// # Errors
    /// `Conflict` if the release is not rejected.
    pub async fn revise(&self, actor: &Actor, id: ReleaseId) -> Result<ReleaseView> {
        let mut tx = db::begin(&self.0.db).await?;
        let release = locked::lock_own(&mut tx, actor, id).await?;
        if release.status != ReleaseStatus::Rejected {
            return Err(Problem::conflict(
                "You can only revise a rejected release. Reload the page to see its status.",
            )
            .into());
        }
        locked::transition(&mut tx, release, ReleaseStatus::Draft, ReleaseEventKind::Revised, Some(actor.id), None)
            .await?;
        changed_facts::examine_refused(&mut tx, id).await?;
        self.commit_and_view(tx, release).await
    }

    /// Deletes a draft. Its objects are detached. Uploads that are under way find no target, and the reaper deletes
    /// their objects too.
    pub async fn delete(&self, actor: &Actor, id: ReleaseId) -> Result<()> {
        let mut tx = db::begin(&self.0.db).await?;
        let release = locked::lock_draft(&mut tx, actor, id).await?;
        let ended = uploads::cancel_all(&mut tx, id, None).await?;
        objects::detach_all_of_release(&mut tx, id).await?;
        let deleted = NewEntry::on_release(By::User(actor.id), AuditAction::ReleaseDeleted, id);
        audit::record(&mut tx, NewEntry { was: Some(AuditState::Release(release.status)), ..deleted }).await?;
        sqlx::query!("delete from releases where id = $1", id as ReleaseId).execute(&mut *tx).await?;
        tx.commit().await?;
        uploads::purge_bytes(self.0, &ended).await?;
        self.0.events.release_changed(id, release.artist);
        Ok(())
    }

    /// Counts the edit as a new version, commits, and returns the release as it is then.
    pub(super) async fn finish_edit(
        &self,
        mut tx: Transaction<'static, Postgres>,
        release: LockedRelease,
    ) -> Result<ReleaseView> {
        locked::bump_version(&mut tx, release.id).await?;
        self.commit_and_view(tx, release).await
    }

    async fn commit_and_view(
        &self,
        mut tx: Transaction<'static, Postgres>,
        release: LockedRelease,
    ) -> Result<ReleaseView> {
        let view = view::load(&mut tx, release.id).await?.ok_or(Problem::NotFound)?;
        tx.commit().await?;
        self.0.events.release_changed(release.id, release.artist);
        Ok(view)
    }
}
