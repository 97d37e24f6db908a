//! Baselines: what the same disk and the same cores can do at most, measured by loops that do nothing else. Like the
//! server's rounds, they use a song whose pages have been touched, cut into the same chunks, and as many files at once
//! as there are clients.

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

/// The size that the server gathers before it writes.
const BUFFER_BYTES: usize = 512 * 1024;

/// Writes each file and flushes each of its chunks. Returns the seconds taken.
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

/// Receives, hashes and writes each file, and flushes each chunk before it is acknowledged. Returns the seconds taken.
/// A server can't do less with the bytes; the loop has no protocol and no database.
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

/// Receives a file. Returns its hash.
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

/// Touches as much memory as a round will use. Runs before the rounds of loops and server alike: a virtual machine
/// gives back memory that it has not used for some seconds, and a page that it must request again takes six times as
/// long.
pub(crate) fn warm_pages(folder: &Path, files: usize, song: &Bytes) -> BenchResult<()> {
    run_in_threads(folder, files, |mut file| chunks(song).try_for_each(|chunk| file.write_all(&chunk)))?;
    // What an earlier round still has to write must not slow the next one.
    if Command::new("sync").status()?.success() { Ok(()) } else { Err("sync failed".into()) }
}

/// Runs `work` for all files, each in a thread of its own. Returns the seconds taken. Removes the files.
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
