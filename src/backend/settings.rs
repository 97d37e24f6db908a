//! What the core is told by the server's configuration; it never reads the environment itself.

use std::{fmt, path::PathBuf, time::Duration};

use super::mail::MailSettings;
use crate::domain::media::MediaLimits;

#[derive(Clone, Debug)]
pub struct Settings {
    pub database_url: String,
    /// Holds the spool and, with local storage, the objects.
    pub data_dir: PathBuf,
    /// The site's address as people type it; https makes the session cookie `Secure`.
    pub public_url: String,
    pub storage: StorageSettings,
    pub media: MediaLimits,
    pub uploads: UploadSettings,
    pub queue: QueueSettings,
    pub retention: RetentionSettings,
    pub limits: LimitSettings,
    pub mail: MailSettings,
    /// An artist whose address is not verified does not submit.
    pub requires_verified_email: bool,
    /// An admin without two factors can do nothing but set them up.
    pub requires_admin_two_factor: bool,
    /// Where this process is to break; only in builds for tests.
    pub fail_points: String,
}

/// Where objects live.
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
    /// `AWS_ACCESS_KEY_ID`, `AWS_REGION` and the like, as `object_store` names them.
    pub options: Vec<(String, String)>,
}

#[derive(Clone)]
pub struct SupabaseSettings {
    /// The project's address, without a path.
    pub url: String,
    pub service_role_key: String,
    pub bucket: String,
}

/// Without the keys.
impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// Without the key.
impl fmt::Debug for SupabaseSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupabaseSettings").field("url", &self.url).field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub struct UploadSettings {
    /// An upload that nobody has sent a byte for is given up after this long.
    pub expiry: Duration,
    /// Uploads of one artist that may be receiving or waiting to be stored at once.
    pub max_open: i64,
    /// All files of one artist together.
    pub quota_bytes: i64,
    /// Left free on the spool's disk: whoever shares it (the database's log, say) must not stand still because the spool is full.
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
    /// How often the queue is looked at when nobody hints that there is something.
    pub poll_interval: Duration,
    /// A worker that has not been heard of for this long has lost its job.
    pub lease: Duration,
    /// The failure that sends a job to the dead letter queue.
    pub max_failures: u32,
    /// An attempt that has not ended by then never will: it counts as a failure.
    pub attempt_timeout: Duration,
    /// Decoding a file for longer counts as a failure, too.
    pub examination_timeout: Duration,
    /// Jobs that run at once in this process. 0: only those whose bytes this process alone holds, one at a time.
    pub concurrency: u32,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(5),
            lease: Duration::from_secs(60),
            max_failures: 3,
            // The largest file there may be, on a line of a few Mbit/s.
            attempt_timeout: Duration::from_secs(60 * 60),
            // Six hours at 44.1 kHz take half a minute, with a copy to listen to two minutes: time for a machine that is five times as busy
            // or as slow.
            examination_timeout: Duration::from_secs(10 * 60),
            concurrency: 4,
        }
    }
}

/// Rate limits. Each is for one address unless it says otherwise.
#[derive(Clone)]
pub struct LimitSettings {
    pub is_on: bool,
    /// Redis that all processes share. Unset: each process limits for itself.
    pub redis_url: Option<String>,
    /// No request waits longer for Redis.
    pub redis_timeout: Duration,
    /// Requests of any kind that may come at once. All of them may come again after 5 s.
    pub burst: u32,
    /// Requests below `/api/`, except those that carry an upload's bytes or create one.
    pub api_per_minute: u32,
    /// Accounts made in 15 minutes.
    pub sign_ups: u32,
    /// Sign-ins tried in 15 minutes.
    pub sign_ins: u32,
    /// Uploads created in 15 minutes.
    pub upload_creations: u32,
    /// Bytes of uploads. More are read more slowly.
    pub upload_bytes_per_minute: u64,
    /// Event streams of one user that are open at once.
    pub streams_per_user: u32,
    /// Event streams that are open at once.
    pub streams_per_address: u32,
    /// Failed sign-ins to one account in 15 minutes, after which only known browsers may sign in to it.
    pub failed_sign_ins: u32,
    /// Reset mails to one address in an hour.
    pub reset_mails: u32,
    /// Requests that are under way at once, answers that are still being sent included.
    pub requests_per_address: u32,
    /// Requests of one user that are worked on at once. Others wait in line, ten times as many at most.
    pub requests_per_user: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            is_on: true,
            redis_url: None,
            redis_timeout: Duration::from_millis(50),
            // A dashboard with its fifty covers, several times over.
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
            // Fewer than the pool has connections: others go on whatever one user does. A page asks some ten things at once.
            requests_per_user: 8,
        }
    }
}

/// Without the address of Redis, which may hold a password.
impl fmt::Debug for LimitSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitSettings")
            .field("is_on", &self.is_on)
            .field("shared", &self.redis_url.is_some())
            .finish_non_exhaustive()
    }
}

/// How long what is over is kept.
#[derive(Clone, Debug)]
pub struct RetentionSettings {
    /// An object that was never attached is doomed this long after its intent, once nobody works on it. Longer than any PUT.
    pub orphan_grace: Duration,
    /// An object that was replaced or whose target was deleted: open players and backups younger than this stay whole.
    pub replaced_object: Duration,
    pub completed_job: Duration,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self { orphan_grace: Duration::from_secs(15 * 60), replaced_object: days(7), completed_job: days(30) }
    }
}

/// A day is 24 hours here.
pub const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 60 * 60)
}
