//! Connections for whoever sends one short statement after the other: the queue, and uploads. A pool tests each connection that comes
//! back to it, which doubles their way to the database.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection, PgPool};
use tokio::{sync::Semaphore, time::timeout};

use super::ACQUIRE_TIMEOUT;
use crate::backend::{Error, Result, db};

/// A line that has been idle for longer is asked whether it still stands.
const UNTESTED_IDLE_MAX: Duration = Duration::from_secs(1);

/// What is asked here has one good plan each, that of an index. PostgreSQL would plan the claim anew each time it thinks that it
/// could do better, which takes longer than the claim, and read the table of a queue that was empty when it was last analysed.
const PLANNER_SETTINGS: &str = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_bitmapscan = off; \
                        set enable_sort = off";

pub(in crate::backend) struct Connections {
    db: PgPool,
    reply_timeout: Duration,
    permits: Semaphore,
    /// And since when.
    idle: Mutex<Vec<(PgConnection, Instant)>>,
}

impl Connections {
    /// At most `count`, however many want one. An answer that takes longer than `patience` is given up with its connection; what was asked for may happen all the same.
    pub(in crate::backend) fn new(db: PgPool, count: usize, reply_timeout: Duration) -> Self {
        Self { db, reply_timeout, permits: Semaphore::new(count), idle: Mutex::default() }
    }

    /// Sends something on a connection, which is kept for the next one unless this fails.
    pub(in crate::backend) async fn run<T>(&self, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        let permit = timeout(ACQUIRE_TIMEOUT, self.permits.acquire()).await.map_err(|_| timed_out())?;
        let _permit = permit.map_err(|_| Error::Corrupt("these connections are closed".into()))?;
        let mut connection = self.acquire().await?;
        let outcome = db::with_timeout(self.reply_timeout, work(&mut connection)).await;
        let mut idle = self.idle();
        match outcome {
            Ok(_) => idle.push((connection, Instant::now())),
            // Where one is broken, so are most likely all that were made before.
            Err(_) => idle.clear(),
        }
        outcome
    }

    async fn acquire(&self) -> Result<PgConnection> {
        let idle = self.idle().pop();
        if let Some((mut connection, since)) = idle {
            if since.elapsed() <= UNTESTED_IDLE_MAX
                || matches!(timeout(ACQUIRE_TIMEOUT, connection.ping()).await, Ok(Ok(())))
            {
                return Ok(connection);
            }
            self.idle().clear();
        }
        let mut connection = self.db.acquire().await?.detach();
        timeout(ACQUIRE_TIMEOUT, sqlx::raw_sql(PLANNER_SETTINGS).execute(&mut connection))
            .await
            .map_err(|_| timed_out())??;
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(PgConnection, Instant)>> {
        // Nothing panics while it is held.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A database that is there and says nothing.
fn timed_out() -> Error {
    sqlx::Error::PoolTimedOut.into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::try_join_all;
    use testing::{TestDatabase, ends, test_server_url};
    use tokio::sync::Barrier;

    use super::*;

    #[tokio::test]
    async fn as_many_run_at_once_as_there_are_connections() {
        const COUNT: usize = 3;
        let database = TestDatabase::create(&test_server_url()).await;
        let db = PgPool::connect(&database.url()).await.unwrap();
        let connections = Connections::new(db.clone(), COUNT, Duration::from_secs(60));
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // Each waits until there are as many as there are connections.
        let all = Barrier::new(COUNT);
        let sent = (0..10 * COUNT).map(|_| {
            connections.run(async |connection| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                all.wait().await;
                let answer: i32 = sqlx::query_scalar("select 42").fetch_one(connection).await?;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(answer)
            })
        });
        let answers = ends("all are sent", try_join_all(sent)).await.unwrap();
        assert_eq!(answers, [42; 10 * COUNT]);
        assert_eq!(most.into_inner(), COUNT);
    }
}
