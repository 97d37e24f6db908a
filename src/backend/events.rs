//! Hints between processes, over PostgreSQL's LISTEN and NOTIFY: "this release changed", "there is a job". Whoever misses one
//! finds out by polling.

use std::{collections::HashSet, sync::Arc, time::Duration};

use sqlx::{
    PgPool,
    postgres::{PgListener, PgNotification},
};
use tokio::{
    sync::{Notify, broadcast, mpsc},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Result, db};
use crate::domain::ids::{ReleaseId, UserId};

const RELEASES: &str = "vwaza_releases";
const JOBS: &str = "vwaza_jobs";
/// The first hint goes out at once; those of this time after it go out as one statement: a NOTIFY per row would put all commits
/// in one line.
const DEBOUNCE: Duration = Duration::from_millis(10);
const RECONNECT: Duration = Duration::from_secs(2);
/// A listener that hears nothing for longer says something itself.
const QUIET: Duration = Duration::from_secs(15);
/// Hints that a slow listener may be behind; past it it is told that it missed some.
const BACKLOG: usize = 256;

/// A release changed: its status, its details or its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReleaseChanged {
    pub release: ReleaseId,
    pub artist: UserId,
}

/// What a listener is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Release(ReleaseChanged),
    /// Hints were missed: anything may have changed.
    Everything,
}

enum Hint {
    Release(ReleaseChanged),
    Job,
}

pub struct Events {
    hints: mpsc::UnboundedSender<Hint>,
    releases: broadcast::Sender<Change>,
    jobs: Arc<Notify>,
}

impl Events {
    pub(super) fn start(db: PgPool, shutdown: CancellationToken) -> Self {
        let (hints, outbox) = mpsc::unbounded_channel();
        let (releases, _) = broadcast::channel(BACKLOG);
        let jobs = Arc::new(Notify::new());
        tokio::spawn(send(db.clone(), outbox));
        tokio::spawn(listen(db, releases.clone(), Arc::clone(&jobs), shutdown));
        Self { hints, releases, jobs }
    }

    /// To be called after the commit. The receiver lives as long as `self`: sending cannot fail while anybody can see it.
    pub(super) fn release_changed(&self, release: ReleaseId, artist: UserId) {
        let _ = self.hints.send(Hint::Release(ReleaseChanged { release, artist }));
    }

    /// To be called after the commit that made a job.
    pub(super) fn job_added(&self) {
        // This process need not hear it from PostgreSQL.
        self.jobs.notify_one();
        let _ = self.hints.send(Hint::Job);
    }

    /// Every change from now on, of all releases.
    pub fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.releases.subscribe()
    }

    /// Wakes when there may be a job.
    pub(super) fn jobs(&self) -> Arc<Notify> {
        Arc::clone(&self.jobs)
    }
}

async fn send(pool: PgPool, mut outbox: mpsc::UnboundedReceiver<Hint>) {
    while let Some(first) = outbox.recv().await {
        let (mut releases, mut has_job) = (HashSet::new(), false);
        for hint in std::iter::once(first).chain(std::iter::from_fn(|| outbox.try_recv().ok())) {
            match hint {
                Hint::Release(changed) => {
                    releases.insert(changed);
                }
                Hint::Job => has_job = true,
            }
        }
        if let Err(error) = db::answered(db::PATIENCE, notify(&pool, releases, has_job)).await {
            tracing::warn!(error = ?error, "hints could not be sent; polling makes up for them");
        }
        sleep(DEBOUNCE).await;
    }
}

async fn notify(db: &PgPool, releases: HashSet<ReleaseChanged>, has_job: bool) -> Result<()> {
    let (mut channels, mut payloads) = (Vec::new(), Vec::new());
    for ReleaseChanged { release, artist } in releases {
        channels.push(RELEASES.to_owned());
        payloads.push(format!("{release} {artist}"));
    }
    if has_job {
        channels.push(JOBS.to_owned());
        payloads.push(String::new());
    }
    // A hint need not outlive a crash: it waits for no disk.
    sqlx::query!(
        r#"with hasty as materialized (select set_config('synchronous_commit', 'off', true))
           select pg_notify(channel, payload)::text as "sent"
           from hasty, unnest($1::text[], $2::text[]) hints(channel, payload)"#,
        &channels,
        &payloads
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

async fn listen(pool: PgPool, releases: broadcast::Sender<Change>, jobs: Arc<Notify>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        tokio::select! {
            () = shutdown.cancelled() => return,
            outcome = listen_once(&pool, &releases, &jobs) => if let Err(error) = outcome {
                tracing::warn!(error = ?error, "listening for hints stopped; starting again");
            },
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(RECONNECT) => {}
        }
    }
}

async fn listen_once(pool: &PgPool, releases: &broadcast::Sender<Change>, jobs: &Notify) -> Result<()> {
    let mut listener = db::answered(db::PATIENCE, async {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen_all([RELEASES, JOBS]).await?;
        Ok(listener)
    })
    .await?;
    missed(releases, jobs);
    loop {
        match heard(pool, &mut listener).await? {
            Some(hint) if hint.channel() == RELEASES => {
                // Nobody may be listening, which is no error.
                if let Some(changed) = parse(hint.payload()) {
                    let _ = releases.send(Change::Release(changed));
                }
            }
            Some(_) => jobs.notify_one(),
            // The connection was lost, and with it hints.
            None => missed(releases, jobs),
        }
    }
}

/// The next hint; `None`: the connection was lost, and with it hints.
///
/// # Errors
/// Where not even one of our own is heard: a line that has died without a word is silent for ever.
async fn heard(pool: &PgPool, listener: &mut PgListener) -> Result<Option<PgNotification>> {
    let mut next = std::pin::pin!(listener.try_recv());
    if let Ok(hint) = timeout(QUIET, &mut next).await {
        return Ok(hint?);
    }
    db::answered(db::PATIENCE, notify(pool, HashSet::new(), true)).await?;
    db::answered(db::PATIENCE, async { Ok(next.await?) }).await
}

/// Nobody may be listening, which is no error.
fn missed(releases: &broadcast::Sender<Change>, jobs: &Notify) {
    let _ = releases.send(Change::Everything);
    jobs.notify_one();
}

fn parse(payload: &str) -> Option<ReleaseChanged> {
    let (release, artist) = payload.split_once(' ')?;
    Some(ReleaseChanged { release: release.parse().ok()?, artist: artist.parse().ok()? })
}
