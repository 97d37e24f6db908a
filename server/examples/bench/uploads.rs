//! The rate at which bytes are received, compared with two loops. One writes and flushes the same chunks to the same
//! disk and does nothing else. The other also receives and hashes them, which is the least that any server must do, on
//! cores that it shares with its clients.
//!
//! A round of the server is timed from the first byte to the last 204, on a server of its own, to which each client has
//! uploaded a file before. Each client is another artist, because uploads to one release wait for each other at their
//! end. Received files are not stored meanwhile, because the loops store nothing either. The loops' files are in the
//! same folder.

use std::{path::Path, time::Instant};

use bytes::Bytes;
use futures::future::try_join_all;
use sqlx::{Connection, PgConnection};
use testing::{TestDatabase, fixtures};

use crate::{
    BenchResult, Size,
    artist::{Artist, song},
    baseline,
    comparison::{Baseline, Comparison},
    figures::{Figures, Limit},
    server::Server,
};

/// The number of clients, and the size of the WAV that each of them sends.
const ROUNDS: [(usize, u64); 3] = [(1, 200_000_000), (8, 64_000_000), (32, 32_000_000)];
const SMOKE_BYTES: u64 = 1_000_000;
/// The first loop is information: no server can receive and hash bytes as fast as a loop that only writes them.
const LOOPS: [Baseline; 2] =
    [("a bare loop", Limit::None), ("one that receives and hashes as well", Limit::AtLeast(90.0))];

pub(crate) async fn measure(postgres: &str, size: Size, figures: &mut Figures) -> BenchResult<()> {
    for (clients, bytes) in ROUNDS {
        let bytes = size.pick(bytes, SMOKE_BYTES);
        let (song, folder, mut growth_mib) = (song(bytes)?, tempfile::tempdir()?, 0.0_f64);
        let megabytes = (clients * song.len()) as f64 / 1e6;
        let own = async || {
            let round = own_round(postgres, folder.path(), clients, &song).await?;
            growth_mib = growth_mib.max(round.growth_mib);
            Ok(megabytes / round.seconds)
        };
        let baseline = async || {
            let writing = baseline::write_and_flush(folder.path(), clients, &song)?;
            let receiving = baseline::receive_and_flush(folder.path(), clients, &song)?;
            Ok([megabytes / writing, megabytes / receiving])
        };
        let comparison = Comparison::measure(size.pick(7, 1), own, baseline).await?;
        let who = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
        comparison.report(&who, "uploaded at", "MB/s", LOOPS, figures);
        figures.add(format!("{who}: memory grows by"), growth_mib, "MiB", Limit::AtMost(64.0 + clients as f64));
    }
    Ok(())
}

struct UploadRound {
    seconds: f64,
    growth_mib: f64,
}

async fn own_round(postgres: &str, folder: &Path, clients: usize, song: &Bytes) -> BenchResult<UploadRound> {
    let (database, data_dir) = (TestDatabase::create(postgres).await, tempfile::tempdir_in(folder)?);
    // With a concurrency of 0, nothing is examined.
    let server = Server::start(&database.url(), data_dir.path(), &[("VWAZA_WORKER_CONCURRENCY", "0")])?;
    let mut artists = Vec::new();
    while artists.len() < clients {
        artists.push(Artist::with_a_release(&server.url).await?);
    }
    // The first upload makes the server allocate what it allocates only once: connections, threads, stacks, caches.
    let first: Bytes = fixtures::wav(2.0, 44_100, 16, 1).into();
    try_join_all(artists.iter().map(|artist| artist.upload(&first))).await?;
    let uploads = try_join_all(artists.iter().map(|artist| artist.begin(song))).await?;
    let _storing_blocked = block_storing(&database.url()).await?;
    baseline::warm_pages(folder, clients, song)?;
    let memory = server.watch_memory();
    let started = Instant::now();
    try_join_all(artists.iter().zip(&uploads).map(|(artist, upload)| artist.send(upload, song))).await?;
    Ok(UploadRound { seconds: started.elapsed().as_secs_f64(), growth_mib: memory.growth_mib() })
}

/// Blocks the storing of files until the connection is dropped: every object is recorded in this table before it is
/// put.
async fn block_storing(database: &str) -> BenchResult<PgConnection> {
    let mut held = PgConnection::connect(database).await?;
    sqlx::raw_sql("begin; lock table objects in share mode").execute(&mut held).await?;
    Ok(held)
}
