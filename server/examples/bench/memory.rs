//! The server's memory when it is idle, while many clients sign in, and a minute after each load.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use reqwest::Client;
use testing::TestDatabase;
use tokio::time::sleep;

use crate::{
    BenchResult, Size,
    artist::{Artist, song},
    figures::{Figures, Limit},
    server::Server,
};

/// Clients that sign in all the time. `ARTISTS` upload files and read pages.
const SIGN_IN_CLIENTS: usize = 300;
const ARTISTS: usize = 8;

pub(crate) async fn measure(postgres: &str, size: Size, figures: &mut Figures) -> BenchResult<()> {
    let (database, folder) = (TestDatabase::create(postgres).await, tempfile::tempdir()?);
    // All clients come from one address.
    let settings = [("VWAZA_LIMIT_CONNECTIONS_PER_PEER", "1000"), ("VWAZA_LIMIT_REQUESTS_PER_ADDRESS", "1000")];
    let server = Server::start(&database.url(), folder.path(), &settings)?;
    // By then, the memory that the start took is given back.
    sleep(size.pick(Duration::from_secs(10), Duration::ZERO)).await;
    let [idle, of_files] = server.memory_mib();
    figures.add("memory: idle", idle, "MiB", Limit::AtMost(25.0));
    figures.add("memory: idle, pages of files beside it", of_files, "MiB", Limit::None);

    let memory = server.watch_memory();
    let (clients, round) = size.pick((SIGN_IN_CLIENTS, Duration::from_secs(60)), (ARTISTS, Duration::from_millis(500)));
    sign_in_all_the_time(&server.url, clients, round).await?;
    figures.add("memory: 300 sign in all the time, peak", memory.peak_mib(), "MiB", Limit::AtMost(100.0));
    let minute = size.pick(Duration::from_secs(60), Duration::ZERO);
    sleep(minute).await;
    figures.add("memory: a minute after sign-ins", server.memory_mib()[0], "MiB", Limit::AtMost(idle + 24.0));

    let song = song(size.pick(64_000_000, 1_000_000))?;
    let artists = (0..ARTISTS).map(|_| async {
        let artist = Artist::with_a_release(&server.url).await?;
        artist.upload(&song).await?;
        for _ in 0..size.pick(100, 2) {
            for path in ["/", &artist.release_path()] {
                artist.get(path).send().await?.error_for_status()?.bytes().await?;
            }
        }
        BenchResult::Ok(())
    });
    try_join_all(artists).await?;
    sleep(minute).await;
    let [after, of_files] = server.memory_mib();
    figures.add("memory: a minute after uploads and pages", after, "MiB", Limit::AtMost(idle + 24.0));
    figures.add("memory: a minute after, pages of files beside it", of_files, "MiB", Limit::None);
    Ok(())
}

/// Signs in without pause. Each attempt names another account that does not exist: the server computes the same hash as
/// for an account, and no limit of one account applies.
async fn sign_in_all_the_time(url: &str, people: usize, round: Duration) -> BenchResult<()> {
    let began = Instant::now();
    let people = (0..people).map(|person| async move {
        let (browser, email) = (Client::new(), format!("{person}@example.com"));
        while began.elapsed() < round {
            let form = [("email", email.as_str()), ("password", "correct horse battery")];
            browser.post(format!("{url}/api/account/sign-in")).form(&form).send().await?;
        }
        BenchResult::Ok(())
    });
    try_join_all(people).await?;
    Ok(())
}
