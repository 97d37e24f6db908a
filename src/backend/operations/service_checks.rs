//! Tries the services that the settings name, for `vwaza check-config`. Each attempt has a deadline.

use std::{path::Path, time::Duration};

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::backend::{
    Error, LimitSettings, MailSettings, Result, Settings, db, limits, mail::Transport, storage::Storage,
};

/// The longest time that one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// One attempt.
#[derive(Debug)]
pub struct ServiceCheck {
    /// "storage, read".
    pub what: &'static str,
    /// What was found, or what is wrong.
    pub outcome: Result<String, String>,
}

impl ServiceCheck {
    async fn of(what: &'static str, work: impl Future<Output = Result<String>>) -> Self {
        let outcome = match tokio::time::timeout(ATTEMPT_TIMEOUT, work).await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", ATTEMPT_TIMEOUT.as_secs())),
        };
        Self { what, outcome }
    }

    async fn of_unit(what: &'static str, work: impl Future<Output = Result<()>>) -> Self {
        Self::of(what, async { work.await.map(|()| "ok".to_owned()) }).await
    }
}

/// Connects to the database, and looks at whether this role may change its schema. Also returns the id that the database
/// records for local storage's folder, if it does.
pub async fn check_database(url: &str) -> (ServiceCheck, Option<Uuid>) {
    let mut folder = None;
    let work = async {
        let mut db = PgConnection::connect_with(&db::options(url)?).await?;
        let found = sqlx::query!(
            r#"select current_setting('server_version') as "version!",
                      coalesce(has_schema_privilege(current_schema(), 'create'), false) as "may_create!",
                      to_regclass('storage_folder') is not null as "has_schema!""#
        )
        .fetch_one(&mut db)
        .await?;
        if found.has_schema {
            folder = sqlx::query_scalar!("select id from storage_folder").fetch_optional(&mut db).await?;
        }
        db.close().await?;
        if found.may_create {
            Ok(format!("PostgreSQL {}", found.version))
        } else {
            Err(Error::Corrupt("this role may not create tables here".into()))
        }
    };
    let check = ServiceCheck::of("database", work).await;
    (check, folder)
}

/// Writes an object of its own to the storage, reads it, reads a range of it, lists it and deletes it. `folder` is the id
/// that the database records for local storage's folder.
pub async fn check_storage(settings: &Settings, folder: Option<Uuid>) -> Vec<ServiceCheck> {
    let storage = match Storage::open(settings, folder) {
        Ok(storage) => storage,
        Err(error) => return vec![ServiceCheck { what: "storage", outcome: Err(error.to_string()) }],
    };
    let trial = storage.trial();
    let write = ServiceCheck::of_unit("storage, write", trial.write()).await;
    if write.outcome.is_err() {
        // A write without an answer may have made the object.
        let _ = ServiceCheck::of_unit("storage, delete", trial.delete()).await;
        return vec![write, ServiceCheck::of_unit("storage, list", trial.list_any()).await];
    }
    vec![
        write,
        ServiceCheck::of_unit("storage, read", trial.read()).await,
        ServiceCheck::of_unit("storage, range", trial.read_range()).await,
        ServiceCheck::of_unit("storage, list", trial.list()).await,
        ServiceCheck::of_unit("storage, delete", trial.delete()).await,
    ]
}

/// Connects to Redis, if there is one.
pub async fn check_redis(settings: &LimitSettings) -> Option<ServiceCheck> {
    let url = settings.redis_url.as_deref()?;
    let work = async { limits::redis_version(url).await.map(|version| format!("Redis {version}")) };
    Some(ServiceCheck::of("Redis", work).await)
}

/// Connects to the SMTP server and signs in, without sending a mail. Without a server, looks at whether mails can become
/// files.
pub async fn check_mail(settings: &MailSettings, data_dir: &Path) -> ServiceCheck {
    let settings = MailSettings { timeout: settings.timeout.min(ATTEMPT_TIMEOUT), ..settings.clone() };
    let what = if settings.smtp_url.is_some() { "SMTP" } else { "mail in files" };
    ServiceCheck::of_unit(what, async { Transport::open(&settings, data_dir)?.try_out().await }).await
}
