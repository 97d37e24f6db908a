//! The backend: everything that uses PostgreSQL, the storage, the spool or media files. All SQL of the product is here.

pub mod accounts;
pub mod audit;
mod backtraces;
pub mod cause;
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
mod paging;
mod queue;
mod releases;
mod settings;
pub mod storage;
mod tasks;
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
pub use backtraces::backtrace;
pub use db::{connections::PoolUsage, migrate_database};
pub use error::Error;
pub use operations::backup::{BackupCheck, BackupReport, Restored, backup, restore, verify_backup};
pub use operations::figures::resident_bytes;
pub use operations::fsck::{Damage, Finding, Repair, Report, fsck};
pub use operations::queue_stats::QueueStats;
pub use operations::service_checks::{ServiceCheck, check_database, check_mail, check_redis, check_storage};
pub use settings::{
    BackupTarget, LimitSettings, MailSettings, QueueSettings, RetentionSettings, S3Settings, Settings, StorageSettings,
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
    mail::sender,
    operations::{figures, integrity, janitor, overview},
    queue::{dead_letters, job_search, worker},
    releases::{review, search, tracks},
    storage::{media_files, reaper},
    uploads::spool,
};
use crate::domain::{
    circuit::CircuitState,
    health::{Health, StorageHealth},
    ids::WorkerId,
    media::MediaLimits,
};

const POOL_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The connections of the queue, whatever the worker's concurrency.
const QUEUE_CONNECTIONS: usize = 7;
/// The connections of uploads. Each one waits for PostgreSQL's disk with an offset; offsets that wait at the same time
/// are flushed together.
const UPLOAD_CONNECTIONS: usize = 16;
/// The timeout of a claim. It is longer than any statement may take: a claim that is given up and commits all the same
/// costs its job an attempt.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(90);

/// The largest number of connections to PostgreSQL that a process opens: for the pool, the queue, uploads and the
/// health check. docs/operating.md names it for operators.
pub fn database_connections(settings: &QueueSettings) -> usize {
    db::pool_connections(settings.concurrency) as usize + QUEUE_CONNECTIONS + UPLOAD_CONNECTIONS + 1
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The running core. Each process has one, which all requests share.
pub struct Backend {
    db: PgPool,
    settings: Settings,
    storage: storage::Storage,
    spool: spool::Spool,
    writers: uploads::writers::Writers,
    passwords: passwords::Passwords,
    events: events::Events,
    tasks: tasks::Tasks,
    worker: worker::Worker,
    reaper_cursor: reaper::Cursor,
    limits: limits::Limits,
    /// Connections that only the queue uses.
    queue_connections: connections::Connections,
    upload_connections: connections::Connections,
    health_check: Arc<db::HealthCheck>,
    mail: mail::Transport,
    /// Permits to validate a file.
    validation_permits: Arc<Semaphore>,
    /// Permits to make an archive of a user's data.
    archive_permits: Arc<Semaphore>,
    session_cookie: tokens::TokenCookie,
    browser_cookie: tokens::TokenCookie,
    challenge_cookie: tokens::TokenCookie,
    flash_cookie: tokens::TokenCookie,
    shutdown: CancellationToken,
}

impl Backend {
    /// Starts the core: connects, migrates the schema, opens spool and storage, recovers what an earlier process left
    /// behind, and starts the worker.
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
            tasks: tasks::Tasks::default(),
            worker: worker::Worker::new(WorkerId(Uuid::now_v7()), &settings.queue, shutdown.clone()),
            reaper_cursor: reaper::Cursor::default(),
            limits,
            writers: uploads::writers::Writers::default(),
            queue_connections: connections::Connections::new("queue", db.clone(), QUEUE_CONNECTIONS, CLAIM_TIMEOUT),
            health_check,
            upload_connections: connections::Connections::new(
                "uploads",
                db.clone(),
                UPLOAD_CONNECTIONS,
                db::REPLY_TIMEOUT,
            ),
            db,
            settings,
            storage,
            spool,
            shutdown,
        });
        backend.uploads().recover_at_start().await?;
        worker::start(&backend);
        tasks::supervise(&backend, "janitor", janitor::run);
        tasks::supervise(&backend, "search", search::keeper::run);
        tasks::supervise(&backend, "integrity check", integrity::run);
        tasks::supervise(&backend, "figures", figures::run);
        for _ in 0..sender::SENDERS {
            tasks::supervise(&backend, "send mail", sender::run);
        }
        Ok(backend)
    }

    /// Stops claiming jobs, waits for running jobs and hands back the rest, all by `deadline`. Call it once.
    pub async fn stop(&self, deadline: Instant) {
        self.shutdown.cancel();
        let left = deadline.saturating_duration_since(Instant::now());
        let to_close = POOL_CLOSE_TIMEOUT.min(left / 4);
        self.tasks.drain(left - to_close).await;
        // Closing waits for every connection, and one in the middle of a long statement may not come back in time.
        let _ = tokio::time::timeout(to_close, self.db.close()).await;
    }

    /// The token that is cancelled when the process is about to end. Long-lived answers, such as events, end then.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    pub fn session_cookie(&self) -> &tokens::TokenCookie {
        &self.session_cookie
    }

    /// The cookie between the two steps of a sign-in.
    pub fn challenge_cookie(&self) -> &tokens::TokenCookie {
        &self.challenge_cookie
    }

    /// The cookie that finds the result of the last form that was sent without scripts.
    pub fn flash_cookie(&self) -> &tokens::TokenCookie {
        &self.flash_cookie
    }

    /// The cookie that recognises a browser that has signed in before.
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

    pub fn audit_trail(self: &Arc<Self>) -> audit::AuditTrail<'_> {
        audit::AuditTrail(self)
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

    pub fn jobs(&self) -> job_search::Jobs<'_> {
        job_search::Jobs(self)
    }

    pub fn uploads(self: &Arc<Self>) -> uploads::Uploads {
        uploads::Uploads(Arc::clone(self))
    }

    pub fn operations(&self) -> overview::Operations<'_> {
        overview::Operations(self)
    }

    pub fn integrity(&self) -> integrity::Integrity<'_> {
        integrity::Integrity(self)
    }

    pub fn media_files(&self) -> media_files::MediaFiles<'_> {
        media_files::MediaFiles(self)
    }

    /// Whether PostgreSQL answers within two seconds, on a connection of its own. A busy database and a busy pool count
    /// as up.
    pub async fn database_is_up(&self) -> bool {
        self.health_check.is_up().await
    }

    /// The use of each pool of connections to the database.
    pub fn pools(&self) -> [PoolUsage; 3] {
        let (size, idle) = (self.db.size() as usize, self.db.num_idle());
        let max = self.db.options().get_max_connections() as usize;
        let main = PoolUsage { name: "main", in_use: size.saturating_sub(idle), idle, max };
        [main, self.queue_connections.usage(), self.upload_connections.usage()]
    }

    /// The origin that media may be redirected to.
    pub fn media_origin(&self) -> Option<&str> {
        self.storage.origin()
    }

    /// The health of this process, and of what it depends on.
    pub async fn health(&self) -> Health {
        self.health_with(self.database_is_up().await)
    }

    fn health_with(&self, database_is_up: bool) -> Health {
        let storage = match self.storage.circuit() {
            // A full storage may be the reason for an open circuit, so it is named first.
            _ if self.storage.is_full() => StorageHealth::Full,
            CircuitState::Closed => StorageHealth::Ok,
            CircuitState::Open => StorageHealth::Open,
            CircuitState::HalfOpen => StorageHealth::HalfOpen,
        };
        Health { database_is_up, storage, worker: self.worker.health() }
    }

    /// The state of the storage's circuit breaker.
    pub fn storage_circuit(&self) -> CircuitState {
        self.storage.circuit()
    }
}
