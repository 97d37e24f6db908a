//! The operations under the lock on a release's row: the lock itself, transitions with their audit rows, and the
//! transition that follows from the state of the release's files.

use sqlx::PgConnection;

use super::view;
use crate::{
    backend::{
        Result,
        audit::{self, By, NewEntry},
        mail,
    },
    domain::{
        account::Actor,
        audit::{AuditAction, AuditState},
        ids::{ReleaseId, TrackId, UserId},
        mail::ReleaseNews,
        problem::Problem,
        release::{self, ReleaseEventKind, ReleaseStatus},
    },
};

/// A release whose row this transaction has locked.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) struct LockedRelease {
    pub(in crate::backend) id: ReleaseId,
    pub(in crate::backend) artist: UserId,
    pub(in crate::backend) status: ReleaseStatus,
    pub(in crate::backend) version: i64,
}

/// Locks a release of the actor's own.
///
/// # Errors
/// `NotFound` unless the release exists and is the actor's own.
pub(super) async fn lock_own(db: &mut PgConnection, actor: &Actor, id: ReleaseId) -> Result<LockedRelease> {
    match lock(db, id).await? {
        Some(release) if release.artist == actor.id => Ok(release),
        _ => Err(Problem::NotFound.into()),
    }
}

/// Locks a draft of the actor's own.
///
/// # Errors
/// `NotFound` unless the release is the actor's own. `Conflict` unless it is a draft.
pub(in crate::backend) async fn lock_draft(
    db: &mut PgConnection,
    actor: &Actor,
    id: ReleaseId,
) -> Result<LockedRelease> {
    let release = lock_own(db, actor, id).await?;
    if release.status.is_editable() {
        Ok(release)
    } else {
        Err(Problem::conflict(release.status.why_not_editable()).into())
    }
}

/// Locks the release that a track is on, as [`lock_draft`] does, and the track.
pub(in crate::backend) async fn lock_draft_of_track(
    db: &mut PgConnection,
    actor: &Actor,
    track: TrackId,
) -> Result<LockedRelease> {
    let release = sqlx::query_scalar!(
        r#"select release_id as "release_id: ReleaseId" from tracks where id = $1"#,
        track as TrackId
    )
    .fetch_optional(&mut *db)
    .await?
    .ok_or(Problem::NotFound)?;
    let locked = lock_draft(&mut *db, actor, release).await?;
    // The track may have been removed before the release was locked.
    sqlx::query_scalar!("select number from tracks where id = $1 for update", track as TrackId)
        .fetch_optional(db)
        .await?
        .ok_or(Problem::NotFound)?;
    Ok(locked)
}

pub(in crate::backend) async fn lock(db: &mut PgConnection, id: ReleaseId) -> Result<Option<LockedRelease>> {
    let row = sqlx::query_as!(
        LockedRelease,
        r#"select id as "id: ReleaseId", artist_id as "artist: UserId", status as "status: ReleaseStatus", version
           from releases where id = $1 for update"#,
        id as ReleaseId
    )
    .fetch_optional(db)
    .await?;
    Ok(row)
}

/// Whether bytes that this release may still get are arriving or wait to be stored. Expired uploads do not count, and
/// neither do uploads that a newer file has superseded.
pub(in crate::backend) async fn has_unfinished_upload(db: &mut PgConnection, id: ReleaseId) -> Result<bool> {
    let has = sqlx::query_scalar!(
        r#"select exists (select 1 from upload_targets
                              where release_id = $1 and is_under_way and not is_superseded) as "has!""#,
        id as ReleaseId
    )
    .fetch_one(db)
    .await?;
    Ok(has)
}

/// Raises the version of a release after an edit or an attached file: a reviewer who saw the old version cannot decide
/// about the new one.
pub(in crate::backend) async fn bump_version(db: &mut PgConnection, id: ReleaseId) -> Result<()> {
    sqlx::query!("update releases set version = version + 1, updated_at = now() where id = $1", id as ReleaseId)
        .execute(db)
        .await?;
    Ok(())
}

/// Moves a locked release to another status, and writes it into its history and the audit trail. The statement is a compare-and-set on status and
/// version even under the lock.
///
/// # Errors
/// `Conflict` if the release no longer has the status and version of `from`.
pub(in crate::backend) async fn transition(
    db: &mut PgConnection,
    from: LockedRelease,
    to: ReleaseStatus,
    kind: ReleaseEventKind,
    actor: Option<UserId>,
    note: Option<&str>,
) -> Result<()> {
    let version = sqlx::query_scalar!(
        "update releases set status = $4, version = version + 1, updated_at = now(),
                submitted_at = case when $4 = 'PROCESSING'::release_status then now() else submitted_at end,
                decided_at = case when $4 in ('PUBLISHED'::release_status, 'REJECTED') then now() else decided_at end,
                decided_by = case when $4 in ('PUBLISHED'::release_status, 'REJECTED') then $5 else decided_by end,
                reject_reason = case when $4 = 'REJECTED'::release_status then $6
                                     when $4 = 'PROCESSING'::release_status then null else reject_reason end
         where id = $1 and status = $2 and version = $3
         returning version",
        from.id as ReleaseId,
        from.status as ReleaseStatus,
        from.version,
        to as ReleaseStatus,
        actor as Option<UserId>,
        note
    )
    .fetch_optional(&mut *db)
    .await?
    .ok_or_else(|| Problem::conflict("This release changed just now. Reload the page to see its status."))?;
    record(&mut *db, from.id, kind, actor, version, note).await?;
    record_states(db, from.id, kind, actor, Some(from.status), to, note).await
}

/// Writes a transition into the audit trail.
pub(super) async fn record_states(
    db: &mut PgConnection,
    release: ReleaseId,
    kind: ReleaseEventKind,
    actor: Option<UserId>,
    was: Option<ReleaseStatus>,
    became: ReleaseStatus,
    note: Option<&str>,
) -> Result<()> {
    let Some(action) = AuditAction::of_release(kind) else { return Ok(()) };
    let (was, became) = (was.map(AuditState::Release), Some(AuditState::Release(became)));
    let entry = NewEntry::on_release(By::user_or_system(actor), action, release);
    audit::record(db, NewEntry { was, became, note, ..entry }).await
}

/// Writes one row of a release's history, and enqueues the mail that tells the artist, if the event has one.
pub(in crate::backend) async fn record(
    db: &mut PgConnection,
    release: ReleaseId,
    kind: ReleaseEventKind,
    actor: Option<UserId>,
    version: i64,
    note: Option<&str>,
) -> Result<()> {
    sqlx::query!(
        "insert into release_events (release_id, kind, actor_id, version, note) values ($1, $2, $3, $4, $5)",
        release as ReleaseId,
        kind as ReleaseEventKind,
        actor as Option<UserId>,
        version,
        note
    )
    .execute(&mut *db)
    .await?;
    let note = || note.unwrap_or_default().to_owned();
    let news = match kind {
        ReleaseEventKind::Submitted => ReleaseNews::Submitted,
        ReleaseEventKind::Approved => ReleaseNews::Approved,
        ReleaseEventKind::Rejected => ReleaseNews::Rejected { reason: note() },
        ReleaseEventKind::FileDiscarded => ReleaseNews::FileDiscarded { note: note() },
        ReleaseEventKind::Created
        | ReleaseEventKind::Examined
        // The failed job enqueues a mail about its file.
        | ReleaseEventKind::FileFailed
        | ReleaseEventKind::Withdrawn
        | ReleaseEventKind::Revised
        | ReleaseEventKind::FileRetried => return Ok(()),
    };
    mail::enqueue_artist_mail(db, release, news).await
}

/// Applies [`release::advance`] to a locked release. Every transaction that changes the files of a release calls this
/// function.
pub(in crate::backend) async fn advance(db: &mut PgConnection, release: LockedRelease) -> Result<()> {
    if release.status != ReleaseStatus::Processing {
        return Ok(());
    }
    if is_still_processed(db, release.id).await? {
        return Ok(());
    }
    let Some(view) = view::load(db, release.id).await? else { return Ok(()) };
    let release = LockedRelease { version: view.version, ..release };
    let files = std::iter::once(view.cover.state()).chain(view.tracks.iter().map(|track| track.state()));
    match release::advance(view.status, files) {
        Some((status, kind)) => transition(db, release, status, kind, None, view.failure()).await,
        None => Ok(()),
    }
}

/// Whether files are under way and none has failed, so that [`release::advance`] would change nothing. Thanks to this
/// check, a large release is loaded for its last job and not for each.
async fn is_still_processed(db: &mut PgConnection, id: ReleaseId) -> Result<bool> {
    let is_pending = has_unfinished_upload(&mut *db, id).await?
        || sqlx::query_scalar!(
            r#"select exists (select 1 from releases r join objects o on o.id = r.cover_id
                              where r.id = $1 and o.examination = 'PENDING')
                   or exists (select 1 from tracks t join objects o on o.id = t.audio_id
                              where t.release_id = $1 and o.examination = 'PENDING') as "is!""#,
            id as ReleaseId
        )
        .fetch_one(&mut *db)
        .await?;
    if !is_pending {
        return Ok(false);
    }
    let is_whole = sqlx::query_scalar!(
        r#"select not release_has_failed_file($1)
               and not exists (select 1 from releases r where r.id = $1 and r.cover_id is null
                               and not is_being_replaced($1, 'COVER', null, 0))
               and not exists (select 1 from tracks t where t.release_id = $1 and t.audio_id is null
                               and not is_being_replaced($1, 'AUDIO', t.id, 0)) as "is!""#,
        id as ReleaseId
    )
    .fetch_one(db)
    .await?;
    Ok(is_whole)
}
