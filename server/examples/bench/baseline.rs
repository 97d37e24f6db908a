//! What the same disk and the same cores can do at all: rounds of loops that do nothing else. Like ours, they have a song in memory that
//! has been touched, cut into the same chunks, and as many files at once as there are clients.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    thread,
    time::Instant,
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{BenchResult, artist::chunks};

/// As much as the server gathers before it writes.
const BUFFER_BYTES: usize = 512 * 1024;

/// Seconds in which each file is written, and each of its chunks flushed.
pub(crate) fn write_and_flush(folder: &Path, files: usize, song: &Bytes) -> BenchResult<f64> {
    warm_pages(folder, files, song)?;
    run_in_threads(folder, files, |mut file| {
        for chunk in chunks(song) {
            file.write_all(&chunk)?;
            file.sync_data()?;
        }
        Ok(())
    })
}

/// Seconds in which each file is received, hashed and written, and each of its chunks flushed before the client hears of it: all that
/// whoever receives has to do with the bytes, and nothing of a protocol or a database.
pub(crate) fn receive_and_flush(folder: &Path, clients: usize, song: &Bytes) -> BenchResult<f64> {
    warm_pages(folder, clients, song)?;
    let (listener, sha256) = (TcpListener::bind("127.0.0.1:0")?, Sha256::digest(song));
    let address = listener.local_addr()?;
    run_in_threads(folder, clients, |file| {
        thread::scope(|scope| {
            let client = scope.spawn(move || send(TcpStream::connect(address)?, song));
            if receive(listener.accept()?.0, song, file)? != sha256[..] {
                return Err(io::Error::other("something else arrived"));
            }
            client.join().map_err(|_| io::Error::other("a client panicked"))?
        })
    })
}

fn send(mut connection: TcpStream, song: &Bytes) -> io::Result<()> {
    for chunk in chunks(song) {
        connection.write_all(&chunk)?;
        connection.read_exact(&mut [0])?;
    }
    Ok(())
}

/// The hash of what has arrived.
fn receive(mut connection: TcpStream, song: &Bytes, mut file: File) -> io::Result<Vec<u8>> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![1; BUFFER_BYTES]);
    for chunk in chunks(song) {
        for piece in chunk.chunks(BUFFER_BYTES) {
            let arrived = &mut buffer[..piece.len()];
            connection.read_exact(arrived)?;
            file.write_all(arrived)?;
            hash.update(arrived);
        }
        file.sync_data()?;
        connection.write_all(&[1])?;
    }
    Ok(hash.finalize().to_vec())
}

/// Before a round, ours as well: a machine in a machine gives back the memory that it does not use for some seconds, and a page that it
/// has to ask for again takes six times as long. So it is made to have as much at hand as the round will use.
pub(crate) fn warm_pages(folder: &Path, files: usize, song: &Bytes) -> BenchResult<()> {
    run_in_threads(folder, files, |mut file| chunks(song).try_for_each(|chunk| file.write_all(&chunk)))?;
    // Nor is what an earlier round has left to write any business of the next one's.
    if Command::new("sync").status()?.success() { Ok(()) } else { Err("sync failed".into()) }
}

/// Seconds that this takes for all files, each in a thread of its own. The files are gone afterwards.
fn run_in_threads(folder: &Path, files: usize, work: impl Fn(File) -> io::Result<()> + Sync) -> BenchResult<f64> {
    let (folder, work) = (tempfile::tempdir_in(folder)?, &work);
    let paths: Vec<_> = (0..files).map(|file| folder.path().join(file.to_string())).collect();
    let started = Instant::now();
    thread::scope(|scope| -> BenchResult<()> {
        let running: Vec<_> = paths.iter().map(|path| scope.spawn(move || work(File::create(path)?))).collect();
        running.into_iter().try_for_each(|thread| Ok(thread.join().map_err(|_| "a thread panicked")??))
    })?;
    Ok(started.elapsed().as_secs_f64())
}
