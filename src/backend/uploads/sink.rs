//! The way of an upload's bytes to the disk: gathered, written, hashed and flushed.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use super::{checksum::Check, writers::RunningHash};
use crate::{
    backend::{Error, Result},
    domain::upload::Checksum,
};

/// Bytes that are gathered before they are written and hashed, off the async threads.
const WRITE_BYTES: usize = 512 * 1024;

/// The end of an upload's file: gathers chunks, and writes and hashes them off the async threads.
pub(super) struct Sink {
    /// Away while a blocking thread has it; lost if that thread died.
    inner: Option<Inner>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    written: u64,
}

struct Inner {
    file: File,
    running: RunningHash,
    /// The checksum of what comes in, and the hash of what was there before it.
    check: Option<(Check, RunningHash)>,
}

impl Sink {
    /// Opens the file and cuts it back to what was acknowledged. With a checksum, what comes in counts only once it has been
    /// checked.
    pub(super) async fn open(
        path: std::path::PathBuf,
        offset: u64,
        running: RunningHash,
        checksum: Option<Checksum>,
    ) -> Result<Self> {
        let inner = spawn_blocking(move || {
            let opened = OpenOptions::new().read(true).write(true).create(offset == 0).truncate(false).open(&path);
            let mut file = match opened {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::BytesLost { offset }),
                opened => opened?,
            };
            if file.metadata()?.len() < offset {
                return Err(Error::BytesLost { offset });
            }
            if offset == 0 {
                // A new name in a folder outlives a crash only once the folder is flushed.
                if let Some(folder) = path.parent() {
                    File::open(folder)?.sync_all()?;
                }
            }
            if file.metadata()?.len() > offset {
                file.set_len(offset)?;
            }
            let running = if running.offset == offset { running } else { hash_of_first(&mut file, offset)? };
            file.seek(SeekFrom::Start(offset))?;
            let check = checksum.map(|checksum| (Check::of(checksum), running.clone()));
            Ok::<_, Error>(Inner { file, running, check })
        })
        .await??;
        Ok(Self { inner: Some(inner), gathered: Vec::new(), gathered_bytes: 0, written: offset })
    }

    /// Written and gathered.
    pub(super) fn position(&self) -> u64 {
        self.written + self.gathered_bytes as u64
    }

    pub(super) fn running(self) -> RunningHash {
        self.inner.map(|inner| inner.running).unwrap_or_default()
    }

    pub(super) async fn push(&mut self, chunk: Bytes) -> Result<()> {
        self.gathered_bytes += chunk.len();
        self.gathered.push(chunk);
        if self.gathered_bytes >= WRITE_BYTES { self.write(Flush::No).await } else { Ok(()) }
    }

    pub(super) fn is_checked(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.check.is_some())
    }

    /// What came in with a checksum counts from here on if it is complete and right; otherwise it is forgotten. Whether it
    /// counts.
    pub(super) async fn settle(&mut self, is_complete: bool) -> Result<bool> {
        if self.is_checked() && is_complete {
            self.write(Flush::No).await?;
        }
        let Some(inner) = &mut self.inner else { return Ok(is_complete) };
        let Some((check, before)) = inner.check.take() else { return Ok(is_complete) };
        if is_complete && check.matches() {
            return Ok(true);
        }
        self.gathered.clear();
        self.gathered_bytes = 0;
        self.written = before.offset;
        inner.file.set_len(before.offset)?;
        inner.file.seek(SeekFrom::Start(before.offset))?;
        inner.running = before;
        Ok(false)
    }

    /// Everything to the disk. The offset up to which it is there.
    pub(super) async fn flush(&mut self) -> Result<u64> {
        self.write(Flush::Yes).await?;
        Ok(self.written)
    }

    async fn write(&mut self, flush: Flush) -> Result<()> {
        let Some(Inner { mut file, mut running, mut check }) = self.inner.take() else {
            return Err(Error::Corrupt("the upload's file is lost after a failed write".into()));
        };
        let gathered = std::mem::take(&mut self.gathered);
        self.gathered_bytes = 0;
        let (inner, outcome) = spawn_blocking(move || -> (Option<Inner>, io::Result<()>) {
            let mut outcome = Ok(());
            for chunk in &gathered {
                outcome = write(&mut file, chunk);
                if outcome.is_err() {
                    // A full disk took a part of it: cut back to whole chunks, whose hash is known.
                    let _ = file.set_len(running.offset);
                    let _ = file.seek(SeekFrom::Start(running.offset));
                    break;
                }
                running.hash.update(chunk);
                if let Some((check, _)) = &mut check {
                    check.update(chunk);
                }
                running.offset += chunk.len() as u64;
            }
            if matches!(flush, Flush::Yes)
                && outcome.is_ok()
                && let Err(error) = sync(&file)
            {
                // The kernel says so once, and forgets: nothing that this file handle says later can be believed.
                return (None, Err(error));
            }
            (Some(Inner { file, running, check }), outcome)
        })
        .await?;
        if let Some(inner) = &inner {
            metrics::counter!("vwaza_upload_bytes_total").increment(inner.running.offset - self.written);
            self.written = inner.running.offset;
        }
        self.inner = inner;
        Ok(outcome?)
    }
}

fn write(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    fail::fail_point!("disk-full", |_| {
        file.write_all(&bytes[..bytes.len() / 2])?;
        Err(io::ErrorKind::StorageFull.into())
    });
    file.write_all(bytes)
}

fn sync(file: &File) -> io::Result<()> {
    fail::fail_point!("sync-fails", |_| Err(io::ErrorKind::StorageFull.into()));
    file.sync_data()
}

#[derive(Clone, Copy)]
enum Flush {
    Yes,
    No,
}

pub(super) fn hash_of_first(file: &mut File, length: u64) -> Result<RunningHash> {
    let mut hash = Sha256::new();
    file.seek(SeekFrom::Start(0))?;
    let read = io::copy(&mut file.take(length), &mut HashWriter(&mut hash))?;
    if read < length {
        return Err(Error::Corrupt(format!(
            "the spool holds {read} bytes of an upload of which {length} were acknowledged"
        )));
    }
    Ok(RunningHash { offset: length, hash })
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
