//! The administration of users, by admins in their browsers and by the operator's commands.

use sqlx::{PgConnection, PgPool};

use super::{
    access_tokens, browsers, email_links, locks, reset,
    security_log::{self, EventCause},
    sessions, two_factor,
    visitor::Visitor,
};
use crate::{
    backend::{
        Backend, Result, db,
        mail::{self, Recipient},
    },
    domain::{
        account::{Actor, Role},
        administration::{UserChange, UserView},
        ids::UserId,
        mail::{Message, TwoFactorNews},
        problem::Problem,
        security::SecurityEventKind,
    },
};

pub struct Administration<'a>(pub(in crate::backend) &'a Backend);

impl Administration<'_> {
    /// An account and its latest security events, for admins.
    ///
    /// # Errors
    /// `NotFound` for an unknown user.
    pub async fn user(&self, actor: &Actor, id: UserId) -> Result<UserView> {
        actor.require_admin()?;
        let mut tx = db::snapshot(&self.0.db).await?;
        let row = sqlx::query!(
            r#"select artist_name, email, role as "role: Role", disabled_at is not null as "is_disabled!",
                      email_verified_at is not null as "has_verified_email!", created_at,
                      has_two_factor(users.id) as "has_two_factor!",
                      (select count(*) from sessions where user_id = users.id and expires_at > now()) as "sessions!",
                      (select count(*) from access_tokens where user_id = users.id and expires_at > now()) as "access_tokens!"
               from users where id = $1"#,
            id as UserId
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Problem::NotFound)?;
        let events = security_log::list(&mut tx, id).await?;
        tx.commit().await?;
        Ok(UserView {
            id,
            artist_name: row.artist_name,
            email: row.email,
            role: row.role,
            is_disabled: row.is_disabled,
            has_verified_email: row.has_verified_email,
            has_two_factor: row.has_two_factor,
            sessions: row.sessions,
            access_tokens: row.access_tokens,
            created_at: row.created_at,
            events,
        })
    }

    /// Changes an account. A change that would outlast a stolen session requires the admin's own password.
    ///
    /// # Errors
    /// `Invalid` for a wrong `current_password`; `Forbidden` for an actor who is not an admin; `NotFound` for an unknown user; `Conflict` for a
    /// deleted account, when no admin would be left, for a reset link to a disabled account, and for the admin's own
    /// second factor.
    pub async fn change(
        &self,
        actor: &Actor,
        id: UserId,
        change: UserChange,
        current_password: &str,
        visitor: &Visitor,
    ) -> Result<()> {
        actor.require_admin()?;
        if change == UserChange::ResetTwoFactor && id == actor.id {
            return Err(Problem::conflict("Turn your own two-factor sign-in off on your account page.").into());
        }
        let hash = match change.needs_password() {
            true => Some(self.0.users().require_password(actor, current_password, visitor).await?),
            false => None,
        };
        let mut tx = db::begin(&self.0.db).await?;
        lock_admins(&mut tx).await?;
        require_still_admin(&mut tx, actor.id, hash.as_deref()).await?;
        apply(&mut tx, id, change, EventCause::Admin(actor.id, visitor)).await?;
        tx.commit().await?;
        self.0.events.mail_added();
        Ok(())
    }
}

/// Changes the account with this e-mail address, for the operator.
///
/// # Errors
/// `Unknown` for an unknown address; `Conflict` as for [`Administration::change`].
pub async fn change_user(database_url: &str, email: &str, change: UserChange) -> Result<()> {
    let db = open(database_url).await?;
    let mut tx = db::begin(&db).await?;
    let id = id_of(&mut tx, email).await?;
    apply(&mut tx, id, change, EventCause::Operator).await?;
    tx.commit().await?;
    db.close().await;
    Ok(())
}

/// Creates a reset link for the user of this e-mail address, for an operator who has no mail server. Returns its path.
///
/// # Errors
/// `Unknown` for an unknown address; `Conflict` for a disabled account.
pub async fn make_reset_link(database_url: &str, email: &str) -> Result<String> {
    let db = open(database_url).await?;
    let mut tx = db::begin(&db).await?;
    let id = id_of(&mut tx, email).await?;
    let user = lock(&mut tx, id).await?;
    user.require_enabled()?;
    let token = reset::make_operator_token(&mut tx, id).await?;
    security_log::record_by(&mut tx, id, SecurityEventKind::ResetRequested, "", EventCause::Operator).await?;
    tx.commit().await?;
    db.close().await;
    Ok(reset::link(&token))
}

/// One line of `vwaza user list`.
#[derive(Clone, Debug)]
pub struct UserListRow {
    pub email: String,
    pub artist_name: String,
    pub role: Role,
    pub is_disabled: bool,
}

/// All users, ordered by e-mail address, for the operator.
pub async fn list_users(database_url: &str) -> Result<Vec<UserListRow>> {
    let db = open(database_url).await?;
    let users = sqlx::query_as!(
        UserListRow,
        r#"select email, artist_name, role as "role: Role", disabled_at is not null as "is_disabled!"
           from users order by lower(email)"#
    )
    .fetch_all(&db)
    .await?;
    db.close().await;
    Ok(users)
}

async fn open(database_url: &str) -> Result<PgPool> {
    db::migrate_database(database_url).await?;
    db::connect(database_url, 0).await
}

async fn id_of(db: &mut PgConnection, email: &str) -> Result<UserId> {
    let id =
        sqlx::query_scalar!(r#"select id as "id: UserId" from users where lower(email) = lower($1)"#, email.trim())
            .fetch_optional(db)
            .await?;
    Ok(id.ok_or(Problem::Unknown(format!("No account has the address {email}.")))?)
}

/// A user whose row is locked.
struct LockedUser {
    role: Role,
    is_disabled: bool,
    is_deleted: bool,
}

impl LockedUser {
    fn require_enabled(&self) -> Result<(), Problem> {
        if self.is_disabled { Err(Problem::conflict("This account is disabled. Enable it first.")) } else { Ok(()) }
    }
}

/// Locks all admins and the user, so that two concurrent changes cannot remove the last two admins.
async fn lock(db: &mut PgConnection, id: UserId) -> Result<LockedUser> {
    lock_admins(&mut *db).await?;
    locks::lock_user(&mut *db, id).await?;
    let user = sqlx::query_as!(
        LockedUser,
        r#"select role as "role: Role", disabled_at is not null as "is_disabled!", deleted_at is not null as "is_deleted!"
           from users where id = $1"#,
        id as UserId
    )
    .fetch_one(db)
    .await?;
    Ok(user)
}

async fn lock_admins(db: &mut PgConnection) -> Result<()> {
    sqlx::query!("select id from users where role = 'ADMIN' order by id for no key update").fetch_all(db).await?;
    Ok(())
}

/// Requires that the actor is still an admin. Call it under the lock, because another admin may have disabled the actor
/// while the request waited.
///
/// # Errors
/// `Forbidden` when the actor is no longer an admin, or the password was changed in the meantime.
async fn require_still_admin(db: &mut PgConnection, actor: UserId, password_hash: Option<&str>) -> Result<()> {
    let is_admin = sqlx::query_scalar!(
        r#"select exists (select 1 from users where id = $1 and role = 'ADMIN' and disabled_at is null
                          and ($2::text is null or password_hash = $2)) as "is_admin!""#,
        actor as UserId,
        password_hash
    )
    .fetch_one(db)
    .await?;
    if is_admin { Ok(()) } else { Err(Problem::Forbidden.into()) }
}

/// Requires that another admin is left without this user.
///
/// # Errors
/// `Conflict` when no admin would be left without this user.
pub(super) async fn require_not_only_admin(db: &mut PgConnection, id: UserId) -> Result<()> {
    let user = lock(&mut *db, id).await?;
    if user.role == Role::Admin && !user.is_disabled { require_another_admin(db, id).await } else { Ok(()) }
}

async fn require_another_admin(db: &mut PgConnection, id: UserId) -> Result<()> {
    let has_another = sqlx::query_scalar!(
        r#"select exists (select 1 from users where role = 'ADMIN' and disabled_at is null and id <> $1) as "has_another!""#,
        id as UserId
    )
    .fetch_one(db)
    .await?;
    if has_another {
        Ok(())
    } else {
        Err(Problem::conflict("This is the only admin. Make somebody else an admin first.").into())
    }
}

async fn apply(db: &mut PgConnection, id: UserId, change: UserChange, by: EventCause<'_>) -> Result<()> {
    let user = lock(&mut *db, id).await?;
    if user.is_deleted {
        return Err(Problem::conflict("This user has deleted the account. Nobody can change it any more.").into());
    }
    let is_admin = user.role == Role::Admin && !user.is_disabled;
    let (kind, subject) = match change {
        UserChange::MakeAdmin | UserChange::MakeArtist => {
            let role = match change {
                UserChange::MakeAdmin => Role::Admin,
                _ => Role::Artist,
            };
            if role == user.role {
                return Ok(());
            }
            if is_admin {
                require_another_admin(&mut *db, id).await?;
            }
            sqlx::query!("update users set role = $2, updated_at = now() where id = $1", id as UserId, role as Role)
                .execute(&mut *db)
                .await?;
            // A new role requires a new session.
            sessions::end_all_of(&mut *db, id).await?;
            (SecurityEventKind::RoleChanged, role.label())
        }
        UserChange::Disable => {
            if user.is_disabled {
                return Ok(());
            }
            if is_admin {
                require_another_admin(&mut *db, id).await?;
            }
            sqlx::query!("update users set disabled_at = now(), updated_at = now() where id = $1", id as UserId)
                .execute(&mut *db)
                .await?;
            sessions::end_all_of(&mut *db, id).await?;
            access_tokens::revoke_all_of(&mut *db, id).await?;
            browsers::delete_all_of(&mut *db, id).await?;
            two_factor::end_challenges(&mut *db, id).await?;
            email_links::use_up_links(&mut *db, id).await?;
            email_links::drop_email_changes(&mut *db, id).await?;
            (SecurityEventKind::Disabled, "")
        }
        UserChange::Enable => {
            if !user.is_disabled {
                return Ok(());
            }
            sqlx::query!("update users set disabled_at = null, updated_at = now() where id = $1", id as UserId)
                .execute(&mut *db)
                .await?;
            (SecurityEventKind::Enabled, "")
        }
        UserChange::EndSessions => {
            sessions::end_all_of(&mut *db, id).await?;
            (SecurityEventKind::SessionsEnded, "")
        }
        UserChange::VerifyEmail => {
            let verified = sqlx::query!(
                "update users set email_verified_at = now(), updated_at = now() where id = $1 and email_verified_at is null",
                id as UserId
            )
            .execute(&mut *db)
            .await?;
            if verified.rows_affected() == 0 {
                return Ok(());
            }
            (SecurityEventKind::EmailVerified, "")
        }
        UserChange::ResetTwoFactor => {
            if !two_factor::remove(&mut *db, id).await? {
                return Ok(());
            }
            sessions::end_all_of(&mut *db, id).await?;
            mail::enqueue(&mut *db, Recipient::User(id), Message::TwoFactor { what: TwoFactorNews::TurnedOff }).await?;
            (SecurityEventKind::TwoFactorDisabled, "")
        }
        UserChange::SendResetLink => {
            user.require_enabled()?;
            mail::enqueue(&mut *db, Recipient::User(id), Message::PasswordResetByAdmin).await?;
            (SecurityEventKind::ResetRequested, "")
        }
    };
    security_log::record_by(db, id, kind, subject, by).await
}
