//! The SQL statements of the mail queue.

use std::time::Duration;

use sqlx::{PgConnection, PgPool, types::Json};
use tracing::error_span;
use uuid::Uuid;

use crate::{
    backend::{
        Result,
        cause::{self, Cause},
    },
    domain::{
        ids::{MailJobId, ReleaseId, UserId},
        mail::{FailedFile, Message, ReleaseNews},
    },
};

/// The delay of a mail about failed files. Failures of the same release within this time go into the same mail.
const FAILURE_MAIL_DELAY: Duration = Duration::from_secs(10 * 60);
/// The largest number of failures in one mail.
const FILES_PER_MAIL_MAX: i32 = 100;
/// The length at which the error of a failed attempt is cut, in characters.
const ERROR_MAX_CHARS: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "mail_status", rename_all = "UPPERCASE")]
pub(super) enum MailStatus {
    Pending,
    Sent,
    /// The SMTP server refused the mail permanently, or all retries failed.
    Failed,
    /// The mail must not be sent any more.
    Dropped,
}

/// The recipient of a mail.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) enum Recipient<'a> {
    User(UserId),
    /// A user at a given address, which need not be their current one.
    At(UserId, &'a str),
    /// The user of a typed address, if there is one. Without a user the mail is queued all the same, so that both cases
    /// do the same work.
    IfAny(Option<UserId>),
}

/// A mail that this process has claimed and sends now.
#[derive(Debug)]
pub(in crate::backend) struct ClaimedMail {
    pub(in crate::backend) id: MailJobId,
    pub(in crate::backend) attempt: i32,
    failures: i32,
    pub(in crate::backend) user: Option<UserId>,
    message: Json<Message>,
    /// The id of the request that caused the mail.
    request_id: Option<String>,
    /// The span that enqueued the mail.
    trace_parent: Option<String>,
}

impl ClaimedMail {
    /// Does work for the mail: its log lines name the mail and the request that caused it.
    pub(super) fn run<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        // The span has the highest level, so that its names stay in the log whatever the filter is.
        let span = error_span!(
            parent: None,
            "mail",
            mail.id = %self.id,
            attempt = self.attempt,
            failures = self.failures,
            request.id = self.request_id,
        );
        cause::resume(self.request_id.as_deref(), self.trace_parent.as_deref(), span, work)
    }

    pub(super) fn message(&self) -> &Message {
        &self.message
    }

    pub(super) fn failures(&self) -> u32 {
        u32::try_from(self.failures).unwrap_or(0)
    }
}

/// Queues a mail in the transaction that causes it. Call `Events::mail_added` after the commit, so that the mail does
/// not wait for the next poll.
pub(in crate::backend) async fn enqueue(db: &mut PgConnection, to: Recipient<'_>, message: Message) -> Result<()> {
    let (user, address) = match to {
        Recipient::User(id) => (Some(id), None),
        Recipient::At(id, address) => (Some(id), Some(address)),
        Recipient::IfAny(id) => (id, None),
    };
    let release = match &message {
        Message::ReleaseNews { release, .. } => Some(*release),
        _ => None,
    };
    let delay = match &message {
        Message::ReleaseNews { news: ReleaseNews::FilesFailed { .. }, .. } => FAILURE_MAIL_DELAY,
        _ => Duration::ZERO,
    };
    let cause = Cause::current();
    sqlx::query!(
        "insert into mail_jobs (id, user_id, message, release_id, run_after, address, request_id, trace_parent)
         values ($1, $2, $3, $4, now() + make_interval(secs => $5), $6, $7, $8)",
        MailJobId(Uuid::now_v7()) as MailJobId,
        user as Option<UserId>,
        Json(message) as Json<Message>,
        release as Option<ReleaseId>,
        delay.as_secs_f64(),
        address,
        cause.request_id,
        cause.trace_parent
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Appends a failure to the release's unsent mail about failed files. Returns false if there is none. Call it with the
/// release locked, so that two concurrent failures do not create two mails.
pub(super) async fn add_failure(db: &mut PgConnection, release: ReleaseId, file: &FailedFile) -> Result<bool> {
    let added = sqlx::query!(
        "update mail_jobs
         set message = jsonb_set(message, '{news,files}', (message #> '{news,files}') || $2::jsonb), updated_at = now()
         where release_id = $1 and status = 'PENDING' and attempt = 0 and message #>> '{news,what}' = 'FILES_FAILED'
           and jsonb_array_length(message #> '{news,files}') < $3",
        release as ReleaseId,
        Json(file) as Json<&FailedFile>,
        FILES_PER_MAIL_MAX
    )
    .execute(db)
    .await?;
    Ok(added.rows_affected() > 0)
}

/// Drops the user's unsent reset mails, because their links would give access to the account.
pub(in crate::backend) async fn drop_resets(db: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!(
        "update mail_jobs set status = 'DROPPED', updated_at = now()
         where user_id = $1 and status = 'PENDING' and message ->> 'kind' in ('PASSWORD_RESET', 'PASSWORD_RESET_BY_ADMIN')",
        user as UserId
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Drops all unsent reset mails, because a database that was restored from a backup keeps no reset link.
pub(in crate::backend) async fn drop_all_resets(db: &mut PgConnection) -> Result<()> {
    sqlx::query!(
        "update mail_jobs set status = 'DROPPED', updated_at = now()
         where status = 'PENDING' and message ->> 'kind' in ('PASSWORD_RESET', 'PASSWORD_RESET_BY_ADMIN')"
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Drops the user's unsent verification mails to other addresses than their own.
pub(in crate::backend) async fn drop_verifications_elsewhere(db: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!(
        "update mail_jobs set status = 'DROPPED', updated_at = now()
         where user_id = $1 and status = 'PENDING' and message ->> 'kind' = 'VERIFY_EMAIL' and address is not null",
        user as UserId
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Claims the mail that has been due longest. If its sender dies, the mail is due again when the lease expires.
pub(super) async fn claim(db: &PgPool, lease: Duration) -> Result<Option<ClaimedMail>> {
    let claimed = sqlx::query_as!(
        ClaimedMail,
        r#"update mail_jobs
           set attempt = attempt + 1, run_after = now() + make_interval(secs => $1), updated_at = now()
           where id = (select id from mail_jobs where status = 'PENDING' and run_after <= now()
                       order by run_after, id limit 1 for update skip locked)
           returning id as "id: MailJobId", attempt, failures, user_id as "user: UserId", message as "message: Json<Message>",
                     request_id, trace_parent"#,
        lease.as_secs_f64()
    )
    .fetch_optional(db)
    .await?;
    Ok(claimed)
}

/// The recipient of a mail and their address.
pub(super) struct MailRecipient {
    pub(super) address: String,
    pub(super) name: String,
    /// Whether somebody has opened a link that was sent to the user's address.
    pub(super) is_verified: bool,
}

/// The recipient of a mail; `None` if there is no user, the account is disabled, or this process no longer holds the
/// mail.
pub(super) async fn recipient(db: &PgPool, job: &ClaimedMail) -> Result<Option<MailRecipient>> {
    let to = sqlx::query_as!(
        MailRecipient,
        r#"select coalesce(m.address, u.email) as "address!", u.artist_name as name,
                  u.email_verified_at is not null as "is_verified!"
           from mail_jobs m join users u on u.id = m.user_id
           where m.id = $1 and m.attempt = $2 and m.status = 'PENDING' and u.disabled_at is null"#,
        job.id as MailJobId,
        job.attempt
    )
    .fetch_optional(db)
    .await?;
    Ok(to)
}

/// Ends a mail unless another process holds it by now. A mail without a user is deleted, because anybody can request
/// such mails.
pub(super) async fn finish(db: &PgPool, job: &ClaimedMail, status: MailStatus) -> Result<()> {
    if job.user.is_none() {
        sqlx::query!(
            "delete from mail_jobs where id = $1 and attempt = $2 and status = 'PENDING'",
            job.id as MailJobId,
            job.attempt
        )
        .execute(db)
        .await?;
        return Ok(());
    }
    sqlx::query!(
        "update mail_jobs set status = $3, updated_at = now() where id = $1 and attempt = $2 and status = 'PENDING'",
        job.id as MailJobId,
        job.attempt,
        status as MailStatus
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Counts a failure. The mail is retried after `retry_after`; `None` makes the failure final.
pub(super) async fn fail(db: &PgPool, job: &ClaimedMail, error: &str, retry_after: Option<Duration>) -> Result<()> {
    let error: String = error.chars().filter(|c| *c != '\0').take(ERROR_MAX_CHARS).collect();
    sqlx::query!(
        "update mail_jobs
         set status = case when $4::float8 is null then 'FAILED'::mail_status else 'PENDING' end,
             failures = failures + 1, run_after = now() + make_interval(secs => coalesce($4, 0)), updated_at = now(),
             error_log = error_log || to_char(now() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
                         || ' attempt ' || attempt || ': ' || replace($3, E'\\n', ' ') || E'\\n'
         where id = $1 and attempt = $2 and status = 'PENDING'",
        job.id as MailJobId,
        job.attempt,
        error,
        retry_after.map(|wait| wait.as_secs_f64())
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Returns a claimed mail to the queue without counting a failure.
pub(super) async fn hand_back(db: &PgPool, job: &ClaimedMail) -> Result<()> {
    sqlx::query!(
        "update mail_jobs set run_after = now(), updated_at = now() where id = $1 and attempt = $2 and status = 'PENDING'",
        job.id as MailJobId,
        job.attempt
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes mails that ended longer than `retention` ago. Returns their number.
pub(in crate::backend) async fn delete_ended(db: &PgPool, retention: Duration, at_most: i64) -> Result<u64> {
    let purged = sqlx::query!(
        "delete from mail_jobs where id in (
             select id from mail_jobs where status <> 'PENDING' and updated_at < now() - make_interval(secs => $1)
             order by updated_at limit $2 for update skip locked)",
        retention.as_secs_f64(),
        at_most
    )
    .execute(db)
    .await?;
    Ok(purged.rows_affected())
}
