//! How fast bytes are received, beside a loop that writes and flushes the same chunks to the same disk and does nothing else.
//!
//! Both have the same song in memory that has been touched, the same chunks, as many files at once and as many rounds, in turns. A
//! round of ours is timed from the first byte to the last 204 on a server of its own, to which each client has uploaded something before. Each
//! is another artist, as those who send tracks of one release wait for each other in the end. What is received is not stored meanwhile:
//! that is no part of what is compared. The bare loop's files stand in the same folder.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    process::Command,
    thread,
    time::Instant,
};

use bytes::Bytes;
use futures::future::try_join_all;
use sqlx::{Connection, PgConnection};
use vwaza::backend::testing::{TestDatabase, fixtures};

use crate::{
    Outcome,
    artist::{Artist, chunks, song},
    figures::{Figures, Limit},
    pairs::Pairs,
    server::Server,
};

/// Clients at once, and the bytes of the WAV that each of them sends.
const ROUNDS: [(usize, u64); 3] = [(1, 200_000_000), (8, 64_000_000), (32, 32_000_000)];
const PAIRS: usize = 7;

pub(crate) async fn measure(postgres: &str, figures: &mut Figures) -> Outcome<()> {
    for (clients, bytes) in ROUNDS {
        let (song, folder, mut growth_mib) = (song(bytes)?, tempfile::tempdir()?, 0.0_f64);
        let megabytes = (clients * song.len()) as f64 / 1e6;
        let own = async || {
            let round = own_round(postgres, folder.path(), clients, &song).await?;
            growth_mib = growth_mib.max(round.growth_mib);
            Ok(megabytes / round.seconds)
        };
        let bare = async || Ok(megabytes / bare_seconds(folder.path(), clients, &song)?);
        let pairs = Pairs::measure(PAIRS, own, bare).await?;
        let who = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
        pairs.report(&who, "uploaded at", "MB/s", 80.0, figures);
        figures.add(format!("{who}: memory grows by"), growth_mib, "MiB", Limit::AtMost(64.0 + clients as f64));
    }
    Ok(())
}

struct Round {
    seconds: f64,
    growth_mib: f64,
}

async fn own_round(postgres: &str, folder: &Path, clients: usize, song: &Bytes) -> Outcome<Round> {
    let (database, data_dir) = (TestDatabase::create(postgres).await, tempfile::tempdir_in(folder)?);
    // With 0 nothing is examined.
    let server = Server::start(&database.url(), data_dir.path(), &[("VWAZA_WORKER_CONCURRENCY", "0")])?;
    let mut artists = Vec::new();
    while artists.len() < clients {
        artists.push(Artist::with_a_release(&server.url).await?);
    }
    // Takes what a server makes only once: connections, threads, stacks, caches.
    let first: Bytes = fixtures::wav(2.0, 44_100, 16, 1).into();
    try_join_all(artists.iter().map(|artist| artist.upload(&first))).await?;
    let uploads = try_join_all(artists.iter().map(|artist| artist.begin(song))).await?;
    let _nothing_stored = hold_storing(&database.url()).await?;
    settle()?;
    let memory = server.watch_memory();
    let started = Instant::now();
    try_join_all(artists.iter().zip(&uploads).map(|(artist, upload)| artist.send(upload, song))).await?;
    Ok(Round { seconds: started.elapsed().as_secs_f64(), growth_mib: memory.growth_mib() })
}

/// Until it is dropped: an object is written down before it is put.
async fn hold_storing(database: &str) -> Outcome<PgConnection> {
    let mut held = PgConnection::connect(database).await?;
    sqlx::raw_sql("begin; lock table objects in share mode").execute(&mut held).await?;
    Ok(held)
}

/// What an earlier round has left to write is no business of the next one's.
fn settle() -> Outcome<()> {
    if Command::new("sync").status()?.success() { Ok(()) } else { Err("sync failed".into()) }
}

fn bare_seconds(folder: &Path, writers: usize, song: &Bytes) -> Outcome<f64> {
    let paths: Vec<_> = (0..writers).map(|writer| folder.join(format!("bare.{writer}"))).collect();
    settle()?;
    let started = Instant::now();
    thread::scope(|scope| -> Outcome<()> {
        let running: Vec<_> = paths.iter().map(|path| scope.spawn(move || write_and_flush(path, song))).collect();
        for writer in running {
            writer.join().map_err(|_| "a writer panicked")??;
        }
        Ok(())
    })?;
    let seconds = started.elapsed().as_secs_f64();
    for path in paths {
        fs::remove_file(path)?;
    }
    Ok(seconds)
}

fn write_and_flush(path: &Path, song: &Bytes) -> io::Result<()> {
    let mut file = File::create(path)?;
    for chunk in chunks(song) {
        file.write_all(&chunk)?;
        file.sync_data()?;
    }
    Ok(())
}
