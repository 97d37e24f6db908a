//! Measures the deadlines of the fault matrix. The tests wait for longer than each deadline, because they share their
//! machine. Each measurement begins with the fault, on a server of its own in the default configuration unless it says
//! otherwise.

mod database;
mod jobs;
mod uploads;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    BenchResult, Size,
    figures::{Figures, Limit},
};

/// Many times longer than any measured step takes.
const WAIT_TIMEOUT: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

pub(crate) async fn measure(postgres: &str, size: Size, figures: &mut Figures) -> BenchResult<()> {
    // Both mostly wait, so they run side by side.
    let waiting = async {
        tokio::try_join!(
            naming_fault("U4", uploads::stalled_client(postgres)),
            naming_fault("J2", jobs::killed_worker(postgres))
        )
    };
    let ((silent, killed), busy) = match size {
        Size::Full => (waiting.await?, busy(postgres, size).await?),
        Size::Smoke => tokio::try_join!(waiting, busy(postgres, size))?,
    };
    add(figures, "U4: from a silent client's last byte to the next PATCH", silent, Duration::from_secs(60));
    add(figures, "U6: HEAD beside a dead PATCH, slowest of ten", busy.head, Duration::from_secs(2));
    figures.add("U17: pages while the storage is silent, p99", busy.pages_ms, "ms", Limit::AtMost(500.0));
    add(figures, "U24: from SIGTERM under load to the end", busy.shutdown, Duration::from_secs(10));
    add(figures, "J2: from kill -9 after a claim to the next claim", killed, jobs::LEASE + jobs::POLL);
    add(figures, "J9: from PostgreSQL's restart to the full rate", busy.restarted, Duration::from_secs(10));
    add(figures, "J18: a job behind 10,000 of another artist's, slowest", busy.others, Duration::from_secs(5));
    add(figures, "N2: /health says 503, /health/live 200, slowest", busy.health, Duration::from_secs(2));
    Ok(())
}

/// The deadlines that are measured one after the other, because their servers are busy.
struct BusyDeadlines {
    head: Duration,
    pages_ms: f64,
    shutdown: Duration,
    restarted: Duration,
    others: Duration,
    health: Duration,
}

async fn busy(postgres: &str, size: Size) -> BenchResult<BusyDeadlines> {
    Ok(BusyDeadlines {
        head: naming_fault("U6", uploads::head_beside_a_dead_patch(postgres)).await?,
        pages_ms: naming_fault("U17", uploads::pages_while_storage_hangs(postgres, size)).await?,
        shutdown: naming_fault("U24", uploads::shutdown_under_load(postgres, size)).await?,
        restarted: naming_fault("J9", database::full_rate_after_a_restart(size)).await?,
        others: naming_fault("J18", jobs::job_behind_a_busy_artist(postgres)).await?,
        health: naming_fault("N2", database::health_without_database(postgres)).await?,
    })
}

/// Adds the number of the fault to an error.
async fn naming_fault<T>(fault: &str, measuring: impl Future<Output = BenchResult<T>>) -> BenchResult<T> {
    measuring.await.map_err(|error| format!("{fault}: {error}").into())
}

fn add(figures: &mut Figures, what: &str, measured: Duration, limit: Duration) {
    figures.add(what, measured.as_secs_f64(), "s", Limit::AtMost(limit.as_secs_f64()));
}

/// Calls `look` until it returns something.
async fn poll_until<T>(what: &str, mut look: impl AsyncFnMut() -> BenchResult<Option<T>>) -> BenchResult<T> {
    let started = Instant::now();
    while started.elapsed() < WAIT_TIMEOUT {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        sleep(POLL_INTERVAL).await;
    }
    Err(format!("waited in vain: {what}").into())
}

/// Waits until the writer holds the upload and has written some of it.
async fn spooled(data_dir: &Path, id: impl ToString) -> BenchResult<()> {
    let path = data_dir.join("spool/uploads").join(id.to_string());
    poll_until("bytes stand in the spool", async || Ok(path.metadata().is_ok_and(|file| file.len() > 0).then_some(())))
        .await
}
