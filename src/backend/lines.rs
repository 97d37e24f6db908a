//! Connections of the queue's own. A pool tests each connection that comes back to it, which doubles the way to the database of whoever
//! sends one short statement after the other.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::{PgConnection, PgPool};

use super::Result;

/// Kept at most, whatever the worker's concurrency.
const IDLE_MAX: usize = 8;

pub(super) struct Lines {
    db: PgPool,
    idle: Mutex<Vec<PgConnection>>,
}

impl Lines {
    pub(super) fn new(db: PgPool) -> Self {
        Self { db, idle: Mutex::default() }
    }

    /// Sends something on a connection, which is kept for the next one unless this fails.
    pub(super) async fn send<T>(&self, what: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        let idle = self.idle().pop();
        let mut line = match idle {
            Some(line) => line,
            None => self.db.acquire().await?.detach(),
        };
        let outcome = what(&mut line).await;
        let mut idle = self.idle();
        match outcome {
            Ok(_) if idle.len() < IDLE_MAX => idle.push(line),
            Ok(_) => {}
            // Where one is broken, so are most likely all that were made before.
            Err(_) => idle.clear(),
        }
        outcome
    }

    fn idle(&self) -> MutexGuard<'_, Vec<PgConnection>> {
        // Nothing panics while it is held.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
