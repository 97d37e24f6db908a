//! Argon2id, off the async threads, a few at a time.

use std::{sync::Arc, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::{Error, Result};
use crate::domain::problem::Problem;

/// Source: OWASP Password Storage Cheat Sheet (argon2id: 19 MiB, two passes, one lane).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// 19 MiB each: this bounds what a flood of sign-ins can take.
const AT_ONCE: usize = 4;
/// Longer than a full queue of honest sign-ins takes.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Passwords {
    turns: Arc<Semaphore>,
    /// Compared with when nobody has the e-mail: takes as long as a real one.
    decoy: String,
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the constants above are within argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str) -> Result<String> {
    hasher()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| Error::PasswordHash(error.to_string()))
}

impl Passwords {
    pub(super) fn new() -> Self {
        let decoy = hash("nobody has this password").unwrap_or_default();
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), decoy }
    }

    /// # Errors
    /// 503 when too many are waiting.
    pub(super) async fn hash(&self, password: String) -> Result<String> {
        self.in_turn(move || hash(&password)).await?
    }

    /// Whether `password` is the one of `hash`; without a hash, "no" after the same time.
    ///
    /// # Errors
    /// 503 when too many are waiting.
    pub(super) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        self.in_turn(move || {
            let parsed = PasswordHash::new(&hash).map_err(|error| Error::PasswordHash(error.to_string()))?;
            let matches = hasher().verify_password(password.as_bytes(), &parsed).is_ok();
            Ok(known && matches)
        })
        .await?
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let busy = || Problem::Unavailable("Many people are signing in right now. Try again in a few seconds.".into());
        let turn = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned())
            .await
            .map_err(|_| busy())?
            .map_err(|_| busy())?;
        let result = spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        })
        .await?;
        Ok(result)
    }
}
