//! The security log: the events of each account. An event is recorded in the transaction that causes it.

use sqlx::PgConnection;
use uuid::Uuid;

use super::visitor::Visitor;
use crate::{
    backend::{
        Backend, Result,
        audit::{self, By, NewEntry},
        cause,
    },
    domain::{
        account::{Actor, Role},
        audit::{AuditAction, AuditState},
        device::device_name,
        ids::UserId,
        security::{SecurityEvent, SecurityEventKind},
    },
};

/// The largest number of events that are listed, newest first. Older events are in the process's log.
const LISTED_MAX: i64 = 50;
/// The retention of events, in days.
const RETENTION_DAYS: i32 = 365;

pub struct SecurityLog<'a>(pub(in crate::backend) &'a Backend);

impl SecurityLog<'_> {
    /// The actor's own events, newest first.
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
    /// The operator, with a command on the server.
    Operator,
}

/// Records an event that the user caused.
pub(in crate::backend) async fn record(
    db: &mut PgConnection,
    user: UserId,
    kind: SecurityEventKind,
    subject: &str,
    visitor: &Visitor,
) -> Result<()> {
    record_by(db, user, kind, subject, EventCause::User(visitor)).await
}

/// Records an event, and in the audit trail what it changes. A failure of the same kind as the user's latest event is
/// counted in that event's row.
pub(super) async fn record_by(
    db: &mut PgConnection,
    user: UserId,
    kind: SecurityEventKind,
    subject: &str,
    cause: EventCause<'_>,
) -> Result<()> {
    let (by, admin, visitor) = match cause {
        EventCause::User(visitor) => (By::User(user), None, Some(visitor)),
        EventCause::Admin(admin, visitor) => (By::Admin(admin), Some(admin), Some(visitor)),
        EventCause::Operator => (By::Operator, None, None),
    };
    let is_by_admin = !matches!(by, By::User(_));
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
        is_by_admin,
        address.map(|address| address.to_string()),
        visitor.map_or("", |visitor| visitor.user_agent.as_str())
    )
    .execute(&mut *db)
    .await?;
    let action = match kind {
        SecurityEventKind::ResetRequested if is_by_admin => Some(AuditAction::PasswordResetSent),
        _ => AuditAction::of_security(kind),
    };
    // Not every event changes the account.
    let Some(action) = action else { return Ok(()) };
    let role = [Role::Admin, Role::Artist].into_iter().find(|role| role.label() == subject);
    let (was, became) = AuditState::of_security(action, role);
    let note = Some(subject).filter(|subject| became.is_none() && !subject.is_empty());
    audit::record(db, NewEntry { was, became, note, ..NewEntry::on_account(by, action, user) }).await
}

/// Counts a failure in the user's latest event if that has the same kind, so that a flood of failures does not hide
/// other events. Returns whether it did.
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

/// Records a failure in a background task, after the answer. The answer to a wrong password must not take longer for an
/// existing user, and the transaction of a wrong code is rolled back.
pub(super) fn record_later(backend: &Backend, user: UserId, kind: SecurityEventKind, visitor: &Visitor) {
    let (db, visitor) = (backend.db.clone(), visitor.clone());
    backend.tasks.spawn(cause::inherit(async move {
        let recorded = async { record(&mut *db.acquire().await?, user, kind, "", &visitor).await };
        if let Err(error) = recorded.await {
            tracing::warn!(user.id = %user, event = ?kind, error = ?error, "saving a security event failed");
        }
    }));
}

/// Deletes events that are older than [`RETENTION_DAYS`]. Returns their number.
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
