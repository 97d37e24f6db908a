//! How fast bytes are received, beside a loop that writes and flushes the same chunks to the same disk and does nothing else.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    thread,
    time::Instant,
};

use bytes::Bytes;
use futures::future::try_join_all;
use vwaza::backend::testing::TestDatabase;

use crate::{
    Outcome,
    artist::{Artist, chunks, song},
    figures::{Figures, Limit},
    server::Server,
};

/// Clients at once, and the bytes of the WAV that each of them sends.
const ROUNDS: [(usize, u64); 3] = [(1, 200_000_000), (8, 64_000_000), (32, 64_000_000)];

pub(crate) async fn measure(postgres: &str, figures: &mut Figures) -> Outcome<()> {
    for (clients, bytes) in ROUNDS {
        round(postgres, clients, &song(bytes)?, figures).await?;
    }
    Ok(())
}

/// From the first byte to the last 204, on a server of its own. The loop runs before and after: machines have their moods.
async fn round(postgres: &str, clients: usize, song: &Bytes, figures: &mut Figures) -> Outcome<()> {
    let database = TestDatabase::create(postgres).await;
    let folder = tempfile::tempdir()?;
    // With 0 it stores what it received, one file at a time, and examines nothing: neither is measured here.
    let server = Server::start(&database, folder.path(), &[("VWAZA_WORKER_CONCURRENCY", "0")])?;
    let artist = Artist::sign_up(&server.url).await?;
    let spool = folder.path().join("spool/uploads");
    let bare_before = bare_seconds(&spool, clients, song)?;

    let uploads = try_join_all((0..clients).map(|_| artist.begin(song))).await?;
    let memory = server.watch_memory();
    let started = Instant::now();
    try_join_all(uploads.iter().map(|upload| artist.send(upload, song))).await?;
    let seconds = started.elapsed().as_secs_f64();
    let growth = memory.growth_mib();

    // Before it stores them all, which would disturb what comes next.
    drop(server);
    let bare = f64::midpoint(bare_before, bare_seconds(&spool, clients, song)?);
    let megabytes = (clients * song.len()) as f64 / 1e6;
    let who = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
    figures.add(format!("{who}: uploaded at"), megabytes / seconds, "MB/s", Limit::None);
    figures.add(format!("{who}: a bare loop writes and flushes at"), megabytes / bare, "MB/s", Limit::None);
    figures.add(format!("{who}: of the bare loop"), 100.0 * bare / seconds, "%", Limit::AtLeast(80.0));
    figures.add(format!("{who}: memory grows by"), growth, "MiB", Limit::AtMost(64.0 + clients as f64));
    Ok(())
}

fn bare_seconds(folder: &Path, writers: usize, song: &Bytes) -> Outcome<f64> {
    let paths: Vec<_> = (0..writers).map(|writer| folder.join(format!("bare.{writer}"))).collect();
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
