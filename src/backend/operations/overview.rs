//! What the operations page shows.

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::integrity;
use crate::{
    backend::{Backend, Result, queue},
    domain::{
        account::Actor,
        ids::{ReleaseId, SpoolId},
        integrity::IntegrityStatus,
        operations::{
            BucketWidth, CircuitChange, Figure, LastBackup, Metric, OperationsOverview, OperationsRange,
            ProcessFigures, Series, UploadTotals,
        },
        queue_page::ReleaseRef,
    },
};

/// A process counts as gone if it has written no figures for this long. It writes them every ten seconds.
const PROCESS_TIMEOUT_SECONDS: f64 = 45.0;
/// The number of processes and of changes of the circuit that the page shows.
const PROCESSES_MAX: i64 = 50;
const CIRCUIT_CHANGES_MAX: i64 = 20;

pub struct Operations<'a>(pub(in crate::backend) &'a Backend);

/// The figures of a range, and the totals of uploads.
#[derive(Default)]
struct Figures {
    series: Vec<Series>,
    last_hour: UploadTotals,
    last_day: UploadTotals,
    last_week: UploadTotals,
}

impl Operations<'_> {
    /// The health of this process, and the figures of all processes in a range of time.
    pub async fn overview(&self, actor: &Actor, range: OperationsRange) -> Result<OperationsOverview> {
        actor.require_admin()?;
        let backend = self.0;
        let mut db = backend.db.acquire().await?;
        let single = sqlx::query!(
            r#"select now() as "now!", b.ended_at as "ended_at?", b.bytes as "bytes?", b.missing as "missing?",
                      (select count(*) from (
                          select from changed_facts c join objects o on o.id = c.object_id
                          where o.state = 'ATTACHED' and not c.is_dismissed limit 1001) changed) as "changed_files!"
               from (select) one left join last_backup b on true"#
        )
        .fetch_one(&mut *db)
        .await?;
        let figures = figures(&mut db, range, single.now).await?;
        let (jobs, oldest_due_seconds) = queue::counts(&mut db).await?;
        let circuit_changes = sqlx::query_as!(
            CircuitChange,
            r#"select spool_id as "spool: SpoolId", at, is_open from circuit_changes order by at desc, id desc limit $1"#,
            CIRCUIT_CHANGES_MAX
        )
        .fetch_all(&mut *db)
        .await?;
        let processes = sqlx::query_as!(
            ProcessFigures,
            r#"select id as "spool: SpoolId", memory_bytes, spool_free_bytes, storage_free_bytes,
                      coalesce(is_circuit_open, false) as "is_circuit_open!"
               from spools where sampled_at > now() - make_interval(secs => $1)
               order by is_circuit_open desc nulls last, id limit $2"#,
            PROCESS_TIMEOUT_SECONDS,
            PROCESSES_MAX
        )
        .fetch_all(&mut *db)
        .await?;
        let integrity = integrity::status(&mut *db).await?;
        Ok(OperationsOverview {
            // The database has just answered.
            health: backend.health_with(true),
            now: single.now,
            last_hour: figures.last_hour,
            last_day: figures.last_day,
            last_week: figures.last_week,
            range,
            series: figures.series,
            jobs,
            oldest_due_seconds,
            changed_files: single.changed_files,
            circuit_changes,
            processes,
            integrity_is_on: backend.settings.integrity_bytes_per_day > 0,
            damaged_releases: damaged_releases(&mut db, &integrity).await?,
            integrity,
            backup: match (single.ended_at, single.bytes, single.missing) {
                (Some(ended_at), Some(bytes), Some(missing)) => Some(LastBackup { ended_at, bytes, missing }),
                _ => None,
            },
        })
    }
}

/// Sums up the buckets, and the uploads that are not in a bucket yet. One statement sees each upload once.
async fn figures(db: &mut PgConnection, range: OperationsRange, now: OffsetDateTime) -> Result<Figures> {
    let rows = sqlx::query!(
        r#"with parts (part, width, since) as (
               values ('range', $1::bucket_width, $2::timestamptz),
                      ('hour', 'MINUTE', date_trunc('minute', $3::timestamptz, 'UTC') - interval '1 hour'),
                      ('day', 'MINUTE', date_trunc('minute', $3, 'UTC') - interval '1 day'),
                      ('week', 'HOUR', date_trunc('hour', $3, 'UTC') - interval '7 days')),
           figures as (
               select p.part, b.metric, b.begins_at, b.count, b.sum, b.min, b.max
               from parts p join operation_buckets b on b.width = p.width and b.begins_at between p.since and $3
               where b.metric = any ($4)
                 and (p.part = 'range' or b.metric in ('UPLOADS_STORED', 'UPLOADS_REFUSED', 'UPLOADS_FAILED'))
               union all
               select p.part, o.metric, date_trunc(p.width::text, o.at, 'UTC'), o.count, o.count * o.bytes, o.bytes, o.bytes
               from parts p join upload_outcomes o on o.at between p.since and $3 where o.metric = any ($4))
           select part as "part!", metric as "metric!: Metric", case part when 'range' then begins_at end as begins_at,
                  sum(count)::bigint as "count!", sum(sum) as "sum!", min(min) as "min!", max(max) as "max!"
           from figures group by 1, 2, 3"#,
        range.width() as BucketWidth,
        range.bucket_begin(0, now),
        now,
        // Not what a newer version measures, whose name this one can't read.
        &Metric::ALL as &[Metric]
    )
    .fetch_all(db)
    .await?;
    let mut figures = Figures::default();
    for row in rows {
        let figure = Figure { count: row.count, sum: row.sum, min: row.min, max: row.max };
        match row.part.as_str() {
            "hour" => add_total(&mut figures.last_hour, row.metric, figure),
            "day" => add_total(&mut figures.last_day, row.metric, figure),
            "week" => add_total(&mut figures.last_week, row.metric, figure),
            _ => {
                let Some(index) = row.begins_at.and_then(|begins_at| range.bucket_index(begins_at, now)) else {
                    continue;
                };
                let of_metric = figures.series.iter().position(|series| series.metric == row.metric);
                let of_metric = of_metric.unwrap_or_else(|| {
                    figures.series.push(Series { metric: row.metric, figures: vec![None; range.buckets()] });
                    figures.series.len() - 1
                });
                figures.series[of_metric].figures[index] = Some(figure);
            }
        }
    }
    // The database returns groups in any order. In one order, an unchanged page stays as it is.
    figures.series.sort_by_key(|series| series.metric);
    Ok(figures)
}

/// The releases of the objects that the latest run found damaged, by the objects' keys.
async fn damaged_releases(db: &mut PgConnection, integrity: &IntegrityStatus) -> Result<Vec<(String, ReleaseRef)>> {
    let keys: Vec<_> = integrity.last.iter().flat_map(|run| &run.findings).map(|finding| finding.key.clone()).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"select o.key, r.id as "id: ReleaseId", r.title, r.title_version
           from objects o join uploads u on u.id = o.upload_id join releases r on r.id = u.release_id
           where o.key = any ($1) order by o.key"#,
        &keys
    )
    .fetch_all(db)
    .await?;
    let release = |id, title, title_version| ReleaseRef { id, title, title_version };
    Ok(rows.into_iter().map(|row| (row.key, release(row.id, row.title, row.title_version))).collect())
}

#[expect(clippy::cast_possible_truncation, reason = "a sum of whole numbers is one")]
fn add_total(totals: &mut UploadTotals, metric: Metric, figure: Figure) {
    match metric {
        Metric::UploadsStored => {
            totals.stored += figure.count;
            totals.stored_bytes += figure.sum as i64;
        }
        Metric::UploadsRefused => totals.refused += figure.count,
        Metric::UploadsFailed => totals.failed = (totals.failed + figure.count).max(0),
        _ => {}
    }
}
