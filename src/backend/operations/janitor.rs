//! The janitor: periodic cleanup of expired uploads and their bytes, objects, sessions and ended jobs. It also
//! completes uploads whose bytes have all arrived.
//!
//! Each chore may run at the same time as itself in another process, and as everything else.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{backup::delete_expired_pins, figures, integrity, queue_stats};
use crate::{
    backend::{
        Backend, Result,
        accounts::{access_tokens, browsers, flashes, my_data, reset, security_log, two_factor, verification},
        audit, db, mail,
        queue::{self, jobs},
        storage::reaper,
    },
    domain::media::EXAMINATION_VERSION,
};

const RUN_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// The pause between two sums of the stored bytes, each of which reads the row of every object.
const STORED_BYTES_INTERVAL: Duration = Duration::from_secs(60 * 60);
const RUN_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// The longest time a chore may take, because its database connection may have died. The next run continues its work.
const CHORE_TIMEOUT: Duration = Duration::from_secs(90);
/// The largest number of rows that one statement deletes, so that no statement holds many locks for long.
const BATCH: i64 = 1000;
/// As [`BATCH`], for entries of the audit trail, which nobody else locks. Each batch leaves an entry.
const AUDIT_BATCH: i64 = 10_000;
/// The largest number of background jobs that wait. Only one runs at a time, so no more than these end before the next
/// run adds others.
const BACKGROUND_JOBS_MAX: i64 = 100;

pub(in crate::backend) async fn run(backend: Arc<Backend>) {
    let shutdown = backend.shutdown();
    let mut ticks = interval((backend.settings.retention.orphan_grace / 4).clamp(RUN_INTERVAL_MIN, RUN_INTERVAL_MAX));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stored_bytes_updated_at: Option<Instant> = None;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let updates_stored_bytes = stored_bytes_updated_at.is_none_or(|at| at.elapsed() > STORED_BYTES_INTERVAL);
        if updates_stored_bytes {
            stored_bytes_updated_at = Some(Instant::now());
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = run_once(&backend, updates_stored_bytes) => {}
        }
    }
}

async fn run_once(backend: &Arc<Backend>, updates_stored_bytes: bool) {
    if updates_stored_bytes {
        chore("sum of stored bytes", queue_stats::update_stored_bytes(backend)).await;
    }
    let uploads = backend.uploads();
    chore("completion of whole uploads", uploads.complete_received()).await;
    chore("expired uploads", uploads.expire()).await;
    let remove = async { backend.tracks().remove_expired(BATCH).await };
    chore("tracks of expired uploads", log_count("tracks of expired uploads removed", remove)).await;
    chore("spool", async { uploads.sweep_spool().await.map(drop) }).await;
    chore("reaper", reaper::run_once(backend)).await;
    let purge = delete_expired_pins(&backend.db);
    chore("pins of killed backups", log_count("pins of killed backups deleted", purge)).await;
    chore("expired sessions", delete_expired_sessions(backend)).await;
    chore("superseded uploads", retire_superseded(backend)).await;
    chore("superseded dead letters", retire_dead_letters(backend)).await;
    chore("completed jobs", delete_completed_jobs(backend)).await;
    chore("files examined by an older version", examine_outdated(backend)).await;
    chore("expired reset links", log_count("expired reset links deleted", reset::delete_expired(backend, BATCH))).await;
    let purge = verification::delete_expired(backend, BATCH);
    chore("expired verification links", log_count("expired verification links deleted", purge)).await;
    chore("deleted accounts", log_count("releases of deleted accounts removed", my_data::finish_deletions(backend)))
        .await;
    let purge = two_factor::delete_expired_challenges(&backend.db, BATCH);
    chore("unfinished sign-ins", log_count("unfinished sign-ins deleted", purge)).await;
    let purge = flashes::delete_expired(backend, BATCH);
    chore("expired flashes", log_count("expired flashes deleted", purge)).await;
    let tell = access_tokens::enqueue_expiry_mails(backend, BATCH);
    chore("access tokens about to expire", log_count("notices of expiring access tokens queued", tell)).await;
    let purge = access_tokens::delete_expired(backend, BATCH);
    chore("expired access tokens", log_count("expired access tokens deleted", purge)).await;
    chore("unused known browsers", log_count("unused known browsers deleted", browsers::delete_old(backend, BATCH)))
        .await;
    chore("old security events", log_count("old security events deleted", security_log::delete_old(backend, BATCH)))
        .await;
    let purge = audit::prune(&backend.db, backend.settings.retention.audit_entry, AUDIT_BATCH);
    chore("old audit entries", log_count("old audit entries deleted", purge)).await;
    let retention = backend.settings.retention.completed_job;
    chore("ended mails", log_count("ended mails deleted", mail::delete_ended(&backend.db, retention, BATCH))).await;
    chore("old integrity checks", log_count("old integrity checks deleted", integrity::delete_old(backend))).await;
    chore("old figures", log_count("old figures deleted", figures::delete_old(backend, BATCH))).await;
    chore("mails in files", backend.mail.purge_files()).await;
}

async fn chore(what: &str, work: impl Future<Output = Result<()>>) {
    if let Err(error) = db::with_timeout(CHORE_TIMEOUT, work).await {
        tracing::warn!(chore = what, error = ?error, "janitor chore failed; trying again in the next round");
    }
}

async fn log_count(what: &str, purge: impl Future<Output = Result<u64>>) -> Result<()> {
    let purged = purge.await?;
    if purged > 0 {
        tracing::info!(rows = purged, "{what}");
    }
    Ok(())
}

async fn delete_expired_sessions(backend: &Backend) -> Result<()> {
    sqlx::query!(
        "delete from sessions where token_hash in (select token_hash from sessions where expires_at < now() limit $1)",
        BATCH
    )
    .execute(&backend.db)
    .await?;
    Ok(())
}

async fn retire_superseded(backend: &Backend) -> Result<()> {
    let retired = jobs::superseded::retire(backend, BATCH).await?;
    if retired > 0 {
        tracing::info!(jobs = retired, "superseded uploads retired");
    }
    Ok(())
}

async fn retire_dead_letters(backend: &Backend) -> Result<()> {
    let retired = queue::retire_superseded(&backend.db, BATCH).await?;
    if retired > 0 {
        tracing::info!(jobs = retired, "superseded dead letters retired");
    }
    Ok(())
}

async fn examine_outdated(backend: &Backend) -> Result<()> {
    let queued = queue::examine_outdated(&backend.db, EXAMINATION_VERSION, BACKGROUND_JOBS_MAX).await?;
    if queued > 0 {
        tracing::info!(jobs = queued, version = EXAMINATION_VERSION, "files queued for examination by the new version");
        backend.events.job_added();
    }
    Ok(())
}

async fn delete_completed_jobs(backend: &Backend) -> Result<()> {
    let deleted = queue::delete_completed(&backend.db, backend.settings.retention.completed_job, BATCH).await?;
    if deleted > 0 {
        tracing::info!(jobs = deleted, "old completed jobs deleted");
    }
    Ok(())
}
