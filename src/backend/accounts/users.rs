//! Accounts: sign-up, sign-in, the profile and the password.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    access_tokens, browsers,
    common_passwords::refuse_common,
    email_links, locks,
    passwords::Passwords,
    security_log,
    sessions::{self, SignedIn},
    tokens::SecretToken,
    two_factor,
    visitor::Visitor,
};
use crate::{
    backend::{
        Backend, Error, Result,
        audit::{self, By, NewEntry},
        db, fail_points,
        limits::{Client, Rule},
        mail::{self, Recipient},
    },
    domain::{
        account::{Actor, Email, MailPreference, Password, Role, SignUp},
        audit::{AuditAction, AuditState},
        ids::UserId,
        limits::LimitedBy,
        mail::{Message, PasswordChange},
        problem::Problem,
        security::SecurityEventKind,
    },
};

/// The result of a right password.
#[derive(Debug)]
pub enum PasswordAccepted {
    SignedIn(SignedIn),
    /// The account has two-factor sign-in. The token identifies the second step.
    CodeNeeded(SecretToken),
}

pub struct Users<'a>(pub(in crate::backend) &'a Backend);

impl Users<'_> {
    /// Creates an artist's account and signs it in.
    ///
    /// # Errors
    /// `Invalid` for a common password; `Conflict` when the e-mail address already has an account.
    pub async fn sign_up(&self, form: SignUp, visitor: &Visitor) -> Result<SignedIn> {
        refuse_common("password", &form.password, form.email.as_str())?;
        let hash = self.0.passwords.hash(form.password.as_str().to_owned()).await?;
        let mut tx = db::begin(&self.0.db).await?;
        let user = insert(&mut tx, &form.artist_name, &form.email, Role::Artist, &hash, false).await?;
        record_creation(&mut tx, By::User(user), user, Role::Artist).await?;
        if self.0.settings.requires_verified_email {
            mail::enqueue(&mut tx, Recipient::User(user), Message::VerifyEmail).await?;
        }
        let signed_in = sessions::begin_signed_in(&mut tx, user, visitor).await?;
        tx.commit().await?;
        self.0.events.mail_added();
        Ok(signed_in)
    }

    /// Starts a session, or the second step of two-factor sign-in. An unknown e-mail address and a wrong password get
    /// the same answer after the same time.
    ///
    /// # Errors
    /// `WrongCredentials` for a wrong e-mail address or password; `RateLimited` after too many failed sign-ins to this account. Browsers that
    /// have signed in to it before have a limit of their own.
    pub async fn sign_in(&self, email: &str, password: &str, visitor: &Visitor) -> Result<PasswordAccepted> {
        if Password::is_too_long(password) || email.contains('\0') {
            return Err(Problem::WrongCredentials.into());
        }
        let row = sqlx::query!(
            r#"select lower($1) as "lower_email!", u.id as "id?: UserId", u.password_hash as "password_hash?"
               from (select) one left join users u on lower(u.email) = lower($1) and u.disabled_at is null"#,
            email.trim()
        )
        .fetch_one(&self.0.db)
        .await?;
        let (id, hash) = (row.id, row.password_hash);
        // A known browser has a limit of its own, so that nobody else can use it up.
        let guesser = match (id, &visitor.browser) {
            (Some(id), Some(browser)) if browsers::is_known(self.0, Some(id), visitor).await? => {
                Client::of_browser(id, browser)
            }
            _ => Client::of_account(&row.lower_email),
        };
        // Counting before the comparison keeps concurrent guesses within the limit.
        let limits = &self.0.limits;
        let counted = match limits.require(Rule::FailedSignIn, guesser, LimitedBy::Account).await {
            Ok(counted) => counted,
            Err(refused) => {
                if let Some(id) = id {
                    security_log::record_later(self.0, id, SecurityEventKind::SignInBlocked, visitor);
                }
                return Err(refused.into());
            }
        };
        let is_right = match self.0.passwords.verify(password.to_owned(), hash.clone()).await {
            Ok(is_right) => is_right,
            Err(busy) => {
                counted.take_back(limits.deadline()).await;
                return Err(busy);
            }
        };
        if !is_right && let Some(id) = id {
            security_log::record_later(self.0, id, SecurityEventKind::SignInFailed, visitor);
        }
        let id = id.filter(|_| is_right).ok_or(Problem::WrongCredentials)?;
        counted.take_back(limits.deadline()).await;
        fail_points::wait_at("password-verified").await;
        let mut tx = db::begin(&self.0.db).await?;
        // The password may have been changed, or the account disabled, during the comparison.
        let is_current = sqlx::query_scalar!(
            r#"select disabled_at is null and password_hash = $2 as "is_current!" from users where id = $1 for no key update"#,
            id as UserId,
            hash.as_deref()
        )
        .fetch_one(&mut *tx)
        .await?;
        if !is_current {
            return Err(Problem::WrongCredentials.into());
        }
        let accepted = match two_factor::is_on(&mut tx, id).await? {
            true => PasswordAccepted::CodeNeeded(two_factor::challenge(&mut tx, id).await?),
            false => PasswordAccepted::SignedIn(sessions::begin_signed_in(&mut tx, id, visitor).await?),
        };
        tx.commit().await?;
        Ok(accepted)
    }

    pub async fn save_profile(&self, actor: &Actor, artist_name: String) -> Result<Actor> {
        sqlx::query!(
            "update users set artist_name = $2, updated_at = now() where id = $1",
            actor.id as UserId,
            artist_name
        )
        .execute(&self.0.db)
        .await?;
        Ok(Actor { artist_name, ..actor.clone() })
    }

    /// Verifies the actor's password before a change that only the owner may make, because a session may have been
    /// stolen. Returns the password's hash.
    ///
    /// # Errors
    /// `Invalid` for a wrong `current_password`; `RateLimited` after too many wrong ones.
    pub(super) async fn require_password(&self, actor: &Actor, current: &str, visitor: &Visitor) -> Result<String> {
        let (limits, client) = (&self.0.limits, Client::of_user(actor.id));
        let counted = limits.require(Rule::CurrentPassword, client, LimitedBy::CurrentPassword).await?;
        let hash = sqlx::query_scalar!("select password_hash from users where id = $1", actor.id as UserId)
            .fetch_one(&self.0.db)
            .await?;
        let is_short_enough = !Password::is_too_long(current);
        let is_right = match self.0.passwords.verify(current.to_owned(), Some(hash.clone())).await {
            Ok(is_right) => is_right && is_short_enough,
            Err(busy) => {
                counted.take_back(limits.deadline()).await;
                return Err(busy);
            }
        };
        if !is_right {
            security_log::record_later(self.0, actor.id, SecurityEventKind::CurrentPasswordFailed, visitor);
            return Err(Problem::field("current_password", "This is not your current password.").into());
        }
        counted.take_back(limits.deadline()).await;
        Ok(hash)
    }

    pub async fn mail_preference(&self, actor: &Actor) -> Result<MailPreference> {
        let wants_release_mail =
            sqlx::query_scalar!("select wants_release_mail from users where id = $1", actor.id as UserId)
                .fetch_one(&self.0.db)
                .await?;
        Ok(MailPreference { wants_release_mail })
    }

    /// Saves the preference. Mails that are already queued are still sent.
    pub async fn save_mail_preference(&self, actor: &Actor, preference: MailPreference) -> Result<()> {
        sqlx::query!(
            "update users set wants_release_mail = $2, updated_at = now() where id = $1",
            actor.id as UserId,
            preference.wants_release_mail
        )
        .execute(&self.0.db)
        .await?;
        Ok(())
    }

    /// Changes the password, ends all sessions of the account and starts a new one. Also ends its access tokens unless
    /// `keep_access_tokens`.
    ///
    /// # Errors
    /// `Invalid` for a wrong `current_password`, or for a `new_password` that is invalid or common; `Conflict` when the password was
    /// changed or the account disabled in the meantime; `RateLimited` after too many wrong passwords.
    pub async fn change_password(
        &self,
        actor: &Actor,
        current: &str,
        new: &str,
        keep_access_tokens: bool,
        visitor: &Visitor,
    ) -> Result<SignedIn> {
        let new = Password::parse(new).map_err(|message| Problem::field("new_password", message))?;
        refuse_common("new_password", &new, &actor.email)?;
        let hash = self.require_password(actor, current, visitor).await?;
        let new_hash = self.0.passwords.hash(new.as_str().to_owned()).await?;
        let mut tx = db::begin(&self.0.db).await?;
        // Of two concurrent changes, only one succeeds.
        locks::lock_user_with_password(&mut tx, actor.id, &hash).await?;
        sqlx::query!(
            "update users set password_hash = $2, updated_at = now() where id = $1",
            actor.id as UserId,
            new_hash
        )
        .execute(&mut *tx)
        .await?;
        sessions::end_all_of(&mut tx, actor.id).await?;
        if !keep_access_tokens {
            access_tokens::revoke_all_of(&mut tx, actor.id).await?;
        }
        email_links::use_up_links(&mut tx, actor.id).await?;
        email_links::drop_email_changes(&mut tx, actor.id).await?;
        two_factor::end_challenges(&mut tx, actor.id).await?;
        browsers::delete_all_of(&mut tx, actor.id).await?;
        let signed_in = sessions::begin_signed_in(&mut tx, actor.id, visitor).await?;
        let changed = Message::PasswordChanged { how: PasswordChange::OnAccountPage };
        // The mail goes to the current address. A later change of the address must not redirect it.
        mail::enqueue(&mut tx, Recipient::At(actor.id, &actor.email), changed).await?;
        security_log::record(&mut tx, actor.id, SecurityEventKind::PasswordChanged, "", visitor).await?;
        tx.commit().await?;
        self.0.events.mail_added();
        Ok(signed_in)
    }
}

/// Creates an account of any role, for the operator. Brings the schema up to date first.
///
/// # Errors
/// `Invalid` for a common password; `Conflict` when the e-mail address already has an account.
pub async fn create_user(
    database_url: &str,
    artist_name: &str,
    email: &Email,
    password: &Password,
    role: Role,
) -> Result<UserId> {
    refuse_common("password", password, email.as_str())?;
    db::migrate_database(database_url).await?;
    let db = db::connect(database_url, 0).await?;
    let hash = Passwords::new().hash(password.as_str().to_owned()).await?;
    let mut tx = db::begin(&db).await?;
    let id = insert(&mut tx, artist_name, email, role, &hash, true).await?;
    record_creation(&mut tx, By::Operator, id, role).await?;
    tx.commit().await?;
    db.close().await;
    Ok(id)
}

async fn insert(
    db: &mut PgConnection,
    artist_name: &str,
    email: &Email,
    role: Role,
    password_hash: &str,
    is_verified: bool,
) -> Result<UserId> {
    let id = UserId(Uuid::now_v7());
    sqlx::query!(
        "insert into users (id, email, artist_name, role, password_hash, email_verified_at)
         values ($1, $2, $3, $4, $5, case when $6 then now() end)",
        id as UserId,
        email.as_str(),
        artist_name,
        role as Role,
        password_hash,
        is_verified
    )
    .execute(db)
    .await
    .map_err(email_taken)?;
    Ok(id)
}

async fn record_creation(db: &mut PgConnection, by: By, user: UserId, role: Role) -> Result<()> {
    let entry = NewEntry::on_account(by, AuditAction::AccountCreated, user);
    audit::record(db, NewEntry { became: Some(AuditState::Role(role)), ..entry }).await
}

pub(super) fn email_taken(error: sqlx::Error) -> Error {
    let error = Error::from(error);
    if error.is_unique_violation_of("idx_users_email") { email_taken_problem().into() } else { error }
}

pub(super) fn email_taken_problem() -> Problem {
    Problem::conflict("Email already registered. Sign in instead, or use another address.")
}
