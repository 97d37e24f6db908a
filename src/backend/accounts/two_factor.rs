//! Two-factor sign-in: a code from an app in addition to the password (TOTP, RFC 6238), and recovery codes for users
//! who have lost the app.

use rand::{TryRngCore, rngs::OsRng};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use totp_rs::{Algorithm, TOTP};

use super::{locks, security_log, sessions, tokens::SecretToken, visitor::Visitor};
use crate::{
    backend::{
        Backend, Error, Result, SignedIn, db,
        limits::{Client, CountedRequest, Rule},
        mail::{self, Recipient},
    },
    domain::{
        account::{Actor, Role},
        ids::UserId,
        limits::LimitedBy,
        mail::{Message, TwoFactorNews},
        problem::Problem,
        security::SecurityEventKind,
        two_factor::{
            CODE_DIGITS, RECOVERY_CODES, STEP_SECONDS, TwoFactorSetup, TwoFactorState, TypedCode, with_dashes,
        },
    },
};

/// The length of a TOTP secret, in bytes. Source: RFC 4226, section 4 (R6).
const SECRET_BYTES: usize = 20;
/// The random part of a recovery code, in bytes.
const RECOVERY_CODE_BYTES: usize = 10;
/// The time to enter the code after the password, in minutes.
const CHALLENGE_MINUTES: i32 = 10;
/// The largest difference between the clocks of app and server, in time steps.
const SKEW_STEPS: u64 = 1;
/// The name that apps show beside the code.
const ISSUER: &str = "Vwaza";

pub struct TwoFactor<'a>(pub(in crate::backend) &'a Backend);

impl TwoFactor<'_> {
    pub async fn state(&self, actor: &Actor) -> Result<TwoFactorState> {
        let row = sqlx::query!(
            r#"select has_two_factor($1) as "is_on!",
                      (select count(*) from recovery_codes where user_id = $1) as "recovery_codes_left!""#,
            actor.id as UserId
        )
        .fetch_one(&self.0.db)
        .await?;
        Ok(TwoFactorState {
            is_on: row.is_on,
            recovery_codes_left: row.recovery_codes_left,
            is_required: actor.role == Role::Admin && self.0.settings.requires_admin_two_factor,
        })
    }

    /// Creates a new secret. Sign-in asks for a code only after [`Self::confirm`].
    ///
    /// # Errors
    /// `Invalid` for a wrong `current_password`; `Conflict` when two-factor sign-in is already on; `RateLimited` after too many wrong
    /// passwords.
    pub async fn begin(&self, actor: &Actor, current_password: &str, visitor: &Visitor) -> Result<TwoFactorSetup> {
        let hash = self.0.users().require_password(actor, current_password, visitor).await?;
        let mut secret = vec![0; SECRET_BYTES];
        fill(&mut secret)?;
        let mut tx = db::begin(&self.0.db).await?;
        locks::lock_user_with_password(&mut tx, actor.id, &hash).await?;
        let begun = sqlx::query!(
            "insert into two_factors (user_id, secret) values ($1, $2)
             on conflict (user_id) do update set secret = excluded.secret where two_factors.confirmed_at is null",
            actor.id as UserId,
            secret
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        if begun.rows_affected() == 0 {
            return Err(already_on().into());
        }
        let totp = totp(secret, &actor.email)?;
        let url = totp.get_url();
        let qr = qrcode::QrCode::new(&url).map_err(|error| Error::Corrupt(format!("no QR code: {error}")))?;
        let qr_svg = qr.render::<qrcode::render::svg::Color<'_>>().min_dimensions(200, 200).build();
        // HTML does not allow the XML declaration in front of the element.
        let qr_svg = qr_svg[qr_svg.find("<svg").unwrap_or(0)..].to_owned();
        Ok(TwoFactorSetup { secret: totp.get_secret_base32(), url, qr_svg })
    }

    /// Turns two-factor sign-in on after the user has entered a right code. Ends all sessions and starts a new one.
    /// Returns the recovery codes, which cannot be shown again.
    ///
    /// # Errors
    /// `Invalid` for a wrong `code`; `SignedOut` when the session that `current` proves has ended in the meantime; `Conflict` when
    /// two-factor sign-in is already on or its set-up was not begun; `RateLimited` after too many wrong codes.
    pub async fn confirm(
        &self,
        actor: &Actor,
        current: &SecretToken,
        code: &str,
        visitor: &Visitor,
    ) -> Result<(Vec<String>, SignedIn)> {
        if self.state(actor).await?.is_on {
            return Err(already_on().into());
        }
        let counted = self.count_code(actor.id).await?;
        let mut tx = db::begin(&self.0.db).await?;
        locks::lock_user(&mut tx, actor.id).await?;
        sessions::require(&mut tx, actor.id, current).await?;
        let row = sqlx::query!("select secret, confirmed_at from two_factors where user_id = $1", actor.id as UserId)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| Problem::conflict("The setup of two-factor sign-in has ended. Start it again."))?;
        if row.confirmed_at.is_some() {
            return Err(already_on().into());
        }
        let Some(TypedCode::Totp(code)) = TypedCode::parse(code) else { return Err(wrong_code().into()) };
        // The user's lock keeps another tab from changing the secret before the end.
        let step = matching_step(row.secret, &code)?.ok_or_else(wrong_code)?;
        sqlx::query!(
            "update two_factors set confirmed_at = now(), last_step = $2 where user_id = $1",
            actor.id as UserId,
            step
        )
        .execute(&mut *tx)
        .await?;
        let codes = make_recovery_codes(&mut tx, actor.id).await?;
        sessions::end_all_of(&mut tx, actor.id).await?;
        let signed_in = sessions::begin_signed_in(&mut tx, actor.id, visitor).await?;
        enqueue_two_factor_mail(&mut tx, actor, TwoFactorNews::TurnedOn).await?;
        security_log::record(&mut tx, actor.id, SecurityEventKind::TwoFactorEnabled, "", visitor).await?;
        tx.commit().await?;
        counted.take_back(self.0.limits.deadline()).await;
        self.0.events.mail_added();
        Ok((codes, signed_in))
    }

    /// Turns two-factor sign-in off. Ends all other sessions.
    ///
    /// # Errors
    /// `Invalid` for a wrong `current_password` or `code`; `Conflict` when the server requires two-factor sign-in of admins; `RateLimited`
    /// after too many wrong passwords or codes.
    pub async fn turn_off(
        &self,
        actor: &Actor,
        current_password: &str,
        code: &str,
        visitor: &Visitor,
    ) -> Result<SignedIn> {
        if self.state(actor).await?.is_required {
            return Err(Problem::conflict("Admins need two-factor sign-in on this site.").into());
        }
        let hash = self.0.users().require_password(actor, current_password, visitor).await?;
        let counted = self.count_code(actor.id).await?;
        let mut tx = db::begin(&self.0.db).await?;
        locks::lock_user_with_password(&mut tx, actor.id, &hash).await?;
        self.use_code(&mut tx, actor.id, code, visitor).await?;
        remove(&mut tx, actor.id).await?;
        sessions::end_all_of(&mut tx, actor.id).await?;
        let signed_in = sessions::begin_signed_in(&mut tx, actor.id, visitor).await?;
        enqueue_two_factor_mail(&mut tx, actor, TwoFactorNews::TurnedOff).await?;
        security_log::record(&mut tx, actor.id, SecurityEventKind::TwoFactorDisabled, "", visitor).await?;
        tx.commit().await?;
        counted.take_back(self.0.limits.deadline()).await;
        self.0.events.mail_added();
        Ok(signed_in)
    }

    /// Creates new recovery codes and deletes the old ones.
    ///
    /// # Errors
    /// `Invalid` for a wrong `current_password` or `code`, and when two-factor sign-in is off; `RateLimited` after too many wrong
    /// passwords or codes.
    pub async fn renew_recovery_codes(
        &self,
        actor: &Actor,
        current_password: &str,
        code: &str,
        visitor: &Visitor,
    ) -> Result<Vec<String>> {
        let hash = self.0.users().require_password(actor, current_password, visitor).await?;
        let counted = self.count_code(actor.id).await?;
        let mut tx = db::begin(&self.0.db).await?;
        locks::lock_user_with_password(&mut tx, actor.id, &hash).await?;
        self.use_code(&mut tx, actor.id, code, visitor).await?;
        let codes = make_recovery_codes(&mut tx, actor.id).await?;
        enqueue_two_factor_mail(&mut tx, actor, TwoFactorNews::RecoveryCodesMade).await?;
        security_log::record(&mut tx, actor.id, SecurityEventKind::RecoveryCodesMade, "", visitor).await?;
        tx.commit().await?;
        counted.take_back(self.0.limits.deadline()).await;
        self.0.events.mail_added();
        Ok(codes)
    }

    /// Finishes the second step of a sign-in: starts a session if the code is right.
    ///
    /// # Errors
    /// `Invalid` for a wrong `code`; `Gone` when the first step was more than 10 minutes ago; `RateLimited` after too many wrong codes.
    pub async fn finish_sign_in(&self, challenge: &SecretToken, code: &str, visitor: &Visitor) -> Result<SignedIn> {
        let user = sqlx::query_scalar!(
            r#"select u.id as "id: UserId" from sign_in_challenges c join users u on u.id = c.user_id
               where c.token_hash = $1 and c.expires_at > now() and u.disabled_at is null"#,
            challenge.hash()
        )
        .fetch_optional(&self.0.db)
        .await?
        .ok_or_else(challenge_is_over)?;
        let counted = self.count_code(user).await?;
        let mut tx = db::begin(&self.0.db).await?;
        locks::lock_user(&mut tx, user).await?;
        self.use_code(&mut tx, user, code, visitor).await?;
        let ended = sqlx::query!(
            "delete from sign_in_challenges where token_hash = $1 and expires_at > now()",
            challenge.hash()
        )
        .execute(&mut *tx)
        .await?;
        if ended.rows_affected() == 0 {
            return Err(challenge_is_over().into());
        }
        let signed_in = sessions::begin_signed_in(&mut tx, user, visitor).await?;
        tx.commit().await?;
        counted.take_back(self.0.limits.deadline()).await;
        self.0.events.mail_added();
        Ok(signed_in)
    }

    /// Uses up a code of the app or a recovery code. Call it under the user's lock, in the transaction of the change
    /// that needs the code, so that only one of two concurrent uses succeeds.
    ///
    /// # Errors
    /// `Invalid` for a wrong `code`.
    async fn use_code(&self, db: &mut PgConnection, user: UserId, code: &str, visitor: &Visitor) -> Result<()> {
        let is_right = match TypedCode::parse(code).ok_or_else(wrong_code)? {
            TypedCode::Totp(code) => use_totp(&mut *db, user, &code).await?,
            TypedCode::Recovery(code) => {
                let used = sqlx::query!(
                    "delete from recovery_codes where user_id = $1 and code_hash = $2",
                    user as UserId,
                    recovery_hash(&code)
                )
                .execute(&mut *db)
                .await?;
                let is_right = used.rows_affected() == 1;
                if is_right {
                    let message = Message::TwoFactor { what: TwoFactorNews::RecoveryCodeUsed };
                    mail::enqueue(&mut *db, Recipient::User(user), message).await?;
                    security_log::record(&mut *db, user, SecurityEventKind::RecoveryCodeUsed, "", visitor).await?;
                }
                is_right
            }
        };
        if !is_right {
            security_log::record_later(self.0, user, SecurityEventKind::CodeFailed, visitor);
            return Err(wrong_code().into());
        }
        Ok(())
    }

    /// Counts an attempt before the comparison, so that concurrent guesses stay within the limit. Call it outside any
    /// transaction, because it may wait for Redis.
    async fn count_code(&self, user: UserId) -> Result<CountedRequest<'_>> {
        Ok(self.0.limits.require(Rule::Code, Client::of_user(user), LimitedBy::Code).await?)
    }
}

/// Queues a mail to the current address. A later change of the address must not redirect it.
async fn enqueue_two_factor_mail(db: &mut PgConnection, actor: &Actor, what: TwoFactorNews) -> Result<()> {
    mail::enqueue(db, Recipient::At(actor.id, &actor.email), Message::TwoFactor { what }).await
}

async fn use_totp(db: &mut PgConnection, user: UserId, code: &str) -> Result<bool> {
    let row = sqlx::query!(
        "select secret, last_step from two_factors where user_id = $1 and confirmed_at is not null",
        user as UserId
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(false) };
    let Some(step) = matching_step(row.secret, code)?.filter(|step| *step > row.last_step) else { return Ok(false) };
    sqlx::query!("update two_factors set last_step = $2 where user_id = $1", user as UserId, step).execute(db).await?;
    Ok(true)
}

/// Whether the account asks for a code.
pub(in crate::backend) async fn is_on(db: &mut PgConnection, user: UserId) -> Result<bool> {
    let is_on = sqlx::query_scalar!(r#"select has_two_factor($1) as "is_on!""#, user as UserId).fetch_one(db).await?;
    Ok(is_on)
}

/// Begins the second step of a sign-in.
pub(super) async fn challenge(db: &mut PgConnection, user: UserId) -> Result<SecretToken> {
    let token = SecretToken::generate()?;
    sqlx::query!(
        "insert into sign_in_challenges (token_hash, user_id, expires_at) values ($1, $2, now() + make_interval(mins => $3))",
        token.hash(),
        user as UserId,
        CHALLENGE_MINUTES
    )
    .execute(db)
    .await?;
    Ok(token)
}

/// Removes the second factor, confirmed or not. Returns false if there was none.
pub(in crate::backend) async fn remove(db: &mut PgConnection, user: UserId) -> Result<bool> {
    sqlx::query!("delete from recovery_codes where user_id = $1", user as UserId).execute(&mut *db).await?;
    let removed = sqlx::query!("delete from two_factors where user_id = $1", user as UserId).execute(db).await?;
    Ok(removed.rows_affected() == 1)
}

/// Ends sign-ins that wait for a code, because the password or account that they started with has changed.
pub(super) async fn end_challenges(db: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!("delete from sign_in_challenges where user_id = $1", user as UserId).execute(db).await?;
    Ok(())
}

/// Deletes sign-ins whose second step has expired. Returns their number.
pub(in crate::backend) async fn delete_expired_challenges(db: &PgPool, at_most: i64) -> Result<u64> {
    let purged = sqlx::query!(
        "delete from sign_in_challenges where token_hash in (
             select token_hash from sign_in_challenges where expires_at < now() order by expires_at limit $1)",
        at_most
    )
    .execute(db)
    .await?;
    Ok(purged.rows_affected())
}

async fn make_recovery_codes(db: &mut PgConnection, user: UserId) -> Result<Vec<String>> {
    sqlx::query!("delete from recovery_codes where user_id = $1", user as UserId).execute(&mut *db).await?;
    let mut codes = Vec::new();
    for _ in 0..RECOVERY_CODES {
        let mut bytes = [0; RECOVERY_CODE_BYTES];
        fill(&mut bytes)?;
        let code = base32(&bytes);
        sqlx::query!(
            "insert into recovery_codes (user_id, code_hash) values ($1, $2)",
            user as UserId,
            recovery_hash(&code)
        )
        .execute(&mut *db)
        .await?;
        codes.push(with_dashes(&code));
    }
    Ok(codes)
}

/// The hash of a recovery code. SHA-256 is enough, because a code has 80 random bits.
fn recovery_hash(code: &str) -> Vec<u8> {
    Sha256::digest(code.as_bytes()).to_vec()
}

/// Base32 in lower case, without padding.
fn base32(bytes: &[u8]) -> String {
    totp_rs::Secret::Raw(bytes.to_vec()).to_encoded().to_string().trim_end_matches('=').to_lowercase()
}

fn fill(bytes: &mut [u8]) -> Result<()> {
    OsRng.try_fill_bytes(bytes).map_err(|error| Error::Io(std::io::Error::other(error)))
}

fn totp(secret: Vec<u8>, email: &str) -> Result<TOTP> {
    // A colon would separate the issuer from the account.
    let account = email.replace(':', "");
    let made = TOTP::new(Algorithm::SHA1, CODE_DIGITS, 0, STEP_SECONDS, secret, Some(ISSUER.into()), account);
    made.map_err(|error| Error::Corrupt(format!("no code can be made: {error}")))
}

/// The time step of a code, if it is the current one or a neighbour.
fn matching_step(secret: Vec<u8>, code: &str) -> Result<Option<i64>> {
    let totp = totp(secret, "")?;
    let now = u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap_or(0) / STEP_SECONDS;
    let steps = now.saturating_sub(SKEW_STEPS)..=now + SKEW_STEPS;
    let matching = steps.rev().find(|step| totp.generate(step * STEP_SECONDS) == code);
    Ok(matching.and_then(|step| i64::try_from(step).ok()))
}

fn wrong_code() -> Problem {
    Problem::field(
        "code",
        "This code is wrong or was used already. Enter the code that your app shows now, or a recovery code.",
    )
}

fn already_on() -> Problem {
    Problem::conflict("Two-factor sign-in is on already.")
}

fn challenge_is_over() -> Problem {
    Problem::Gone("Your sign-in timed out. Sign in again.".into())
}
