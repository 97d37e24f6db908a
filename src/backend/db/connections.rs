//! Dedicated connections for callers that send many short statements: the queue and uploads. A pool tests each
//! connection that is returned to it, which doubles the round trips to the database.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection, PgPool};
use tokio::{sync::Semaphore, time::timeout};

use super::ACQUIRE_TIMEOUT;
use crate::backend::{Error, Result, db};

/// The idle time after which a connection is pinged before it is used.
const UNTESTED_IDLE_MAX: Duration = Duration::from_secs(1);

/// Planner settings of these connections. Each of their statements has one good plan, an index scan. By default,
/// PostgreSQL plans the claim anew whenever it expects to find a better plan. Planning takes longer than the claim, and
/// may choose a scan of the whole table if the queue was empty when it was last analysed.
const PLANNER_SETTINGS: &str = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_bitmapscan = off; \
                        set enable_sort = off";

/// The connections of one pool at one moment.
#[derive(Clone, Copy, Debug)]
pub struct PoolUsage {
    pub name: &'static str,
    pub in_use: usize,
    pub idle: usize,
    pub max: usize,
}

/// Records how long a caller has waited for a connection of a pool.
pub(super) fn record_wait(pool: &'static str, began: Instant) {
    metrics::histogram!("vwaza_db_wait_seconds", "pool" => pool).record(began.elapsed());
}

pub(in crate::backend) struct Connections {
    name: &'static str,
    db: PgPool,
    reply_timeout: Duration,
    permits: Semaphore,
    count: usize,
    /// Idle connections, and since when each is idle.
    idle: Mutex<Vec<(PgConnection, Instant)>>,
}

impl Connections {
    /// Opens at most `count` connections, each when it is first needed. A reply that takes longer than `reply_timeout`
    /// is given up together with its connection; the statement may be executed all the same.
    /// Metrics call these connections by `name`.
    pub(in crate::backend) fn new(name: &'static str, db: PgPool, count: usize, reply_timeout: Duration) -> Self {
        Self { name, db, reply_timeout, permits: Semaphore::new(count), count, idle: Mutex::default() }
    }

    pub(in crate::backend) fn usage(&self) -> PoolUsage {
        let in_use = self.count - self.permits.available_permits();
        PoolUsage { name: self.name, in_use, idle: self.idle().len(), max: self.count }
    }

    /// Runs `work` on a connection. The connection is kept for the next caller unless `work` fails.
    pub(in crate::backend) async fn run<T>(&self, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        let began = Instant::now();
        let acquired = async {
            let permit = timeout(ACQUIRE_TIMEOUT, self.permits.acquire()).await.map_err(|_| timed_out())?;
            let permit = permit.map_err(|_| Error::Corrupt("these connections are closed".into()))?;
            Ok((permit, self.acquire().await?))
        };
        let acquired: Result<_> = acquired.await;
        record_wait(self.name, began);
        let (_permit, mut connection) = acquired?;
        let outcome = db::with_timeout(self.reply_timeout, work(&mut connection)).await;
        let mut idle = self.idle();
        match outcome {
            Ok(_) => idle.push((connection, Instant::now())),
            // If one connection is broken, all older ones most likely are, too.
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
        // No code panics while it holds this lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error for a database that accepts connections but does not answer.
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
        let connections = Connections::new("test", db.clone(), COUNT, Duration::from_secs(60));
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // Each call waits until `COUNT` calls run at once.
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
