//! The security log: what happened to an account. Its rows are written in the transaction of what they tell.

use sqlx::PgConnection;
use uuid::Uuid;

use super::Visitor;
use crate::{
    backend::{Backend, Result},
    domain::{
        account::Actor,
        device::device_name,
        ids::UserId,
        security::{SecurityEvent, SecurityEventKind},
    },
};

/// Newer events are what people look for; older ones are in the process's log.
const LISTED_MAX: i64 = 50;
/// Days.
const RETENTION_DAYS: i32 = 365;

pub struct SecurityLog<'a>(pub(in crate::backend) &'a Backend);

impl SecurityLog<'_> {
    /// The actor's own events, the newest first.
    pub async fn list(&self, actor: &Actor) -> Result<Vec<SecurityEvent>> {
        list(&mut *self.0.db.acquire().await?, actor.id).await
    }
}

pub(in crate::backend) async fn list(db: &mut PgConnection, user: UserId) -> Result<Vec<SecurityEvent>> {
    let rows = sqlx::query!(
        r#"select kind as "kind: SecurityEventKind", subject, times, address, user_agent, by_admin, created_at
           from security_events where user_id = $1 order by created_at desc, id limit $2"#,
        user as UserId,
        LISTED_MAX
    )
    .fetch_all(db)
    .await?;
    let events = rows.into_iter().map(|row| SecurityEvent {
        kind: row.kind,
        subject: row.subject,
        times: row.times,
        device: if row.user_agent.is_empty() { String::new() } else { device_name(&row.user_agent) },
        address: row.address,
        by_admin: row.by_admin,
        created_at: row.created_at,
    });
    Ok(events.collect())
}

/// The cause of an event.
#[derive(Clone, Copy)]
pub(super) enum EventCause<'a> {
    User(&'a Visitor),
    Admin(UserId, &'a Visitor),
    /// With a command, on the server.
    Operator,
}

/// Adds an event that the user caused.
pub(in crate::backend) async fn record(
    db: &mut PgConnection,
    user: UserId,
    kind: SecurityEventKind,
    subject: &str,
    visitor: &Visitor,
) -> Result<()> {
    record_by(db, user, kind, subject, EventCause::User(visitor)).await
}

/// Adds an event.
pub(super) async fn record_by(
    db: &mut PgConnection,
    user: UserId,
    kind: SecurityEventKind,
    subject: &str,
    by: EventCause<'_>,
) -> Result<()> {
    let (admin, visitor) = match by {
        EventCause::User(visitor) => (None, Some(visitor)),
        EventCause::Admin(admin, visitor) => (Some(admin), Some(visitor)),
        EventCause::Operator => (None, None),
    };
    let address = visitor.and_then(|visitor| visitor.address);
    tracing::info!(user.id = %user, event = ?kind, ?address, admin.id = ?admin, "security event");
    if kind.is_failure() && count_repetition(&mut *db, user, kind, visitor).await? {
        return Ok(());
    }
    sqlx::query!(
        "insert into security_events (id, user_id, kind, subject, admin_id, by_admin, address, user_agent)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        Uuid::now_v7(),
        user as UserId,
        kind as SecurityEventKind,
        subject,
        admin as Option<UserId>,
        !matches!(by, EventCause::User(_)),
        address.map(|address| address.to_string()),
        visitor.map_or("", |visitor| visitor.user_agent.as_str())
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Counts a failure that follows one of its kind: a flood of them must not hide the rest. `false`: it does not follow one.
async fn count_repetition(
    db: &mut PgConnection,
    user: UserId,
    kind: SecurityEventKind,
    visitor: Option<&Visitor>,
) -> Result<bool> {
    let repeated = sqlx::query!(
        "update security_events set times = times + 1, created_at = now(), address = $3, user_agent = $4
         where kind = $2
           and id = (select id from security_events where user_id = $1 order by created_at desc, id limit 1)",
        user as UserId,
        kind as SecurityEventKind,
        visitor.and_then(|visitor| visitor.address).map(|address| address.to_string()),
        visitor.map_or("", |visitor| visitor.user_agent.as_str())
    )
    .execute(db)
    .await?;
    Ok(repeated.rows_affected() == 1)
}

/// Adds a failure after the answer. The answer to a wrong password must not take longer because there is a user to write about, and the
/// transaction of a wrong code is rolled back.
pub(super) fn record_later(backend: &Backend, user: UserId, kind: SecurityEventKind, visitor: &Visitor) {
    let (db, visitor) = (backend.db.clone(), visitor.clone());
    backend.worker.spawn(async move {
        let recorded = async { record(&mut *db.acquire().await?, user, kind, "", &visitor).await };
        if let Err(error) = recorded.await {
            tracing::warn!(user.id = %user, event = ?kind, error = ?error, "saving a security event failed");
        }
    });
}

/// Deletes events that are older than a year. Returns their number.
pub(in crate::backend) async fn delete_old(backend: &Backend, at_most: i64) -> Result<u64> {
    let purged = sqlx::query!(
        "delete from security_events where id in (
             select id from security_events where created_at < now() - make_interval(days => $1) order by created_at limit $2)",
        RETENTION_DAYS,
        at_most
    )
    .execute(&backend.db)
    .await?;
    Ok(purged.rows_affected())
}
