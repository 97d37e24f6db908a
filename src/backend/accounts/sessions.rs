//! Sessions: an opaque token in a cookie, its SHA-256 in the database.

use std::fmt;

use rand::{TryRngCore, rngs::OsRng};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::{Visitor, flashes::FLASH_SECONDS, security_log, users};
use crate::{
    backend::{Backend, Error, Result, db},
    domain::{
        account::{Actor, Role, SESSION_ABSOLUTE_DAYS, SESSION_DAYS, SessionView},
        device::device_name,
        ids::{SessionId, UserId},
        problem::Problem,
        security::SecurityEventKind,
    },
};

/// Nobody looks through more; "everywhere else" reaches all of them.
const LISTED_MAX: i64 = 50;
/// As long as browsers keep a cookie at most (400 days): how long a session lasts, only the database says.
const COOKIE_SECONDS: i32 = 400 * 24 * 60 * 60;
const TOKEN_BYTES: usize = 32;

/// Proves a session, or stands behind a prefix as an access token. Only its hash is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretToken(String);

impl SecretToken {
    pub(in crate::backend) fn generate() -> Result<Self> {
        let mut bytes = [0; TOKEN_BYTES];
        OsRng.try_fill_bytes(&mut bytes).map_err(|error| Error::Io(std::io::Error::other(error)))?;
        Ok(Self(hex(&bytes)))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 2 * TOKEN_BYTES && text.bytes().all(|b| b.is_ascii_hexdigit());
        fits.then(|| Self(text.to_owned()))
    }

    pub(in crate::backend) fn reveal(&self) -> &str {
        &self.0
    }

    pub(in crate::backend) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0.as_bytes()).to_vec()
    }
}

impl fmt::Debug for SecretToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretToken(…)")
    }
}

/// What a browser says of itself: as much of it as is kept.
#[derive(Clone, Debug, Default)]
pub struct UserAgent(String);

impl UserAgent {
    const MAX_CHARS: usize = 300;

    pub fn truncated(text: &str) -> Self {
        Self(text.chars().filter(|char| !char.is_control()).take(Self::MAX_CHARS).collect())
    }

    pub(in crate::backend) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// How a cookie is called and set: bound to the host and to TLS where the site has it.
pub struct TokenCookie {
    secure: bool,
    name: &'static str,
    secure_name: &'static str,
    /// How long the browser keeps it.
    seconds: i32,
}

impl TokenCookie {
    fn new(public_url: &str, name: &'static str, secure_name: &'static str) -> Self {
        Self { secure: is_secure(public_url), name, secure_name, seconds: COOKIE_SECONDS }
    }

    /// Proves a session.
    pub(in crate::backend) fn of_session(public_url: &str) -> Self {
        Self::new(public_url, "vwaza", "__Host-vwaza")
    }

    /// Proves that the password was right, and awaits the code.
    pub(in crate::backend) fn of_challenge(public_url: &str) -> Self {
        Self::new(public_url, "vwaza-challenge", "__Host-vwaza-challenge")
    }

    /// Finds a flash.
    pub(in crate::backend) fn of_flash(public_url: &str) -> Self {
        Self { seconds: FLASH_SECONDS, ..Self::new(public_url, "vwaza-flash", "__Host-vwaza-flash") }
    }

    /// Proves that a browser has signed in before.
    pub(in crate::backend) fn of_browser(public_url: &str) -> Self {
        Self::new(public_url, "vwaza-browser", "__Host-vwaza-browser")
    }

    pub fn name(&self) -> &'static str {
        if self.secure { self.secure_name } else { self.name }
    }

    /// The Set-Cookie header that hands over `token`, or that takes the cookie away.
    pub fn header(&self, token: Option<&SecretToken>) -> String {
        let name = self.name();
        let secure = if self.secure { "; Secure" } else { "" };
        let (value, seconds) = match token {
            Some(token) => (token.0.as_str(), self.seconds),
            None => ("", 0),
        };
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
    }
}

/// Whether the site is reached over TLS only.
pub fn is_secure(public_url: &str) -> bool {
    // The scheme of an address has no case (RFC 3986, 3.1).
    public_url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"))
}

pub struct Sessions<'a>(pub(in crate::backend) &'a Backend);

impl Sessions<'_> {
    /// Whom a token belongs to, while its session lasts and the account is not disabled.
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
        // The request's span, where it has such fields: every line that is logged from here on names the person.
        tracing::Span::current()
            .record("user.id", tracing::field::display(actor.id))
            .record("user.email", actor.email.as_str())
            .record("user.role", tracing::field::debug(actor.role));
        Ok(Some(actor))
    }

    pub async fn end(&self, token: &SecretToken) -> Result<()> {
        sqlx::query!("delete from sessions where token_hash = $1", token.hash()).execute(&self.0.db).await?;
        Ok(())
    }

    /// Where the actor is signed in: here, of which `current` is the proof if there is one, and elsewhere, the last used first.
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

    /// # Errors
    /// 404 for what is not the actor's own.
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

    /// All of the actor's but the one that `current` proves.
    ///
    /// # Errors
    /// 401 when that one has ended meanwhile: it must not end those that came after it.
    pub async fn end_others(&self, actor: &Actor, current: &SecretToken, visitor: &Visitor) -> Result<()> {
        let mut tx = db::begin(&self.0.db).await?;
        users::lock_user(&mut tx, actor.id).await?;
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
        user_agent.0,
        SESSION_DAYS
    )
    .execute(&mut *db)
    .await?;
    // The index on (user_id) makes this cheap; it keeps the table from growing with every forgotten browser.
    sqlx::query!("delete from sessions where user_id = $1 and expires_at < now()", user as UserId).execute(db).await?;
    Ok(token)
}

/// For what waited for the user's lock: a new password, a reset or an admin may have ended the session that asks. That the user has
/// another one is not enough: it may be the one that the owner got with the new password.
///
/// # Errors
/// 401 when the session that `current` proves has ended.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_bound_to_the_host_where_there_is_tls() {
        let token = SecretToken::generate().unwrap();
        let plain = TokenCookie::of_session("http://127.0.0.1:3000").header(Some(&token));
        assert!(plain.starts_with("vwaza=") && plain.contains("HttpOnly; SameSite=Lax") && !plain.contains("Secure"));
        let tls = TokenCookie::of_session("https://vwaza.example").header(None);
        assert!(tls.starts_with("__Host-vwaza=; Path=/;") && tls.ends_with("Max-Age=0; Secure"));
        for shouted in ["HTTPS://vwaza.example", "Https://vwaza.example"] {
            assert_eq!(TokenCookie::of_session(shouted).header(None), tls);
        }
    }

    #[test]
    fn only_the_scheme_says_that_there_is_tls() {
        for elsewhere in ["", "http", "http://https://", "httpſ://vwaza.example", "xhttps://vwaza.example"] {
            assert!(!is_secure(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn tokens_are_long_distinct_and_never_printed() {
        let (one, two) = (SecretToken::generate().unwrap(), SecretToken::generate().unwrap());
        assert_ne!(one, two);
        assert_eq!(SecretToken::parse(&one.0), Some(one.clone()));
        assert_eq!(format!("{one:?}"), "SecretToken(…)");
        for text in ["", "abc", "'; drop table sessions", &"g".repeat(64)] {
            assert_eq!(SecretToken::parse(text), None);
        }
    }
}
