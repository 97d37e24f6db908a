//! The figures of the operations page, written into buckets of a minute, an hour and a day.
//!
//! Counts of uploads are exact: a trigger notes each end in the transaction that ends an upload (`migrations/0045_operations.sql`),
//! and one statement here moves the notes into buckets. Measurements are samples. They are summed up in the process and
//! written every few seconds and at the end, so a kill loses the latest of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use crate::{
    backend::{Backend, Result, days, db, queue},
    domain::{
        circuit::CircuitState,
        ids::SpoolId,
        operations::{BucketWidth, Figure, Metric},
    },
};

const WRITE_INTERVAL: Duration = Duration::from_secs(10);
/// The timeout of a write during a shutdown, which does not wait for a database that is away.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// The largest number of uploads that one statement moves into buckets.
const OUTCOMES_BATCH: i64 = 10_000;
/// The largest number of figures that wait for the database: about two hours of them. The oldest give way.
const SAMPLES_MAX: usize = 720;
/// How long the history of the circuit breakers is kept.
const CIRCUIT_RETENTION: Duration = days(90);

/// The sum of each metric in each minute that the database does not know yet.
type Samples = BTreeMap<(OffsetDateTime, Metric), Figure>;

/// The present state of the process.
#[derive(Clone, Copy)]
struct ProcessState {
    memory_bytes: Option<i64>,
    spool_free_bytes: Option<i64>,
    storage_free_bytes: Option<i64>,
}

/// Takes samples and writes them, every few seconds and once more at the end.
pub(in crate::backend) async fn run(backend: Arc<Backend>) {
    let (shutdown, mut samples, mut has_written) = (backend.shutdown(), Samples::new(), false);
    let mut ticks = interval(WRITE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_last = tokio::select! {
            () = shutdown.cancelled() => true,
            _ = ticks.tick() => false,
        };
        // A write that is cut off may have happened, and is repeated: so a shutdown lets it end, within limits.
        let shutdown_is_late = async {
            shutdown.cancelled().await;
            sleep(LAST_WRITE_TIMEOUT).await;
        };
        tokio::select! {
            () = shutdown_is_late => {}
            () = sample_and_write(&backend, &mut samples, &mut has_written) => {}
        }
        if is_last {
            return;
        }
    }
}

async fn sample_and_write(backend: &Backend, samples: &mut Samples, has_written: &mut bool) {
    let state = sample_process(backend, samples).await;
    let written = db::with_timeout(db::REPLY_TIMEOUT, async {
        let mut db = backend.db.acquire().await?;
        if !*has_written {
            close_circuit_of_predecessor(backend, &mut db).await?;
            *has_written = true;
        }
        sample_database(&mut db, samples).await?;
        write(backend, &mut db, samples, state).await?;
        // Counting a long queue takes a while, so it comes last. Its result is written with the next figures.
        sample_queue(&mut db, samples).await
    });
    if let Err(error) = written.await {
        tracing::warn!(error = ?error, "figures could not be written; trying again");
    }
}

fn add(samples: &mut Samples, metric: Metric, figure: Figure) {
    let minute = BucketWidth::Minute.begin(OffsetDateTime::now_utc());
    samples.entry((minute, metric)).and_modify(|sum| *sum = sum.and(figure)).or_insert(figure);
    while samples.len() > SAMPLES_MAX {
        samples.pop_first();
    }
}

#[expect(clippy::cast_precision_loss, reason = "an approximate figure is good enough for a chart")]
async fn sample_process(backend: &Backend, samples: &mut Samples) -> ProcessState {
    let state = ProcessState {
        memory_bytes: resident_bytes().map(u64::cast_signed),
        spool_free_bytes: backend.spool.disk.free_bytes().await.ok().map(u64::cast_signed),
        storage_free_bytes: backend.storage.free_bytes().await.map(u64::cast_signed),
    };
    for (metric, bytes) in [
        (Metric::MemoryBytes, state.memory_bytes),
        (Metric::SpoolFreeBytes, state.spool_free_bytes),
        (Metric::StorageFreeBytes, state.storage_free_bytes),
    ] {
        if let Some(bytes) = bytes {
            add(samples, metric, Figure::of(bytes as f64));
        }
    }
    if let Some(durations) = backend.storage.take_durations() {
        add(samples, Metric::StorageSeconds, durations);
    }
    state
}

async fn sample_database(db: &mut PgConnection, samples: &mut Samples) -> Result<()> {
    let began = Instant::now();
    sqlx::query!(r#"select 1 as "one""#).fetch_one(&mut *db).await?;
    add(samples, Metric::DatabaseSeconds, Figure::of(began.elapsed().as_secs_f64()));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "an approximate figure is good enough for a chart")]
async fn sample_queue(db: &mut PgConnection, samples: &mut Samples) -> Result<()> {
    let (jobs, _) = queue::counts(db).await?;
    let due: i64 = jobs.iter().map(|counts| counts.due).sum();
    add(samples, Metric::JobsDue, Figure::of(due as f64));
    Ok(())
}

async fn write(backend: &Backend, db: &mut PgConnection, samples: &mut Samples, state: ProcessState) -> Result<()> {
    add_to_buckets(db, samples).await?;
    samples.clear();
    sqlx::query!(
        "insert into spools (id, sampled_at, memory_bytes, spool_free_bytes, storage_free_bytes, is_circuit_open)
         values ($1, now(), $2, $3, $4, $5)
         on conflict (id) do update
         set sampled_at = now(), memory_bytes = $2, spool_free_bytes = $3, storage_free_bytes = $4, is_circuit_open = $5",
        backend.spool.id as SpoolId,
        state.memory_bytes,
        state.spool_free_bytes,
        state.storage_free_bytes,
        backend.storage.circuit() != CircuitState::Closed
    )
    .execute(&mut *db)
    .await?;
    let changes = backend.storage.circuit_changes();
    if changes.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into circuit_changes (id, spool_id, at, is_open)
         select id, $1, at, is_open from unnest($2::uuid[], $3::timestamptz[], $4::boolean[]) changes (id, at, is_open)
         on conflict do nothing",
        backend.spool.id as SpoolId,
        &changes.iter().map(|change| change.id).collect::<Vec<_>>(),
        &changes.iter().map(|change| change.at).collect::<Vec<_>>(),
        &changes.iter().map(|change| change.is_open).collect::<Vec<_>>()
    )
    .execute(db)
    .await?;
    backend.storage.remove_circuit_changes(&changes);
    Ok(())
}

/// Writes that the circuit is closed, if the last process on this spool was killed while its circuit was open. Each
/// process begins with a closed one.
async fn close_circuit_of_predecessor(backend: &Backend, db: &mut PgConnection) -> Result<()> {
    sqlx::query!(
        "insert into circuit_changes (id, spool_id, at, is_open)
         select $1, $2, now(), false
         where (select is_open from circuit_changes where spool_id = $2 order by at desc, id desc limit 1)",
        Uuid::now_v7(),
        backend.spool.id as SpoolId
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Adds samples and uploads that ended to the buckets of all widths, in one statement: an upload is noted or in its
/// buckets, and never both. The rows are locked in the order of their key, so that processes don't deadlock.
async fn add_to_buckets(db: &mut PgConnection, samples: &Samples) -> Result<()> {
    let column = |of: fn(&Figure) -> f64| samples.values().map(of).collect::<Vec<_>>();
    sqlx::query!(
        r#"with taken as (
               delete from upload_outcomes where id in (
                   select id from upload_outcomes order by id limit $1 for update skip locked)
               returning metric, at, count::bigint as count, bytes::double precision as bytes),
           figures (metric, at, count, sum, min, max) as (
               select metric, at, count, count * bytes, bytes, bytes from taken
               union all
               select * from unnest($2::operation_metric[], $3::timestamptz[], $4::bigint[], $5::double precision[],
                                    $6::double precision[], $7::double precision[]))
           insert into operation_buckets as b (width, begins_at, metric, count, sum, min, max)
           select width, date_trunc(width::text, at, 'UTC'), metric, sum(count)::bigint, sum(sum), min(min), max(max)
           from figures cross join unnest(enum_range(null::bucket_width)) width
           group by 1, 2, 3 order by 1, 2, 3
           on conflict (width, begins_at, metric) do update
           set count = b.count + excluded.count, sum = b.sum + excluded.sum, min = least(b.min, excluded.min),
               max = greatest(b.max, excluded.max)"#,
        OUTCOMES_BATCH,
        &samples.keys().map(|(_, metric)| *metric).collect::<Vec<_>>() as &[Metric],
        &samples.keys().map(|(minute, _)| *minute).collect::<Vec<_>>(),
        &samples.values().map(|figure| figure.count).collect::<Vec<_>>(),
        &column(|figure| figure.sum),
        &column(|figure| figure.min),
        &column(|figure| figure.max)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes buckets and changes of the circuit whose retention is over, up to `at_most` of each kind. Returns their
/// number.
pub(super) async fn delete_old(backend: &Backend, at_most: i64) -> Result<u64> {
    let mut deleted = 0;
    for width in BucketWidth::ALL {
        let old = sqlx::query!(
            "delete from operation_buckets where (width, begins_at, metric) in (
                 select width, begins_at, metric from operation_buckets
                 where width = $1 and begins_at < now() - make_interval(secs => $2)
                 order by begins_at, metric limit $3 for update skip locked)",
            width as BucketWidth,
            width.retention().as_secs_f64(),
            at_most
        );
        deleted += old.execute(&backend.db).await?.rows_affected();
    }
    let old = sqlx::query!(
        "delete from circuit_changes where id in (
             select id from circuit_changes where at < now() - make_interval(secs => $1) order by at limit $2)",
        CIRCUIT_RETENTION.as_secs_f64(),
        at_most
    );
    Ok(deleted + old.execute(&backend.db).await?.rows_affected())
}

/// The memory of this process that is in use, as far as this system tells it.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}
