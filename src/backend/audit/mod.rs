//! The audit trail: an entry for each transition and each act of an admin, written in the transaction of the act. The
//! table refuses changes (`migrations/0042_audit.sql`). It has no foreign keys, and entries keep names as they were.

mod trail;

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
pub use trail::AuditTrail;
use uuid::Uuid;

use super::{Result, cause};
use crate::domain::{
    audit::{AuditAction, AuditRole, AuditState, AuditSubject},
    ids::{ReleaseId, UserId},
};

/// The longest note that an entry keeps, in characters.
const NOTE_MAX_CHARS: i32 = 2000;

/// The person or program that acts.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) enum By {
    /// A person, in the role that the account has now.
    User(UserId),
    /// An admin, also if the act takes that role away.
    Admin(UserId),
    /// A command on the server.
    Operator,
    /// The product by itself.
    System,
}

impl By {
    /// The system acts where no person does.
    pub(in crate::backend) fn user_or_system(user: Option<UserId>) -> Self {
        user.map_or(Self::System, Self::User)
    }

    fn id(self) -> Option<UserId> {
        match self {
            Self::User(id) | Self::Admin(id) => Some(id),
            Self::Operator | Self::System => None,
        }
    }

    fn role(self) -> Option<AuditRole> {
        match self {
            Self::User(_) => None,
            Self::Admin(_) => Some(AuditRole::Admin),
            Self::Operator => Some(AuditRole::Operator),
            Self::System => Some(AuditRole::System),
        }
    }
}

/// An entry that is about to be written.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) struct NewEntry<'a> {
    pub(in crate::backend) by: By,
    pub(in crate::backend) action: AuditAction,
    /// The account, release, job or file.
    pub(in crate::backend) subject: Option<Uuid>,
    /// The name of what is neither an account nor a release.
    pub(in crate::backend) label: Option<&'a str>,
    /// The release that the subject is or belongs to.
    pub(in crate::backend) release: Option<ReleaseId>,
    pub(in crate::backend) was: Option<AuditState>,
    pub(in crate::backend) became: Option<AuditState>,
    pub(in crate::backend) note: Option<&'a str>,
}

impl NewEntry<'_> {
    pub(in crate::backend) fn new(by: By, action: AuditAction) -> Self {
        Self { by, action, subject: None, label: None, release: None, was: None, became: None, note: None }
    }

    pub(in crate::backend) fn on_account(by: By, action: AuditAction, account: UserId) -> Self {
        Self { subject: Some(account.0), ..Self::new(by, action) }
    }

    pub(in crate::backend) fn on_release(by: By, action: AuditAction, release: ReleaseId) -> Self {
        Self { subject: Some(release.0), release: Some(release), ..Self::new(by, action) }
    }
}

/// Writes an entry. Call it in the transaction of the act, and before the act deletes or renames the account, release or file that the entry names.
pub(in crate::backend) async fn record(db: &mut PgConnection, entry: NewEntry<'_>) -> Result<()> {
    sqlx::query!(
        "insert into audit_entries (id, actor_id, actor_role, actor_label, action, subject_kind, subject_id, subject_label,
                                    release_id, was, became, note, request_id)
         values ($1, $2, coalesce($3, (select role::text::audit_role from users where id = $2)), coalesce(account_label($2), ''),
                 $4, $5, $6,
                 coalesce($7, case $5::audit_subject when 'ACCOUNT' then account_label($6) end, release_label($8), ''),
                 $8, $9, $10, left($11, $12), $13)",
        Uuid::now_v7(),
        entry.by.id() as Option<UserId>,
        entry.by.role() as Option<AuditRole>,
        entry.action as AuditAction,
        entry.action.subject() as AuditSubject,
        entry.subject,
        entry.label,
        entry.release as Option<ReleaseId>,
        entry.was.map(AuditState::name),
        entry.became.map(AuditState::name),
        entry.note,
        NOTE_MAX_CHARS,
        cause::request_id()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Replaces a person's name and address in all entries by a pseudonym, and writes an entry about it. Call it in the
/// transaction that deletes the person's account, after the last entry that names them.
pub(in crate::backend) async fn pseudonymise(db: &mut PgConnection, person: UserId, pseudonym: &str) -> Result<()> {
    sqlx::query_scalar!(
        "select pseudonymise_audit_entries($1, $2, $3, $4)",
        Uuid::now_v7(),
        person as UserId,
        pseudonym,
        cause::request_id()
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Does the same once more if entries of a deleted person's release got a title or a note since. Call it in the
/// transaction that deletes the release, before the deletion.
pub(in crate::backend) async fn pseudonymise_release(
    db: &mut PgConnection,
    person: UserId,
    release: ReleaseId,
) -> Result<()> {
    sqlx::query_scalar!(
        "select pseudonymise_audit_entries($1, u.id, u.artist_name, $2) from users u
         where u.id = $3 and exists (
             select 1 from audit_entries where release_id = $4 and (subject_label <> '' or note is not null))",
        Uuid::now_v7(),
        cause::request_id(),
        person as UserId,
        release as ReleaseId
    )
    .fetch_optional(db)
    .await?;
    Ok(())
}

/// Deletes entries whose retention is over, once a day, and writes an entry about it. Returns the number of deleted
/// entries.
pub(in crate::backend) async fn prune(db: &PgPool, retention: Duration, at_most: i64) -> Result<u64> {
    let days = i32::try_from(retention.as_secs() / (24 * 60 * 60)).unwrap_or(i32::MAX);
    let pruned =
        sqlx::query_scalar!(r#"select prune_audit_entries($1, $2, $3) as "pruned!""#, Uuid::now_v7(), days, at_most)
            .fetch_one(db)
            .await?;
    Ok(pruned.unsigned_abs())
}
