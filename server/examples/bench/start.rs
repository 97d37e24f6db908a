//! The time from the start of a process until it is healthy, and its memory once it has served a few pages.

use std::time::{Duration, Instant};

use reqwest::Client;
use sqlx::PgPool;
use testing::TestDatabase;
use tokio::time::sleep;

use crate::{
    BenchResult, Size,
    figures::{Figures, Limit},
    server::Server,
    signed_in::{cookie, sign_in_admins},
};

const POLL_PAUSE: Duration = Duration::from_millis(1);
/// A server that takes longer counts as broken.
const HEALTHY_MAX: Duration = Duration::from_secs(60);

pub(crate) async fn measure(postgres: &str, size: Size, figures: &mut Figures) -> BenchResult<()> {
    let (database, folder) = (TestDatabase::create(postgres).await, tempfile::tempdir()?);
    // Making a client takes a while, so it is not part of the measured time.
    let http = Client::new();
    // The first start migrates the database and builds its indexes.
    let mut server = Server::start(&database.url(), folder.path(), &[])?;
    healthy(&http, &server.url).await?;
    let mut milliseconds = Vec::new();
    for _ in 0..size.pick(9, 1) {
        server.terminate().await?;
        let began = Instant::now();
        server = Server::start(&database.url(), folder.path(), &[])?;
        healthy(&http, &server.url).await?;
        milliseconds.push(1000.0 * began.elapsed().as_secs_f64());
    }
    figures.add_median("start: healthy after", &milliseconds, "ms", Limit::AtMost(200.0));

    let sql = PgPool::connect(&database.url()).await?;
    sign_in_admins(&sql, 1).await?;
    sql.close().await;
    for path in ["/sign-in", "/", "/review", "/account", "/health"] {
        let answer = http.get(format!("{}{path}", server.url)).header("cookie", cookie(1)).send().await?;
        answer.error_for_status()?.bytes().await?;
    }
    sleep(size.pick(Duration::from_secs(10), Duration::ZERO)).await;
    figures.add("start: memory after a few pages", server.memory_mib()[0], "MiB", Limit::AtMost(25.0));
    Ok(())
}

/// Asks for the server's health until it is good.
async fn healthy(http: &Client, url: &str) -> BenchResult<()> {
    let began = Instant::now();
    while began.elapsed() < HEALTHY_MAX {
        if http.get(format!("{url}/health")).send().await.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        sleep(POLL_PAUSE).await;
    }
    Err("the server doesn't get healthy".into())
}
