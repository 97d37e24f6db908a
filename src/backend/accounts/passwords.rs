//! Password hashes (Argon2id). They run on blocking threads, at most one per core at a time.

use std::{
    num::NonZero,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::available_parallelism,
    time::Duration,
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use crate::{
    backend::{Error, Result},
    domain::problem::Problem,
};

/// The memory of one hash, in KiB. Source: OWASP Password Storage Cheat Sheet (argon2id: 19 MiB, two passes, one lane).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// The longest wait for a free core. A full queue of honest sign-ins takes less.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// The time after which unused memory of a hash is freed. Until then, it is kept for the next hash.
const MEMORY_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

pub(in crate::backend) struct Passwords {
    permits: Arc<Semaphore>,
    idle: Arc<IdleMemory>,
    /// A hash to compare with if the e-mail address is unknown, so that both cases take the same time.
    decoy: String,
}

/// The working memory of one hash, 19 MiB. There are at most as many as cores.
type Memory = Vec<Block>;

fn failed(error: impl ToString) -> Error {
    Error::PasswordHash(error.to_string())
}

fn digest(argon2: &Argon2<'_>, password: &str, salt: &Salt, length: usize, memory: &mut Memory) -> Result<Output> {
    memory.resize(argon2.params().block_count(), Block::default());
    let mut output = [0; Output::MAX_LENGTH];
    let output = output.get_mut(..length).ok_or_else(|| failed("its output is too long"))?;
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, memory).map_err(failed)?;
    Output::new(output).map_err(failed)
}

fn hash(password: &str, memory: &mut Memory) -> Result<String> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(failed)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let salt = Salt::generate();
    let output = digest(&argon2, password, &salt, Params::DEFAULT_OUTPUT_LEN, memory)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(failed)?,
        salt: Some(salt),
        hash: Some(output),
    };
    Ok(hash.to_string())
}

/// Whether a password matches a hash. Uses the algorithm and costs that the hash names, and compares in constant time.
fn matches(password: &str, hash: &str, memory: &mut Memory) -> Result<bool> {
    let hash = PasswordHash::new(hash).map_err(failed)?;
    let (Some(salt), Some(output)) = (hash.salt, hash.hash) else { return Err(failed("a hash without its output")) };
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).map_err(failed)?;
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from).map_err(failed)?;
    let argon2 = Argon2::new(algorithm, version, Params::try_from(&hash).map_err(failed)?);
    Ok(digest(&argon2, password, &salt, output.len(), memory)? == output)
}

/// Working memories that are not in use.
#[derive(Default)]
struct IdleMemory(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    memories: Vec<(Memory, Instant)>,
    /// The number of memories in use.
    in_use: usize,
    /// Whether a task is running that frees unused memories.
    is_watched: bool,
}

impl IdleMemory {
    fn lock(&self) -> MutexGuard<'_, Idle> {
        // No code panics while it holds this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the most recently used memory, so that the others expire.
    fn take(&self) -> Memory {
        let mut idle = self.lock();
        idle.in_use += 1;
        idle.memories.pop().map(|(memory, _)| memory).unwrap_or_default()
    }

    fn give_back(&self, memory: Memory) {
        let mut idle = self.lock();
        idle.in_use -= 1;
        idle.memories.push((memory, Instant::now()));
    }

    /// Starts a task that frees memories unused for [`MEMORY_IDLE_TIMEOUT`], and ends when there are none left. Does
    /// nothing if the task is running.
    fn watch(self: &Arc<Self>) {
        if std::mem::replace(&mut self.lock().is_watched, true) {
            return;
        }
        let idle = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                sleep(MEMORY_IDLE_TIMEOUT).await;
                let mut idle = idle.lock();
                idle.memories.retain(|(_, since)| since.elapsed() < MEMORY_IDLE_TIMEOUT);
                idle.is_watched = !idle.memories.is_empty() || idle.in_use > 0;
                if !idle.is_watched {
                    return;
                }
            }
        });
    }
}

impl Passwords {
    pub(in crate::backend) fn new() -> Self {
        let at_once = available_parallelism().map_or(1, NonZero::get);
        let decoy = hash("nobody has this password", &mut Memory::new()).unwrap_or_default();
        Self { permits: Arc::new(Semaphore::new(at_once)), idle: Arc::default(), decoy }
    }

    /// Hashes a password.
    ///
    /// # Errors
    /// `Unavailable` when no core is free within [`QUEUE_TIMEOUT`].
    pub(in crate::backend) async fn hash(&self, password: String) -> Result<String> {
        self.run(move |memory| hash(&password, memory)).await
    }

    /// Whether `password` matches `hash`. Without a hash, returns false after the same time.
    ///
    /// # Errors
    /// `Unavailable` when no core is free within [`QUEUE_TIMEOUT`].
    pub(in crate::backend) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool> {
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        Ok(self.run(move |memory| matches(&password, &hash, memory)).await? && is_known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&mut Memory) -> Result<T> + Send + 'static) -> Result<T> {
        let busy = || Problem::Unavailable("Many people are signing in right now. Try again in a few seconds.".into());
        let permit = timeout(QUEUE_TIMEOUT, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| busy())?
            .map_err(|_| busy())?;
        self.idle.watch();
        let idle = Arc::clone(&self.idle);
        spawn_blocking(move || {
            let mut memory = idle.take();
            let result = work(&mut memory);
            idle.give_back(memory);
            drop(permit);
            result
        })
        .await?
    }
}

#[cfg(test)]
mod tests {
    use argon2::PasswordHasher;

    use super::*;

    #[tokio::test]
    async fn a_hash_is_matched_by_its_password_only() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse battery".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse battery".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("nobody has this password".into(), None).await.unwrap());
        // The library's own hasher, with another algorithm, version and costs.
        let params = Params::new(64, 1, 1, None).unwrap();
        let library = Argon2::new(Algorithm::Argon2i, Version::V0x10, params);
        let hash = library.hash_password(b"correct horse battery").unwrap().to_string();
        assert!(passwords.verify("correct horse battery".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), Some(hash)).await.unwrap());
        assert!(passwords.verify("correct horse battery".into(), Some("$argon2id$v=19".into())).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_freed_when_it_was_not_used_for_long() {
        let passwords = Passwords::new();
        passwords.hash("one".into()).await.unwrap();
        assert_eq!(passwords.idle.lock().memories.len(), 1);
        passwords.hash("two".into()).await.unwrap();
        assert_eq!(passwords.idle.lock().memories.len(), 1, "the same memory serves the next hash");
        sleep(2 * MEMORY_IDLE_TIMEOUT).await;
        assert_eq!(passwords.idle.lock().memories.len(), 0);
    }
}
