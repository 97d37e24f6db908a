//! Hints between processes, over PostgreSQL's LISTEN and NOTIFY, such as "this release changed" or "there is a job". A
//! process that misses a hint notices the change when it polls.

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
const MAILS: &str = "vwaza_mails";
/// The pause after a notification. The first hint is sent at once; the hints of the next 10 ms are sent in one
/// statement. PostgreSQL serialises the commits of transactions that notify, so a NOTIFY per row would slow all of
/// them.
const DEBOUNCE: Duration = Duration::from_millis(10);
const RECONNECT_DELAY: Duration = Duration::from_secs(2);
/// The silence after which a listener sends a hint to itself to test its connection.
const LISTENER_IDLE_MAX: Duration = Duration::from_secs(15);
/// The number of hints that a slow subscriber may be behind. Beyond it, the subscriber learns that it missed some.
const BACKLOG_HINTS: usize = 256;

/// A release changed: its status, its details or its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReleaseChanged {
    pub release: ReleaseId,
    pub artist: UserId,
}

/// A message to subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Release(ReleaseChanged),
    /// Hints were missed: anything may have changed.
    Everything,
}

enum Hint {
    Release(ReleaseChanged),
    Job,
    Mail,
}

pub struct Events {
    hints: mpsc::UnboundedSender<Hint>,
    releases: broadcast::Sender<Change>,
    jobs: Arc<Notify>,
    mails: Arc<Notify>,
}

impl Events {
    pub(super) fn start(db: PgPool, shutdown: CancellationToken) -> Self {
        let (hints, outbox) = mpsc::unbounded_channel();
        let (releases, _) = broadcast::channel(BACKLOG_HINTS);
        let (jobs, mails) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        tokio::spawn(send(db.clone(), outbox));
        let listener = Listener { releases: releases.clone(), jobs: Arc::clone(&jobs), mails: Arc::clone(&mails) };
        tokio::spawn(listen(db, listener, shutdown));
        Self { hints, releases, jobs, mails }
    }

    /// Sends a hint that a release changed. Call it after the commit. Sending cannot fail, because the receiving task
    /// lives as long as `self`.
    pub(super) fn release_changed(&self, release: ReleaseId, artist: UserId) {
        let _ = self.hints.send(Hint::Release(ReleaseChanged { release, artist }));
    }

    /// Sends a hint that there is a job. Call it after the commit that enqueues the job.
    pub(super) fn job_added(&self) {
        // This process is woken directly, without PostgreSQL.
        self.jobs.notify_one();
        let _ = self.hints.send(Hint::Job);
    }

    /// Sends a hint that there is a mail to send. Call it after the commit that enqueues the mail.
    pub(super) fn mail_added(&self) {
        self.mails.notify_one();
        let _ = self.hints.send(Hint::Mail);
    }

    /// Wakes when there may be a mail to send.
    pub(super) fn mails(&self) -> Arc<Notify> {
        Arc::clone(&self.mails)
    }

    /// Subscribes to the changes of all releases from now on.
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
        let (mut releases, mut has_job, mut has_mail) = (HashSet::new(), false, false);
        for hint in std::iter::once(first).chain(std::iter::from_fn(|| outbox.try_recv().ok())) {
            match hint {
                Hint::Release(changed) => {
                    releases.insert(changed);
                }
                Hint::Job => has_job = true,
                Hint::Mail => has_mail = true,
            }
        }
        if let Err(error) = db::with_timeout(db::REPLY_TIMEOUT, notify(&pool, releases, has_job, has_mail)).await {
            tracing::warn!(error = ?error, "sending notifications failed; polling makes up for them");
        }
        sleep(DEBOUNCE).await;
    }
}

async fn notify(db: &PgPool, releases: HashSet<ReleaseChanged>, has_job: bool, has_mail: bool) -> Result<()> {
    let (mut channels, mut payloads) = (Vec::new(), Vec::new());
    for ReleaseChanged { release, artist } in releases {
        channels.push(RELEASES.to_owned());
        payloads.push(format!("{release} {artist}"));
    }
    for channel in [(JOBS, has_job), (MAILS, has_mail)].into_iter().filter_map(|(channel, has)| has.then_some(channel))
    {
        channels.push(channel.to_owned());
        payloads.push(String::new());
    }
    // A hint need not survive a crash, so the transaction commits asynchronously.
    sqlx::query!(
        r#"with async_commit as materialized (select set_config('synchronous_commit', 'off', true))
           select pg_notify(channel, payload)::text as "sent"
           from async_commit, unnest($1::text[], $2::text[]) hints(channel, payload)"#,
        &channels,
        &payloads
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// The receiving side of the hints, which passes them on within this process.
struct Listener {
    releases: broadcast::Sender<Change>,
    jobs: Arc<Notify>,
    mails: Arc<Notify>,
}

async fn listen(pool: PgPool, listener: Listener, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        tokio::select! {
            () = shutdown.cancelled() => return,
            outcome = listener.listen_once(&pool) => if let Err(error) = outcome {
                tracing::warn!(error = ?error, "listening for notifications failed; reconnecting");
            },
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(RECONNECT_DELAY) => {}
        }
    }
}

impl Listener {
    async fn listen_once(&self, pool: &PgPool) -> Result<()> {
        let mut listener = db::with_timeout(db::REPLY_TIMEOUT, async {
            let mut listener = PgListener::connect_with(pool).await?;
            listener.listen_all([RELEASES, JOBS, MAILS]).await?;
            Ok(listener)
        })
        .await?;
        self.missed();
        loop {
            match next_hint(pool, &mut listener).await? {
                Some(hint) if hint.channel() == RELEASES => {
                    // Sending fails if there is no subscriber, which is no error.
                    if let Some(changed) = parse(hint.payload()) {
                        let _ = self.releases.send(Change::Release(changed));
                    }
                }
                Some(hint) if hint.channel() == MAILS => self.mails.notify_one(),
                Some(_) => self.jobs.notify_one(),
                // The connection was lost, and hints with it.
                None => self.missed(),
            }
        }
    }

    /// Tells all subscribers that they may have missed hints. Sending fails if there is no subscriber, which is no
    /// error.
    fn missed(&self) {
        let _ = self.releases.send(Change::Everything);
        self.jobs.notify_one();
        self.mails.notify_one();
    }
}

/// Waits for the next hint. Returns `None` if the connection was lost, and hints with it.
///
/// # Errors
/// When this process does not even receive a hint that it sends itself. A connection that has died silently reports no
/// error.
async fn next_hint(pool: &PgPool, listener: &mut PgListener) -> Result<Option<PgNotification>> {
    let mut next = std::pin::pin!(listener.try_recv());
    if let Ok(hint) = timeout(LISTENER_IDLE_MAX, &mut next).await {
        return Ok(hint?);
    }
    db::with_timeout(db::REPLY_TIMEOUT, notify(pool, HashSet::new(), true, false)).await?;
    db::with_timeout(db::REPLY_TIMEOUT, async { Ok(next.await?) }).await
}

fn parse(payload: &str) -> Option<ReleaseChanged> {
    let (release, artist) = payload.split_once(' ')?;
    Some(ReleaseChanged { release: release.parse().ok()?, artist: artist.parse().ok()? })
}
