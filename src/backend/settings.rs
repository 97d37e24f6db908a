//! The settings of the core. The server reads them from its configuration; the core never reads the environment itself.

use std::{fmt, path::PathBuf, time::Duration};

use crate::domain::media::MediaLimits;

#[derive(Clone, Debug)]
pub struct Settings {
    pub database_url: String,
    /// The directory of the spool, of mails that become files and, with local storage, of the objects.
    pub data_dir: PathBuf,
    /// The site's address as people type it. With https, cookies are `Secure`.
    pub public_url: String,
    pub storage: StorageSettings,
    pub media: MediaLimits,
    pub uploads: UploadSettings,
    pub queue: QueueSettings,
    pub retention: RetentionSettings,
    pub limits: LimitSettings,
    pub mail: MailSettings,
    /// The bytes that the integrity check reads in a day. With 0, there is no check.
    pub integrity_bytes_per_day: u64,
    /// Whether an artist must verify their e-mail address before they submit a release.
    pub requires_verified_email: bool,
    /// Whether an admin must set up two-factor sign-in before they can do anything else.
    pub requires_admin_two_factor: bool,
    /// Fail points that break this process, as `fail_points::arm` reads them. Only builds for tests contain any.
    pub fail_points: String,
}

/// The storage of the objects.
#[derive(Clone, Debug)]
pub enum StorageSettings {
    /// A folder in the data directory.
    Local,
    S3(S3Settings),
    Supabase(SupabaseSettings),
}

#[derive(Clone)]
pub struct S3Settings {
    pub bucket: String,
    /// Options such as `AWS_ACCESS_KEY_ID` and `AWS_REGION`, by the names of `object_store`.
    pub options: Vec<(String, String)>,
}

#[derive(Clone)]
pub struct SupabaseSettings {
    /// The project's address, without a path.
    pub url: String,
    pub service_role_key: String,
    pub bucket: String,
}

/// The place of backups.
#[derive(Clone, Debug)]
pub enum BackupTarget {
    Folder(PathBuf),
    /// A bucket, and what the keys in it begin with: nothing, or a path that ends in `/`.
    S3 {
        bucket: S3Settings,
        prefix: String,
    },
}

/// Omits the options, because they hold keys.
impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// Omits the service role key.
impl fmt::Debug for SupabaseSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupabaseSettings").field("url", &self.url).field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub struct UploadSettings {
    /// An upload expires this long after its last received byte.
    pub expiry: Duration,
    /// The largest number of uploads of one artist that are receiving or waiting to be stored.
    pub max_open: i64,
    /// The largest total size of one artist's files, replaced files within their retention included.
    pub quota_bytes: i64,
    /// The space that uploads leave free on the spool's disk, so that a full spool does not stop others that write to
    /// the same disk, such as the database's log.
    pub reserve_bytes: u64,
}

impl Default for UploadSettings {
    fn default() -> Self {
        Self {
            expiry: Duration::from_secs(24 * 60 * 60),
            max_open: 64,
            quota_bytes: 50 * 1024 * 1024 * 1024,
            reserve_bytes: 256 * 1024 * 1024,
        }
    }
}

#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// The pause between two polls of the queue when no hint arrives.
    pub poll_interval: Duration,
    /// A job's lease. A worker that sends no heartbeat for this long loses its job.
    pub lease: Duration,
    /// The number of failures after which a job becomes a dead letter.
    pub max_failures: u32,
    /// The longest time an attempt may take. An attempt that takes longer counts as a failure.
    pub attempt_timeout: Duration,
    /// The longest time the decoding of a file may take. A longer one counts as a failure, too.
    pub examination_timeout: Duration,
    /// The number of jobs that run at once in this process. With 0, the process runs one job at a time, and only jobs
    /// whose bytes are in its own spool.
    pub concurrency: u32,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(5),
            lease: Duration::from_secs(60),
            max_failures: 3,
            // Time to store the largest allowed file over a connection of a few Mbit/s.
            attempt_timeout: Duration::from_secs(60 * 60),
            // Decoding six hours at 44.1 kHz takes half a minute, or two minutes with a listening copy. This leaves
            // time for a machine that is five times as busy or as slow.
            examination_timeout: Duration::from_secs(10 * 60),
            concurrency: 4,
        }
    }
}

/// Rate limits. Each applies to one address unless its comment names another party.
#[derive(Clone)]
pub struct LimitSettings {
    pub is_on: bool,
    /// The address of a Redis that all processes share. `None`: each process counts for itself.
    pub redis_url: Option<String>,
    /// The longest time that a request waits for Redis.
    pub redis_timeout: Duration,
    /// Requests of any kind that may come at once. The full burst is available again after 5 s without a request.
    pub burst: u32,
    /// Requests below `/api/` in a minute, except those that carry an upload's bytes or create an upload.
    pub api_per_minute: u32,
    /// Sign-up attempts in 15 minutes.
    pub sign_ups: u32,
    /// Sign-in attempts in 15 minutes. Password reset requests have a limit of their own with this quota.
    pub sign_ins: u32,
    /// Uploads created in 15 minutes.
    pub upload_creations: u32,
    /// Bytes of uploads in a minute. The server reads the body of a faster client more slowly.
    pub upload_bytes_per_minute: u64,
    /// Open event streams of one user.
    pub streams_per_user: u32,
    /// Open event streams of one address.
    pub streams_per_address: u32,
    /// Failed sign-ins to one account from unknown browsers in 15 minutes. Afterwards only known browsers, each with a
    /// limit of its own, may sign in. Wrong codes and wrong current passwords have limits of their own with this quota.
    pub failed_sign_ins: u32,
    /// Password reset mails to one e-mail address in an hour. Verification mails that one account asks for have a limit
    /// of their own with this quota.
    pub reset_mails: u32,
    /// Requests that run at once, including those whose response is still being sent.
    pub requests_per_address: u32,
    /// Requests of one user that run at once. Up to ten times as many more wait in a queue.
    pub requests_per_user: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            is_on: true,
            redis_url: None,
            redis_timeout: Duration::from_millis(50),
            // A dashboard with its 50 covers, several times over.
            burst: 500,
            api_per_minute: 100,
            sign_ups: 5,
            sign_ins: 10,
            upload_creations: 300,
            upload_bytes_per_minute: 12_000_000_000,
            streams_per_user: 20,
            streams_per_address: 100,
            failed_sign_ins: 10,
            reset_mails: 3,
            requests_per_address: 256,
            // This is fewer than the pool's connections, so one user cannot block the others. A page sends about ten
            // requests at once.
            requests_per_user: 8,
        }
    }
}

/// Omits the address of Redis, which may hold a password.
impl fmt::Debug for LimitSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitSettings")
            .field("is_on", &self.is_on)
            .field("shared", &self.redis_url.is_some())
            .finish_non_exhaustive()
    }
}

/// Retention: how long rows and objects are kept after they are no longer needed.
#[derive(Clone, Debug)]
pub struct RetentionSettings {
    /// The age at which an object that was never attached is doomed, unless a job still works on it. Must be longer
    /// than any PUT takes.
    pub orphan_grace: Duration,
    /// The time for which an object is kept after it was replaced or its target was deleted. Open players, and backups
    /// that are younger than this, stay complete.
    pub replaced_object: Duration,
    /// The time for which completed jobs and ended mails are kept.
    pub completed_job: Duration,
    /// The time for which entries of the audit trail are kept, at least 30 days.
    pub audit_entry: Duration,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            orphan_grace: Duration::from_secs(15 * 60),
            replaced_object: days(7),
            completed_job: days(30),
            audit_entry: days(1095),
        }
    }
}

/// Settings of outgoing mail.
#[derive(Clone)]
pub struct MailSettings {
    /// The SMTP server, as `smtp://user:password@host:port`. `None`: each mail becomes a file.
    pub smtp_url: Option<String>,
    /// The sender, such as `Vwaza <noreply@music.example>`.
    pub from: String,
    /// The timeout of one attempt to send a mail, including all replies of the SMTP server.
    pub timeout: Duration,
}

impl Default for MailSettings {
    fn default() -> Self {
        Self { smtp_url: None, from: "Vwaza <noreply@localhost>".into(), timeout: Duration::from_secs(60) }
    }
}

/// Omits the SMTP server's address, which may hold a password.
impl fmt::Debug for MailSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailSettings").field("smtp", &self.smtp_url.is_some()).field("from", &self.from).finish()
    }
}

/// A duration in days of 24 hours.
pub const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 60 * 60)
}
