//! Accounts: signing up and in, the profile, the password.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    Backend, Error, Result, db,
    passwords::Passwords,
    sessions::{self, SecretToken, UserAgent},
};
use crate::domain::{
    account::{Actor, Email, PASSWORD_MAX_BYTES, Password, Profile, Role, SignUp},
    ids::UserId,
    problem::Problem,
};

pub struct Users<'a>(pub(super) &'a Backend);

/// Holds a person's row to the end of the transaction: of two things counted against a limit at once, the second counts the first.
pub(super) async fn one_at_a_time(db: &mut PgConnection, id: UserId) -> Result<()> {
    sqlx::query!("select id from users where id = $1 for no key update", id as UserId).fetch_one(db).await?;
    Ok(())
}

impl Users<'_> {
    /// Makes an artist's account and signs it in.
    ///
    /// # Errors
    /// 409 when the e-mail has an account already.
    pub async fn sign_up(&self, form: SignUp, browser: &UserAgent) -> Result<SecretToken> {
        let user = self.create(&form.artist_name, &form.email, &form.password, Role::Artist).await?;
        let mut db = self.0.db.acquire().await?;
        sessions::begin(&mut db, user, browser).await
    }

    async fn create(&self, artist_name: &str, email: &Email, password: &Password, role: Role) -> Result<UserId> {
        let hash = self.0.passwords.hash(password.as_str().to_owned()).await?;
        insert(&self.0.db, artist_name, email, role, &hash).await
    }

    /// Starts a session. A wrong e-mail and a wrong password look the same and take the same time.
    pub async fn sign_in(&self, email: &str, password: &str, browser: &UserAgent) -> Result<SecretToken> {
        if password.len() > PASSWORD_MAX_BYTES || email.contains('\0') {
            return Err(Problem::WrongCredentials.into());
        }
        let user = sqlx::query!(
            r#"select id as "id: UserId", password_hash from users where lower(email) = lower($1) and disabled_at is null"#,
            email.trim()
        )
        .fetch_optional(&self.0.db)
        .await?;
        let (id, hash) = user.map(|user| (user.id, user.password_hash)).unzip();
        let is_right = self.0.passwords.verify(password.to_owned(), hash).await?;
        let id = id.filter(|_| is_right).ok_or(Problem::WrongCredentials)?;
        let mut db = self.0.db.acquire().await?;
        sessions::begin(&mut db, id, browser).await
    }

    /// # Errors
    /// 409 when the e-mail has another account already.
    pub async fn save_profile(&self, actor: &Actor, profile: Profile) -> Result<Actor> {
        sqlx::query!(
            "update users set artist_name = $2, email = $3, updated_at = now() where id = $1",
            actor.id as UserId,
            profile.artist_name,
            profile.email.as_str()
        )
        .execute(&self.0.db)
        .await
        .map_err(email_taken)?;
        Ok(Actor { artist_name: profile.artist_name, email: profile.email.as_str().to_owned(), ..actor.clone() })
    }

    /// Ends all sessions of the account and starts a new one.
    pub async fn change_password(
        &self,
        actor: &Actor,
        current: &str,
        new: &str,
        browser: &UserAgent,
    ) -> Result<SecretToken> {
        let new = Password::parse(new).map_err(|message| Problem::field("new_password", message))?;
        let hash = sqlx::query_scalar!("select password_hash from users where id = $1", actor.id as UserId)
            .fetch_one(&self.0.db)
            .await?;
        let is_short_enough = current.len() <= PASSWORD_MAX_BYTES;
        if !is_short_enough || !self.0.passwords.verify(current.to_owned(), Some(hash.clone())).await? {
            return Err(Problem::field("current_password", "This is not your current password.").into());
        }
        let new_hash = self.0.passwords.hash(new.as_str().to_owned()).await?;
        let mut tx = db::begin(&self.0.db).await?;
        // Against the hash that was verified: of two changes at once, one wins.
        let changed = sqlx::query!(
            "update users set password_hash = $2, updated_at = now() where id = $1 and password_hash = $3",
            actor.id as UserId,
            new_hash,
            hash
        )
        .execute(&mut *tx)
        .await?;
        if changed.rows_affected() == 0 {
            return Err(Problem::conflict("The password was changed elsewhere just now. Sign in again.").into());
        }
        sessions::end_all_of(&mut tx, actor.id).await?;
        let token = sessions::begin(&mut tx, actor.id, browser).await?;
        tx.commit().await?;
        Ok(token)
    }
}

/// Makes an account of any role, for the operator: brings the schema up to date first.
///
/// # Errors
/// 409 when the e-mail has an account already.
pub async fn create_user(
    database_url: &str,
    artist_name: &str,
    email: &Email,
    password: &Password,
    role: Role,
) -> Result<UserId> {
    db::migrate_database(database_url).await?;
    let db = db::connect(database_url, 0).await?;
    let hash = Passwords::new().hash(password.as_str().to_owned()).await?;
    let id = insert(&db, artist_name, email, role, &hash).await?;
    db.close().await;
    Ok(id)
}

async fn insert(db: &PgPool, artist_name: &str, email: &Email, role: Role, password_hash: &str) -> Result<UserId> {
    let id = UserId(Uuid::now_v7());
    sqlx::query!(
        "insert into users (id, email, artist_name, role, password_hash) values ($1, $2, $3, $4, $5)",
        id as UserId,
        email.as_str(),
        artist_name,
        role as Role,
        password_hash
    )
    .execute(db)
    .await
    .map_err(email_taken)?;
    Ok(id)
}

fn email_taken(error: sqlx::Error) -> Error {
    let error = Error::from(error);
    if error.is_unique_violation_of("idx_users_email") {
        Problem::conflict("Email already registered. Sign in instead, or use another address.").into()
    } else {
        error
    }
}
