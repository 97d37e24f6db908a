//! Everything that touches the world: PostgreSQL, storage, spool, queue, media. All SQL of the product is in here.

pub mod accounts;
pub mod db;
mod directories;
mod error;
pub mod events;
mod fail_points;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod limits;
mod mail;
pub mod media;
mod operations;
mod queue;
mod releases;
mod settings;
pub mod storage;
pub mod uploads;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub use accounts::administration::{UserListRow, change_user, list_users, make_reset_link};
pub use accounts::{
    sessions::SignedIn,
    users::{PasswordAccepted, create_user},
};
pub use db::migrate_database;
pub use error::Error;
pub use operations::fsck::{Damage, Finding, Repair, Report, fsck};
pub use operations::queue_stats::QueueStats;
pub use queue::worker::WorkerHealth;
pub use settings::{
    LimitSettings, MailSettings, QueueSettings, RetentionSettings, S3Settings, Settings, StorageSettings,
    SupabaseSettings, UploadSettings, days,
};
use sqlx::PgPool;
pub use storage::install_tls;
use tokio::{sync::Semaphore, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{
    accounts::{access_tokens, flashes, passwords, sessions, tokens, users},
    db::connections,
    queue::{dead_letters, worker},
    releases::{review, tracks},
    storage::{media_files, reaper},
    uploads::spool,
};
use crate::domain::{circuit::CircuitState, ids::WorkerId, media::MediaLimits};

const POOL_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Whatever the worker's concurrency.
const QUEUE_CONNECTIONS: usize = 7;
/// Each waits for the disk with an offset; what waits at the same time is flushed at once.
const UPLOAD_CONNECTIONS: usize = 16;
/// Longer than any statement may take: a claim that was given up and happens all the same costs its job an attempt.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(90);

/// Connections to PostgreSQL that a process opens at most: of the pool, the queue, uploads and the health check. docs/operating.md tells operators.
pub fn database_connections(settings: &QueueSettings) -> usize {
    db::pool_connections(settings.concurrency) as usize + QUEUE_CONNECTIONS + UPLOAD_CONNECTIONS + 1
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The core, running: one per process, shared by all requests.
pub struct Backend {
    db: PgPool,
    settings: Settings,
    storage: storage::Storage,
    spool: spool::Spool,
    writers: uploads::writers::Writers,
    passwords: passwords::Passwords,
    events: events::Events,
    worker: worker::Worker,
    reaper_cursor: reaper::Cursor,
    limits: limits::Limits,
    /// The queue's.
    queue_connections: connections::Connections,
    upload_connections: connections::Connections,
    health_check: Arc<db::HealthCheck>,
    mail: mail::Transport,
    /// Files that may still be judged.
    validation_permits: Arc<Semaphore>,
    /// Archives of users' data that may still be begun.
    archive_permits: Arc<Semaphore>,
    session_cookie: tokens::TokenCookie,
    browser_cookie: tokens::TokenCookie,
    challenge_cookie: tokens::TokenCookie,
    flash_cookie: tokens::TokenCookie,
    shutdown: CancellationToken,
}

impl Backend {
    /// Connects, brings the schema up to date, opens spool and storage, takes up what an earlier process left behind, and
    /// starts the worker.
    pub async fn start(settings: Settings) -> Result<Arc<Self>> {
        fail_points::arm(&settings.fail_points)?;
        let data_dir = settings.data_dir.clone();
        let close = move || ["objects", "spool", "mail"].map(|name| directories::make_private(&data_dir.join(name)));
        spawn_blocking(close).await?;
        let limits = limits::Limits::new(&settings.limits)?;
        let mail = mail::Transport::open(&settings.mail, &settings.data_dir)?;
        migrate_database(&settings.database_url).await?;
        let db = db::connect(&settings.database_url, settings.queue.concurrency).await?;
        let health_check = Arc::new(db::HealthCheck::open(&settings.database_url).await?);
        let storage = storage::Storage::open(&settings, storage::Storage::recorded_folder_id(&db).await?)?;
        let spool = spool::Spool::open(&settings.data_dir.join("spool")).await?;
        storage.record_folder_id(&db).await?;
        let shutdown = CancellationToken::new();
        let backend = Arc::new(Self {
            events: events::Events::start(db.clone(), shutdown.clone()),
            passwords: passwords::Passwords::new(),
            session_cookie: tokens::TokenCookie::of_session(&settings.public_url),
            browser_cookie: tokens::TokenCookie::of_browser(&settings.public_url),
            challenge_cookie: tokens::TokenCookie::of_challenge(&settings.public_url),
            flash_cookie: tokens::TokenCookie::of_flash(&settings.public_url),
            mail,
            validation_permits: uploads::finish::validation_permits(),
            archive_permits: Arc::new(Semaphore::new(accounts::my_data::ARCHIVES_AT_ONCE)),
            worker: worker::Worker::new(WorkerId(Uuid::now_v7()), &settings.queue, shutdown.clone()),
            reaper_cursor: reaper::Cursor::default(),
            limits,
            writers: uploads::writers::Writers::default(),
            queue_connections: connections::Connections::new(db.clone(), QUEUE_CONNECTIONS, CLAIM_TIMEOUT),
            health_check,
            upload_connections: connections::Connections::new(db.clone(), UPLOAD_CONNECTIONS, db::REPLY_TIMEOUT),
            db,
            settings,
            storage,
            spool,
            shutdown,
        });
        backend.uploads().recover_at_start().await?;
        worker::start(&backend);
        Ok(backend)
    }

    /// Stops claiming jobs, waits for those that run, hands back what is left; all by `deadline`. Call once.
    pub async fn stop(&self, deadline: Instant) {
        self.shutdown.cancel();
        let left = deadline.saturating_duration_since(Instant::now());
        let to_close = POOL_CLOSE_TIMEOUT.min(left / 4);
        worker::drain(self, left - to_close).await;
        // Waits for every connection to come back, which one in the middle of a long statement does not.
        let _ = tokio::time::timeout(to_close, self.db.close()).await;
    }

    /// Ends when the process is about to: long-lived answers (events) close then.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    pub fn session_cookie(&self) -> &tokens::TokenCookie {
        &self.session_cookie
    }

    /// Stands between the two steps of a sign-in.
    pub fn challenge_cookie(&self) -> &tokens::TokenCookie {
        &self.challenge_cookie
    }

    /// Finds what the last form came to that was sent without scripts.
    pub fn flash_cookie(&self) -> &tokens::TokenCookie {
        &self.flash_cookie
    }

    /// Tells a browser that has signed in before.
    pub fn browser_cookie(&self) -> &tokens::TokenCookie {
        &self.browser_cookie
    }

    pub fn media_limits(&self) -> &MediaLimits {
        &self.settings.media
    }

    pub fn limits(&self) -> &limits::Limits {
        &self.limits
    }

    pub fn events(&self) -> &events::Events {
        &self.events
    }

    pub fn sessions(&self) -> sessions::Sessions<'_> {
        sessions::Sessions(self)
    }

    pub fn flashes(&self) -> flashes::Flashes<'_> {
        flashes::Flashes(self)
    }

    pub fn access_tokens(&self) -> access_tokens::AccessTokens<'_> {
        access_tokens::AccessTokens(self)
    }

    pub fn users(&self) -> users::Users<'_> {
        users::Users(self)
    }

    pub fn password_reset(&self) -> accounts::reset::PasswordReset<'_> {
        accounts::reset::PasswordReset(self)
    }

    pub fn verification(&self) -> accounts::verification::Verification<'_> {
        accounts::verification::Verification(self)
    }

    pub fn two_factor(&self) -> accounts::two_factor::TwoFactor<'_> {
        accounts::two_factor::TwoFactor(self)
    }

    pub fn my_data(self: &Arc<Self>) -> accounts::my_data::MyData<'_> {
        accounts::my_data::MyData(self)
    }

    pub fn administration(&self) -> accounts::administration::Administration<'_> {
        accounts::administration::Administration(self)
    }

    pub fn security_log(&self) -> accounts::security_log::SecurityLog<'_> {
        accounts::security_log::SecurityLog(self)
    }

    pub fn releases(&self) -> releases::Releases<'_> {
        releases::Releases(self)
    }

    pub fn tracks(&self) -> tracks::Tracks<'_> {
        tracks::Tracks(self)
    }

    pub fn review(&self) -> review::Review<'_> {
        review::Review(self)
    }

    pub fn dead_letters(&self) -> dead_letters::DeadLetters<'_> {
        dead_letters::DeadLetters(self)
    }

    pub fn uploads(self: &Arc<Self>) -> uploads::Uploads {
        uploads::Uploads(Arc::clone(self))
    }

    pub fn media_files(&self) -> media_files::MediaFiles<'_> {
        media_files::MediaFiles(self)
    }

    /// Whether PostgreSQL answers within two seconds. However busy it and this process's connections are, it is up.
    pub async fn database_is_up(&self) -> bool {
        self.health_check.is_up().await
    }

    /// The origin that media may be redirected to.
    pub fn media_origin(&self) -> Option<&str> {
        self.storage.origin()
    }

    /// Whether local storage's disk takes no more.
    pub fn storage_is_full(&self) -> bool {
        self.storage.is_full()
    }

    /// Whether the storage is asked for anything at present.
    pub fn storage_circuit(&self) -> CircuitState {
        self.storage.circuit()
    }

    pub fn worker_health(&self) -> WorkerHealth {
        self.worker.health()
    }
}
