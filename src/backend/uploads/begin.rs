//! Grants an upload: writes its row before the first byte arrives.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{EndedUpload, Uploads, count_refusal, purge_bytes, spool::SPOOL_TIMEOUT_SECONDS};
use crate::{
    backend::{
        Error, Result,
        accounts::locks,
        db,
        releases::locked::{self, LockedRelease},
    },
    domain::{
        account::Actor,
        ids::{BatchId, ReleaseId, SpoolId, TrackId, UploadId, UserId},
        problem::Problem,
        release::{TITLE_MAX_CHARS, TRACKS_MAX},
        text::parse_line,
        titles::title_from_file_name,
        upload::{BatchMember, BegunUpload, Intent, RawIntent, UploadKind, UploadTarget},
    },
};

/// The time within which a client repeats a creation request that got no reply. A later request, or one with other
/// metadata, is meant as another upload of the same file.
const RETRIED_WITHIN_SECONDS: f64 = 600.0;

/// How an upload was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// By the application's script.
    Page,
    /// By a client of tus, with its header `Upload-Metadata`.
    Tus { metadata: String },
    /// By a client of tus, with the first bytes in the creation request. Before the reply, the client knows no address
    /// at which it can ask for the offset.
    TusWithBytes { metadata: String },
    /// By a plain form, which cannot resume.
    Form,
}

struct OngoingUpload {
    id: UploadId,
    spool: SpoolId,
    track: Option<TrackId>,
    offset: i64,
    /// Whether this process has the bytes, or another running process has them.
    is_reachable: bool,
}

impl Uploads {
    /// Grants an upload, or finds the same upload if it is under way. So a lost reply costs nothing, even if the
    /// request carried all bytes. An upload whose bytes only a process has that is gone makes way for a new one.
    ///
    /// # Errors
    /// `BadRequest` or `Refused` for the length. `NotFound` for a target that is not the actor's own. `Conflict` unless
    /// its release is a draft. `QuotaExceeded` over the artist's quota. `TooMany` with too many open uploads.
    /// `RateLimited` with too many requests at once.
    pub async fn begin(&self, actor: &Actor, intent: &RawIntent, channel: Channel) -> Result<BegunUpload> {
        self.begin_in_batch(actor, intent, channel, None).await
    }

    /// Like [`Uploads::begin`], for a file that was perhaps chosen together with others.
    ///
    /// # Errors
    /// As [`Uploads::begin`].
    pub async fn begin_in_batch(
        &self,
        actor: &Actor,
        intent: &RawIntent,
        channel: Channel,
        batch_member: Option<BatchMember>,
    ) -> Result<BegunUpload> {
        let begun = self.begin_uncounted(actor, intent, channel, batch_member).await;
        if let Err(Error::Problem(problem)) = &begun {
            match problem {
                Problem::Refused { kind, .. } => count_refusal(kind.as_str()),
                Problem::QuotaExceeded(_) => count_refusal("quota"),
                Problem::TooMany(_) => count_refusal("too_many_open"),
                _ => {}
            }
        }
        begun
    }

    async fn begin_uncounted(
        &self,
        actor: &Actor,
        intent: &RawIntent,
        channel: Channel,
        batch_member: Option<BatchMember>,
    ) -> Result<BegunUpload> {
        let backend = &*self.0;
        let intent = intent.parse(&backend.settings.media)?;
        // The page's request is counted already. A request with bytes lasts as long as they take to arrive, so only
        // this part of it counts.
        let _slot = match channel {
            Channel::Page => None,
            _ => backend.limits.begin_request_of_user(actor.id).await?,
        };
        let mut tx = db::begin(&backend.db).await?;
        let (release, track) = match intent.target {
            UploadTarget::Cover(release) | UploadTarget::NewTrack(release) => {
                (locked::lock_draft(&mut tx, actor, release).await?, None)
            }
            UploadTarget::Audio(track) => (locked::lock_draft_of_track(&mut tx, actor, track).await?, Some(track)),
        };
        let expired = expire_own(&mut tx, actor).await?;
        let mut found = None;
        if intent.is_recognisable() {
            found = self.find_ongoing(&mut tx, actor, release.id, track, &intent).await?;
            if let (None, Channel::TusWithBytes { metadata }) = (&found, &channel) {
                found = find_just_received(&mut tx, actor, release.id, &intent, metadata).await?;
            }
        }
        let given_up = match found {
            // An upload that is whole waits for its process.
            Some(found) if found.is_reachable || found.offset == intent.length => {
                tx.commit().await?;
                purge_bytes(backend, &expired).await?;
                return Ok(begun_upload(found, &intent));
            }
            Some(found) => {
                expire_unreachable(&mut tx, found.id).await?;
                found.track
            }
            None => None,
        };
        self.check_limits(&mut tx, actor, intent.length).await?;
        let track = match (intent.target, track.or(given_up)) {
            (UploadTarget::NewTrack(_), None) => {
                Some(add_track(&mut tx, release, &intent.file_name, batch_member.as_ref()).await?)
            }
            (_, track) => track,
        };
        let id = UploadId(Uuid::now_v7());
        // An upload without a usable fingerprint gets one of its own, so that it is never found as another one.
        let fingerprint = if intent.is_recognisable() { intent.fingerprint.clone() } else { id.to_string() };
        let metadata = match &channel {
            Channel::Tus { metadata } | Channel::TusWithBytes { metadata } => Some(metadata.as_str()),
            Channel::Page | Channel::Form => None,
        };
        sqlx::query!(
            "insert into uploads (id, owner_id, kind, release_id, track_id, file_name, fingerprint, length_bytes, spool_id, expires_at,
                                  expected_sha256, metadata, can_resume, batch)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, now() + make_interval(secs => $10), $11, $12, $13, $14)",
            id as UploadId,
            actor.id as UserId,
            intent.target.kind() as UploadKind,
            release.id as ReleaseId,
            track as Option<TrackId>,
            intent.file_name,
            fingerprint,
            intent.length,
            backend.spool.id as SpoolId,
            backend.settings.uploads.expiry.as_secs_f64(),
            intent.sha256.as_ref().map(<[u8; 32]>::as_slice),
            metadata,
            channel != Channel::Form,
            batch_member.map(|batch_member| batch_member.batch) as Option<BatchId>
        )
        .execute(&mut *tx)
        .await?;
        locked::bump_version(&mut tx, release.id).await?;
        tx.commit().await?;
        metrics::counter!("vwaza_uploads_total", "outcome" => "created").increment(1);
        fail::fail_point!("upload-begun");
        purge_bytes(backend, &expired).await?;
        backend.events.release_changed(release.id, release.artist);
        Ok(begun_upload(OngoingUpload { id, spool: backend.spool.id, track, offset: 0, is_reachable: true }, &intent))
    }

    async fn check_limits(&self, db: &mut PgConnection, actor: &Actor, length: i64) -> Result<()> {
        let limits = &self.0.settings.uploads;
        locks::lock_user(db, actor.id).await?;
        let used = sqlx::query!(
            r#"select (select count(*) from uploads where owner_id = $1 and state in ('RECEIVING', 'RECEIVED')) as "open!",
                      (select coalesce(sum(length_bytes), 0) from uploads
                       where owner_id = $1 and needs_its_bytes(uploads))::bigint
                      + (select coalesce(sum(o.size_bytes), 0) from uploads u join objects o on o.upload_id = u.id
                         where u.owner_id = $1 and u.state not in ('RECEIVING', 'RECEIVED', 'FAILED')
                           and o.state <> 'DOOMED' and o.parent_id is null)::bigint as "bytes!""#,
            actor.id as UserId
        )
        .fetch_one(db)
        .await?;
        if used.open >= limits.max_open {
            return Err(Problem::TooMany(format!(
                "You already have {} unfinished uploads. Wait until some finish, or cancel them.",
                used.open
            ))
            .into());
        }
        if used.bytes.saturating_add(length) > limits.quota_bytes {
            let gigabytes = limits.quota_bytes / (1024 * 1024 * 1024);
            let message = format!(
                "This file does not fit into your {gigabytes} GB of space. Files that you replaced in the last days still count. Remove files that you don't need, or ask us for more space."
            );
            return Err(Problem::QuotaExceeded(message).into());
        }
        Ok(())
    }

    async fn find_ongoing(
        &self,
        db: &mut PgConnection,
        actor: &Actor,
        release: ReleaseId,
        track: Option<TrackId>,
        intent: &Intent,
    ) -> Result<Option<OngoingUpload>> {
        let found = sqlx::query_as!(
            OngoingUpload,
            r#"select id as "id: UploadId", spool_id as "spool: SpoolId", track_id as "track: TrackId", offset_bytes as "offset",
                      (spool_id = $9 or exists (
                          select 1 from spools s where s.id = spool_id and s.seen_at > now() - make_interval(secs => $10)
                      )) as "is_reachable!"
               from uploads
               where owner_id = $1 and release_id = $2 and kind = $3 and file_name = $4 and length_bytes = $5 and fingerprint = $6
                 and ($7::uuid is null or track_id = $7)
                 and ($8::bytea is null or expected_sha256 is null or expected_sha256 = $8)
                 and state = 'RECEIVING' and is_under_way(uploads)
               order by expected_sha256 is not distinct from $8 desc, seq desc
               limit 1"#,
            actor.id as UserId,
            release as ReleaseId,
            intent.target.kind() as UploadKind,
            intent.file_name,
            intent.length,
            intent.fingerprint,
            track as Option<TrackId>,
            intent.sha256.as_ref().map(<[u8; 32]>::as_slice),
            self.0.spool.id as SpoolId,
            SPOOL_TIMEOUT_SECONDS
        )
        .fetch_optional(&mut *db)
        .await?;
        // The upload began without a SHA-256, and the client announces one now. The bytes are checked against it.
        if let (Some(upload), Some(sha256)) = (&found, &intent.sha256) {
            sqlx::query!(
                "update uploads set expected_sha256 = $2 where id = $1 and expected_sha256 is null",
                upload.id as UploadId,
                sha256.as_slice()
            )
            .execute(db)
            .await?;
        }
        Ok(found)
    }
}

/// Finds the upload that the same creation request brought as a whole a moment ago, if nothing newer has come for its
/// target. The reply to that request was lost.
async fn find_just_received(
    db: &mut PgConnection,
    actor: &Actor,
    release: ReleaseId,
    intent: &Intent,
    metadata: &str,
) -> Result<Option<OngoingUpload>> {
    let found = sqlx::query_as!(
        OngoingUpload,
        r#"select id as "id: UploadId", spool_id as "spool: SpoolId", track_id as "track: TrackId", length_bytes as "offset",
                  true as "is_reachable!"
           from uploads u
           where owner_id = $1 and release_id = $2 and kind = $3 and length_bytes = $4 and metadata = $5
             and state in ('RECEIVED', 'ATTACHED') and has_target(u)
             and received_at > now() - make_interval(secs => $6)
             and not exists (select 1 from uploads newer
                             where newer.release_id = u.release_id and newer.kind = u.kind
                               and newer.track_id is not distinct from u.track_id and newer.seq > u.seq)
           order by seq desc limit 1"#,
        actor.id as UserId,
        release as ReleaseId,
        intent.target.kind() as UploadKind,
        intent.length,
        metadata,
        RETRIED_WITHIN_SECONDS
    )
    .fetch_optional(db)
    .await?;
    Ok(found)
}

/// Expires an upload whose process is gone. If the process comes back, it sweeps the bytes.
async fn expire_unreachable(db: &mut PgConnection, id: UploadId) -> Result<()> {
    sqlx::query!(
        "update uploads set state = 'EXPIRED', updated_at = now()
         where id = $1 and state = 'RECEIVING' and not is_whole(uploads)",
        id as UploadId
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Expires uploads that this artist has not continued in time, to make room for the new one.
async fn expire_own(db: &mut PgConnection, actor: &Actor) -> Result<Vec<EndedUpload>> {
    let ended = sqlx::query_as!(
        EndedUpload,
        r#"update uploads set state = 'EXPIRED', updated_at = now()
           where id in (select id from uploads where owner_id = $1 and is_expired(uploads) for update skip locked)
           returning id as "id: UploadId", spool_id as "spool: SpoolId""#,
        actor.id as UserId
    )
    .fetch_all(db)
    .await?;
    Ok(ended)
}

async fn add_track(
    db: &mut PgConnection,
    release: LockedRelease,
    file_name: &str,
    batch_member: Option<&BatchMember>,
) -> Result<TrackId> {
    let id = TrackId(Uuid::now_v7());
    let title = batch_member.and_then(|batch_member| parse_line(&batch_member.title, TITLE_MAX_CHARS).ok());
    let title = title.filter(|title| !title.is_empty()).unwrap_or_else(|| title_from_file_name(file_name));
    let number = sqlx::query_scalar!(
        r#"insert into tracks (id, release_id, number, title, title_is_guessed, order_is_guessed)
           select $1, $2, coalesce(max(number), 0) + 1, $3, true, $4 from tracks where release_id = $2
           returning number"#,
        id as TrackId,
        release.id as ReleaseId,
        title,
        batch_member.is_some()
    )
    .fetch_one(db)
    .await?;
    if usize::try_from(number).is_ok_and(|number| number > TRACKS_MAX) {
        return Err(Problem::conflict(format!("A release has at most {TRACKS_MAX} tracks.")).into());
    }
    Ok(id)
}

fn begun_upload(upload: OngoingUpload, intent: &Intent) -> BegunUpload {
    BegunUpload {
        id: upload.id,
        track: upload.track,
        url: format!("/api/uploads/{}/{}", upload.spool, upload.id),
        offset: upload.offset,
        length: intent.length,
    }
}
