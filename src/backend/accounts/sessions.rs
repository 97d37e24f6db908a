//! Sessions. The browser holds an opaque token in a cookie, and the database its SHA-256.

use sqlx::PgConnection;

use super::{
    browsers, locks, name_in_log, security_log,
    tokens::SecretToken,
    visitor::{UserAgent, Visitor},
};
use crate::{
    backend::{Backend, Result, db},
    domain::{
        account::{Actor, Role, SESSION_ABSOLUTE_DAYS, SESSION_DAYS, SessionView},
        device::device_name,
        ids::{SessionId, UserId},
        problem::Problem,
        security::SecurityEventKind,
    },
};

/// The largest number of sessions that are listed. [`Sessions::end_others`] ends all of them.
const LISTED_MAX: i64 = 50;

pub struct Sessions<'a>(pub(in crate::backend) &'a Backend);

impl Sessions<'_> {
    /// The user of a session token; `None` if the session has ended or the account is disabled. Extends the session if
    /// need be.
    pub async fn actor(&self, token: &SecretToken) -> Result<Option<Actor>> {
        let hash = token.hash();
        let row = sqlx::query!(
            r#"select u.id as "id: UserId", u.role as "role: Role", u.email, u.artist_name,
                      $4 and u.email_verified_at is null as "must_verify_email!",
                      $5 and u.role = 'ADMIN'
                          and not has_two_factor(u.id) as "must_set_up_two_factor!",
                      s.expires_at < least(now() + make_interval(days => $2 / 2), s.created_at + make_interval(days => $3))
                          or s.last_used_at < now() - interval '10 minutes' as "needs_refresh!"
               from sessions s join users u on u.id = s.user_id
               where s.token_hash = $1 and s.expires_at > now() and u.disabled_at is null"#,
            hash,
            SESSION_DAYS,
            SESSION_ABSOLUTE_DAYS,
            self.0.settings.requires_verified_email,
            self.0.settings.requires_admin_two_factor
        )
        .fetch_optional(&self.0.db)
        .await?;
        let Some(row) = row else { return Ok(None) };
        self.0.limits.remember_user_of(token, row.id);
        if row.needs_refresh {
            sqlx::query!(
                "update sessions set last_used_at = now(), expires_at = case
                     when expires_at < now() + make_interval(days => $2 / 2)
                         then least(now() + make_interval(days => $2), created_at + make_interval(days => $3))
                     else expires_at end
                 where token_hash = $1",
                hash,
                SESSION_DAYS,
                SESSION_ABSOLUTE_DAYS
            )
            .execute(&self.0.db)
            .await?;
        }
        let actor = Actor {
            id: row.id,
            role: row.role,
            email: row.email,
            artist_name: row.artist_name,
            must_verify_email: row.must_verify_email,
            must_set_up_two_factor: row.must_set_up_two_factor,
        };
        name_in_log(&actor);
        Ok(Some(actor))
    }

    pub async fn end(&self, token: &SecretToken) -> Result<()> {
        sqlx::query!("delete from sessions where token_hash = $1", token.hash()).execute(&self.0.db).await?;
        Ok(())
    }

    /// The actor's sessions: first the one that `current` proves, if any, then the others, last used first.
    pub async fn list(&self, actor: &Actor, current: Option<&SecretToken>) -> Result<Vec<SessionView>> {
        let rows = sqlx::query!(
            r#"select id as "id: SessionId", user_agent, created_at, last_used_at, token_hash = $2 as "is_current!"
               from sessions where user_id = $1 and expires_at > now()
               order by token_hash = $2 desc, last_used_at desc, id limit $3"#,
            actor.id as UserId,
            current.map(SecretToken::hash).unwrap_or_default(),
            LISTED_MAX
        )
        .fetch_all(&self.0.db)
        .await?;
        let sessions = rows.into_iter().map(|row| SessionView {
            id: row.id,
            device: device_name(&row.user_agent),
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            is_current: row.is_current,
        });
        Ok(sessions.collect())
    }

    /// Ends one session of the actor.
    ///
    /// # Errors
    /// `NotFound` for a session that is not the actor's.
    pub async fn end_one(&self, actor: &Actor, id: SessionId, visitor: &Visitor) -> Result<()> {
        let mut tx = db::begin(&self.0.db).await?;
        let user_agent = sqlx::query_scalar!(
            "delete from sessions where id = $1 and user_id = $2 returning user_agent",
            id as SessionId,
            actor.id as UserId
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Problem::NotFound)?;
        let device = device_name(&user_agent);
        security_log::record(&mut tx, actor.id, SecurityEventKind::SessionEnded, &device, visitor).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Ends all sessions of the actor except the one that `current` proves.
    ///
    /// # Errors
    /// `SignedOut` when that session has ended in the meantime. It must not end sessions that were started after it.
    pub async fn end_others(&self, actor: &Actor, current: &SecretToken, visitor: &Visitor) -> Result<()> {
        let mut tx = db::begin(&self.0.db).await?;
        locks::lock_user(&mut tx, actor.id).await?;
        require(&mut tx, actor.id, current).await?;
        sqlx::query!(
            "delete from sessions where user_id = $1 and token_hash <> $2",
            actor.id as UserId,
            current.hash()
        )
        .execute(&mut *tx)
        .await?;
        security_log::record(&mut tx, actor.id, SecurityEventKind::SessionsEnded, "", visitor).await?;
        tx.commit().await?;
        Ok(())
    }
}

pub(in crate::backend) async fn begin(
    db: &mut PgConnection,
    user: UserId,
    user_agent: &UserAgent,
) -> Result<SecretToken> {
    let token = SecretToken::generate()?;
    sqlx::query!(
        "insert into sessions (token_hash, user_id, user_agent, expires_at)
         values ($1, $2, $3, now() + make_interval(days => $4))",
        token.hash(),
        user as UserId,
        user_agent.as_str(),
        SESSION_DAYS
    )
    .execute(&mut *db)
    .await?;
    // This keeps the table from growing with every browser that is no longer used. The index on (user_id) makes it
    // cheap.
    sqlx::query!("delete from sessions where user_id = $1 and expires_at < now()", user as UserId).execute(db).await?;
    Ok(token)
}

/// Requires that the session of a request still exists after the request has waited for the user's lock. A new
/// password, a reset or an admin may have ended it in the meantime. Another session of the user is not enough: the
/// owner may have started that one with the new password.
///
/// # Errors
/// `SignedOut` when the session that `current` proves has ended.
pub(in crate::backend) async fn require(db: &mut PgConnection, user: UserId, current: &SecretToken) -> Result<()> {
    let stands = sqlx::query_scalar!(
        r#"select exists (select 1 from sessions where user_id = $1 and token_hash = $2 and expires_at > now()) as "stands!""#,
        user as UserId,
        current.hash()
    )
    .fetch_one(db)
    .await?;
    if stands { Ok(()) } else { Err(Problem::SignedOut.into()) }
}

pub(super) async fn end_all_of(db: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("delete from sessions where user_id = $1", user as UserId).execute(db).await?;
    Ok(())
}

/// The tokens that a browser gets at sign-in.
#[derive(Debug)]
pub struct SignedIn {
    pub session: SecretToken,
    /// Makes the browser a known browser of the account.
    pub browser: SecretToken,
}

pub(super) async fn begin_signed_in(db: &mut PgConnection, user: UserId, visitor: &Visitor) -> Result<SignedIn> {
    let session = begin(db, user, &visitor.user_agent).await?;
    let browser = browsers::remember(db, user, visitor).await?;
    security_log::record(db, user, SecurityEventKind::SignIn, "", visitor).await?;
    Ok(SignedIn { session, browser })
}
