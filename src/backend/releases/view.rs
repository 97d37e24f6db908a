//! Loads releases with all that their pages show.

use std::collections::HashMap;

use sqlx::{PgConnection, types::Json};
use time::Date;

use crate::{
    backend::{Result, uploads::spool::SPOOL_TIMEOUT_SECONDS},
    domain::{
        codes::{Gtin, Isrc},
        files::{CoverView, Examination, PendingUpload, StoredFile},
        ids::{ObjectId, ReleaseId, TrackId, UploadId, UserId},
        media::{AudioFacts, CoverFacts},
        release::{Details, ReleaseEvent, ReleaseEventKind, ReleaseKind, ReleaseStatus, ReleaseView},
        track::TrackView,
        upload::UploadState,
    },
};

/// The largest number of events that a timeline shows. A release has a handful.
const TIMELINE_MAX: i64 = 100;

const WAITS_FOR_SPOOL: &str = "this continues as soon as the server that received the file is back";

/// The state of an examination as the database stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "examination_state", rename_all = "UPPERCASE")]
pub(in crate::backend) enum ExaminationState {
    Pending,
    Passed,
    Failed,
}

/// Loads a release with everything that its pages show. Within a writing transaction, the result includes that
/// transaction's changes.
pub(in crate::backend) async fn load(db: &mut PgConnection, id: ReleaseId) -> Result<Option<ReleaseView>> {
    let Some(release) = load_without_timelines(db, &[id]).await?.pop() else { return Ok(None) };
    Ok(Some(ReleaseView { timeline: timeline(db, id).await?, ..release }))
}

/// Loads several releases with three statements, however many there are. Their timelines are empty. A release that does
/// not exist is left out.
pub(super) async fn load_without_timelines(db: &mut PgConnection, ids: &[ReleaseId]) -> Result<Vec<ReleaseView>> {
    let rows = sqlx::query!(
        r#"select r.id as "id: ReleaseId", r.version, r.status as "status: ReleaseStatus", r.artist_id as "artist_id: UserId", u.artist_name,
                  r.title, r.title_version, r.kind as "kind: ReleaseKind", r.genre, r.language, r.release_date as "release_date: Date",
                  r.label, r.gtin as "gtin: Gtin", r.p_line, r.c_line, r.created_at, r.updated_at, r.submitted_at, r.reject_reason,
                  o.id as "cover_id?: ObjectId", up.file_name as "file_name?", o.size_bytes as "size_bytes?",
                  o.sha256 as "sha256?", o.content_type as "content_type?",
                  o.examination as "examination?: ExaminationState", o.examination_failure,
                  f.facts as "facts?: Json<CoverFacts>"
           from releases r
           join users u on u.id = r.artist_id
           left join objects o on o.id = r.cover_id
           left join uploads up on up.id = o.upload_id
           left join cover_facts f on f.object_id = o.id
           where r.id = any($1)"#,
        ids as &[ReleaseId]
    )
    .fetch_all(&mut *db)
    .await?;
    let mut pending = pending_uploads(db, ids).await?;
    let mut tracks = tracks(db, ids).await?;

    let releases = rows.into_iter().map(|row| ReleaseView {
        id: row.id,
        version: row.version,
        status: row.status,
        artist_id: row.artist_id,
        artist_name: row.artist_name,
        details: Details {
            title: row.title,
            title_version: row.title_version,
            kind: row.kind,
            genre: row.genre,
            language: row.language,
            release_date: row.release_date,
            label: row.label,
            gtin: row.gtin,
            p_line: row.p_line,
            c_line: row.c_line,
        },
        cover: CoverView {
            current: stored_file(
                row.cover_id,
                row.file_name,
                row.size_bytes,
                row.sha256,
                row.content_type,
                row.examination.map(|state| examination(state, row.examination_failure)),
                row.facts.map(|Json(facts)| facts),
            ),
            pending: pending.remove(&(row.id, None)),
        },
        tracks: tracks
            .remove(&row.id)
            .unwrap_or_default()
            .into_iter()
            .map(|track| TrackView { pending: pending.remove(&(row.id, Some(track.id))), ..track })
            .collect(),
        timeline: Vec::new(),
        created_at: row.created_at,
        updated_at: row.updated_at,
        submitted_at: row.submitted_at,
        reject_reason: row.reject_reason,
    });
    Ok(releases.collect())
}

/// The tracks of each release, in their order, without what is pending for them.
async fn tracks(db: &mut PgConnection, releases: &[ReleaseId]) -> Result<HashMap<ReleaseId, Vec<TrackView>>> {
    let rows = sqlx::query!(
        r#"select t.release_id as "release_id: ReleaseId", t.id as "id: TrackId", t.number, t.title, t.title_version,
                  t.isrc as "isrc: Isrc", t.explicit,
                  o.id as "audio_id?: ObjectId", up.file_name as "file_name?", o.size_bytes as "size_bytes?",
                  o.sha256 as "sha256?", o.content_type as "content_type?",
                  o.examination as "examination?: ExaminationState", o.examination_failure,
                  f.facts as "facts?: Json<AudioFacts>", f.peaks as "peaks?"
           from tracks t
           left join objects o on o.id = t.audio_id
           left join uploads up on up.id = o.upload_id
           left join audio_facts f on f.object_id = o.id
           where t.release_id = any($1)
           order by t.release_id, t.number"#,
        releases as &[ReleaseId]
    )
    .fetch_all(db)
    .await?;
    let mut tracks: HashMap<ReleaseId, Vec<TrackView>> = HashMap::new();
    for row in rows {
        tracks.entry(row.release_id).or_default().push(TrackView {
            id: row.id,
            number: row.number,
            title: row.title,
            title_version: row.title_version,
            isrc: row.isrc,
            explicit: row.explicit,
            audio: stored_file(
                row.audio_id,
                row.file_name,
                row.size_bytes,
                row.sha256,
                row.content_type,
                row.examination.map(|state| examination(state, row.examination_failure)),
                row.facts.map(|Json(facts)| facts),
            ),
            peaks: row.peaks,
            pending: None,
        });
    }
    Ok(tracks)
}

/// Finds, for each target (the cover, or a track), the upload that decides its state among those newer than the file
/// that the target holds. An upload that is under way comes before a failed one, and a failed one before a refused or
/// discarded one. Among equals, the newest comes first.
async fn pending_uploads(
    db: &mut PgConnection,
    releases: &[ReleaseId],
) -> Result<HashMap<(ReleaseId, Option<TrackId>), PendingUpload>> {
    let rows = sqlx::query!(
        r#"select distinct on (u.release_id, u.track_id) u.release_id as "release_id!: ReleaseId", u.track_id as "track_id: TrackId",
                  u.id as "id: UploadId", u.file_name,
                  u.offset_bytes, u.length_bytes, u.state as "state: UploadState", u.failure,
                  (u.state = 'RECEIVED' and s.seen_at < now() - make_interval(secs => $2)) is true as "waits_for_spool!"
           from uploads u
           join upload_targets target on target.upload_id = u.id
           left join spools s on s.id = u.spool_id
           where u.release_id = any($1) and not target.is_superseded
             and u.state in ('RECEIVING', 'RECEIVED', 'FAILED', 'REFUSED', 'DISCARDED') and not is_expired(u)
           order by u.release_id, u.track_id,
                    array_position(array['RECEIVING', 'RECEIVED', 'FAILED']::upload_state[], u.state) nulls last, u.seq desc"#,
        releases as &[ReleaseId],
        SPOOL_TIMEOUT_SECONDS
    )
    .fetch_all(db)
    .await?;
    let uploads = rows.into_iter().map(|row| {
        let upload = PendingUpload {
            id: row.id,
            file_name: row.file_name,
            offset: row.offset_bytes,
            length: row.length_bytes,
            state: row.state,
            message: row.waits_for_spool.then(|| WAITS_FOR_SPOOL.to_owned()).or(row.failure),
        };
        ((row.release_id, row.track_id), upload)
    });
    Ok(uploads.collect())
}

async fn timeline(db: &mut PgConnection, release: ReleaseId) -> Result<Vec<ReleaseEvent>> {
    let events = sqlx::query_as!(
        ReleaseEvent,
        r#"select e.kind as "kind: ReleaseEventKind", u.artist_name as "actor?", e.note, e.created_at as at
           from release_events e left join users u on u.id = e.actor_id
           where e.release_id = $1
           order by e.id desc
           limit $2"#,
        release as ReleaseId,
        TIMELINE_MAX
    )
    .fetch_all(db)
    .await?;
    Ok(events)
}

fn examination(state: ExaminationState, failure: Option<String>) -> Examination {
    match state {
        ExaminationState::Pending => Examination::Pending,
        ExaminationState::Passed => Examination::Passed,
        ExaminationState::Failed => {
            Examination::Failed(failure.unwrap_or_else(|| "This file could not be examined. Replace it.".into()))
        }
    }
}

/// Builds a stored file from the columns of a left join, which are either all there or all null.
fn stored_file<Facts>(
    object: Option<ObjectId>,
    file_name: Option<String>,
    size_bytes: Option<i64>,
    sha256: Option<Vec<u8>>,
    content_type: Option<String>,
    examination: Option<Examination>,
    facts: Option<Facts>,
) -> Option<StoredFile<Facts>> {
    Some(StoredFile {
        object: object?,
        file_name: file_name?,
        size_bytes: size_bytes?,
        sha256: hex::encode(sha256?),
        content_type: content_type?,
        examination: examination?,
        facts,
    })
}
