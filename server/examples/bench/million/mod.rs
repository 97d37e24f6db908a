//! The time that each list and each search takes with 1,000,000 releases of 100,000 artists and 5,000,000 tracks.
//!
//! Lists and searches are asked for through the product's functions, as pages ask for them: a figure is the time of all
//! statements of a list. One client asks at a time. Sixteen clients at once are measured as well, but two cores cannot
//! serve them as quickly.

mod questions;

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use sqlx::{AssertSqlSafe, PgPool};
use testing::TestDatabase;
use tokio::time::{sleep, timeout};
use vwaza::backend::{Backend, migrate_database};

use self::questions::{Kind, Question, Questions};
use crate::{
    BenchResult, Size,
    figures::{Figures, Limit, percentile},
    server::backend_settings,
};

const LOAD: &str = include_str!("load.sql");
/// Indexes everything, as the upgrade to the version with the search does.
const INDEX_ALL: &str = include_str!("../../../../migrations/0039_search_all.sql");
const INDEXES: &str = include_str!("../../../../migrations/indexes.sql");
const INDEX_TIMEOUT: Duration = Duration::from_secs(60 * 60);
const CLIENTS: usize = 16;

pub(crate) async fn measure(postgres: &str, size: Size, figures: &mut Figures) -> BenchResult<()> {
    let (database, folder) = (TestDatabase::create(postgres).await, tempfile::tempdir()?);
    migrate_database(&database.url()).await?;
    let sql = PgPool::connect(&database.url()).await?;
    let releases = size.pick(1_000_000, 4_000);
    let began = Instant::now();
    // Indexes are built faster once the rows are there.
    for statement in
        INDEXES.split(";\n").filter(|statement| statement.contains(" on releases ") || statement.contains(" on users "))
    {
        let name =
            statement.split_once("create index concurrently ").and_then(|(_, rest)| rest.split_whitespace().next());
        if let Some(name) = name {
            sqlx::raw_sql(AssertSqlSafe(format!("drop index {name}"))).execute(&sql).await?;
        }
    }
    sqlx::raw_sql(AssertSqlSafe(format!("set bench.releases = {releases}; {LOAD}"))).execute(&sql).await?;
    sqlx::raw_sql(INDEX_ALL).execute(&sql).await?;
    migrate_database(&database.url()).await?;
    figures.add("a million releases: loaded in", began.elapsed().as_secs_f64(), "s", Limit::None);

    let began = Instant::now();
    let backend = Backend::start(backend_settings(&database.url(), folder.path())).await?;
    timeout(INDEX_TIMEOUT, all_indexed(&sql)).await.map_err(|_| "the search does not get ready")??;
    figures.add("a million releases: indexed for the search in", began.elapsed().as_secs_f64(), "s", Limit::None);
    // Autovacuum would do it within some minutes.
    sqlx::raw_sql("vacuum analyze").execute(&sql).await?;

    let questions = Questions::prepare(&backend, &sql, releases).await?;
    let questions = questions.all();
    let runs = size.pick(200, 2);
    for question in &questions {
        // The first answers find nothing in the database's memory, and PostgreSQL plans a statement anew five times.
        for run in 0..size.pick(10, 1) {
            answer(question, run).await?;
        }
        let mut milliseconds = Vec::new();
        for run in 0..runs {
            milliseconds.push(answer(question, run).await?);
        }
        let (median, p99) = question.kind.limits_ms();
        figures.add(format!("{}, p50", question.what), percentile(&milliseconds, 50), "ms", median);
        figures.add(format!("{}, p99", question.what), percentile(&milliseconds, 99), "ms", p99);
    }
    for (kind, what) in [(Kind::List, "lists"), (Kind::Search, "searches")] {
        let questions: Vec<_> = questions.iter().filter(|question| question.kind == kind).collect();
        let questions = &questions;
        let client = |client: usize| async move {
            let mut milliseconds = Vec::new();
            for run in 0..size.pick(100, 1) {
                milliseconds.push(answer(questions[(client * 7 + run) % questions.len()], run).await?);
            }
            BenchResult::Ok(milliseconds)
        };
        let milliseconds = try_join_all((0..CLIENTS).map(client)).await?.concat();
        for percent in [50, 99] {
            let row = format!("{what} with {CLIENTS} clients, p{percent}");
            figures.add(row, percentile(&milliseconds, percent), "ms", Limit::None);
        }
    }
    backend.stop(Instant::now() + Duration::from_secs(10)).await;
    sql.close().await;
    Ok(())
}

async fn all_indexed(sql: &PgPool) -> BenchResult<()> {
    let is_stale = "select exists (select 1 from search_stale)";
    while sqlx::query_scalar::<_, bool>(is_stale).fetch_one(sql).await? {
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Returns the time of an answer, in milliseconds.
///
/// # Errors
/// When a question that should find something finds nothing, or the other way round.
async fn answer(question: &Question<'_>, run: usize) -> BenchResult<f64> {
    let asked = Instant::now();
    let rows = (question.ask)(run).await?;
    let milliseconds = 1000.0 * asked.elapsed().as_secs_f64();
    if (rows > 0) == question.finds {
        Ok(milliseconds)
    } else {
        Err(format!("{} found {rows} rows", question.what).into())
    }
}
