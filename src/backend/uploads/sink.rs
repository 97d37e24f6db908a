//! Brings the bytes of an upload to the disk: gathers, writes, hashes and flushes them.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
};

use sha2::{Digest, Sha256};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{checksum::RunningChecksum, writers::RunningHash};
use crate::{
    backend::{Error, Result},
    domain::upload::Checksum,
};

/// The number of bytes that are gathered before they are written and hashed off the async threads. An upload holds
/// twice as many in memory.
const WRITE_BYTES: usize = 512 * 1024;
/// The number of written bytes after which a flush begins while more bytes arrive, so that the last flush has less to
/// do.
const FLUSH_AHEAD_BYTES: u64 = 2 * 1024 * 1024;

/// Appends to the file of an upload. Gathers chunks, and writes and hashes them off the async threads while the next
/// ones arrive.
pub(super) struct Sink {
    /// `None` while a blocking thread has it, and after that thread died or a flush failed.
    inner: Option<Inner>,
    writing: Option<JoinHandle<(Option<Inner>, io::Result<()>)>>,
    /// The gathered bytes, copied: a chunk of a few bytes would keep all of the buffer that it came in.
    gathered: Vec<u8>,
    /// The offset of the next chunk.
    position: u64,
    written: u64,
    flushing_ahead: Option<JoinHandle<io::Result<()>>>,
    flushed_ahead: u64,
    /// Whether arriving bytes count only once their checksum is verified.
    has_checksum: bool,
}

/// How much of the spool's disk an upload may take.
///
/// The files of an artist that are not stored yet may take at most as many bytes as are left for everybody else. So
/// something is left for one more artist, however many artists use up their shares. One file by itself may take
/// everything above the reserve.
///
/// Source of the rule: A. K. Choudhury and E. L. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet
/// Switches" (1998).
#[derive(Clone, Copy)]
pub(super) struct DiskAllowance {
    /// The bytes that stay free for whatever else is on the disk.
    pub(super) reserve_bytes: u64,
    /// Bytes of the same artist's other uploads in the spool.
    pub(super) others_bytes: u64,
}

impl DiskAllowance {
    /// Checks whether more bytes may be written.
    ///
    /// # Errors
    /// `StorageFull`, with [`SpoolShareTaken`] inside if other artists may still write.
    fn check(self, file: &File, own_bytes: u64) -> io::Result<()> {
        let Some(free) = free_bytes(file)?.checked_sub(self.reserve_bytes) else {
            return Err(io::ErrorKind::StorageFull.into());
        };
        if self.others_bytes > 0 && self.others_bytes + own_bytes > free {
            return Err(io::Error::new(io::ErrorKind::StorageFull, SpoolShareTaken));
        }
        Ok(())
    }
}

/// The uploads of one artist have used up their share of the spool's disk.
#[derive(Debug, thiserror::Error)]
#[error("the artist's uploads take as much of the spool's disk as is left for everybody else")]
pub(in crate::backend) struct SpoolShareTaken;

struct Inner {
    file: File,
    running: RunningHash,
    allowance: DiskAllowance,
    /// The checksum of the arriving bytes, and the hash of the bytes before them.
    check: Option<(RunningChecksum, RunningHash)>,
}

impl Sink {
    /// Opens the file and truncates it to the acknowledged bytes. With a checksum, arriving bytes count only once they
    /// are verified. Nothing is written while less than the reserve is free on the disk.
    ///
    /// # Errors
    /// `BytesLost` if the file has fewer than `offset` bytes.
    pub(super) async fn open(
        path: std::path::PathBuf,
        offset: u64,
        running: RunningHash,
        checksum: Option<Checksum>,
        allowance: DiskAllowance,
    ) -> Result<Self> {
        let has_checksum = checksum.is_some();
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
                // A new file survives a crash only once its folder is flushed.
                if let Some(folder) = path.parent() {
                    File::open(folder)?.sync_all()?;
                }
            }
            if file.metadata()?.len() > offset {
                file.set_len(offset)?;
            }
            let running = if running.offset == offset { running } else { hash_of_first(&mut file, offset)? };
            file.seek(SeekFrom::Start(offset))?;
            let check = checksum.map(|checksum| (RunningChecksum::of(checksum), running.clone()));
            Ok::<_, Error>(Inner { file, running, allowance, check })
        })
        .await??;
        Ok(Self {
            inner: Some(inner),
            writing: None,
            gathered: Vec::with_capacity(WRITE_BYTES),
            position: offset,
            written: offset,
            flushing_ahead: None,
            flushed_ahead: offset,
            has_checksum,
        })
    }

    /// The offset behind all bytes that are written, being written or gathered.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn running(self) -> RunningHash {
        self.inner.map(|inner| inner.running).unwrap_or_default()
    }

    pub(super) async fn push(&mut self, mut chunk: &[u8]) -> Result<()> {
        while !chunk.is_empty() {
            let (fits, rest) = chunk.split_at(chunk.len().min(WRITE_BYTES - self.gathered.len()));
            self.gathered.extend_from_slice(fits);
            self.position += fits.len() as u64;
            chunk = rest;
            if self.gathered.len() == WRITE_BYTES {
                self.end_write().await?;
                self.flush_ahead().await?;
                self.begin_write(Flush::No).await?;
            }
        }
        Ok(())
    }

    /// Ends the body. Bytes with a checksum are written now, to be verified. Other bytes are written by the flush.
    pub(super) async fn complete(&mut self) -> Result<()> {
        if self.has_checksum {
            self.begin_write(Flush::No).await?;
            self.end_write().await?;
        }
        Ok(())
    }

    pub(super) fn has_checksum(&self) -> bool {
        self.has_checksum
    }

    /// Verifies the checksum. Bytes that came with a checksum count if they are complete, written and correct.
    /// Otherwise they are removed from the file. Returns whether the bytes count.
    pub(super) async fn verify_checksum(&mut self, is_complete: bool) -> Result<bool> {
        if !self.has_checksum {
            return Ok(is_complete);
        }
        let is_complete = self.end_write().await.is_ok() && is_complete;
        let Some(inner) = &mut self.inner else { return Ok(false) };
        let Some((check, before)) = inner.check.take() else { return Ok(is_complete) };
        if is_complete && check.matches() {
            return Ok(true);
        }
        (self.position, self.written) = (before.offset, before.offset);
        inner.file.set_len(before.offset)?;
        inner.file.seek(SeekFrom::Start(before.offset))?;
        inner.running = before;
        self.clear_gathered();
        Ok(false)
    }

    /// Writes and flushes all bytes. Returns the offset up to which they are on the disk.
    pub(super) async fn flush(&mut self) -> Result<u64> {
        self.begin_write(Flush::Yes).await?;
        // Another flush may be under way, and either may be told of an error.
        let written = self.end_write().await;
        self.end_flush_ahead().await?;
        written?;
        Ok(self.written)
    }

    async fn begin_write(&mut self, flush: Flush) -> Result<()> {
        self.end_write().await?;
        let Some(mut inner) = self.inner.take() else {
            return Err(Error::Corrupt("the upload's file is lost after a failed write".into()));
        };
        let gathered = std::mem::replace(&mut self.gathered, Vec::with_capacity(WRITE_BYTES));
        self.writing = Some(spawn_blocking(move || {
            let mut outcome = inner.write(&gathered);
            if matches!(flush, Flush::Yes) && outcome.is_ok() {
                outcome = sync(&inner.file);
                if outcome.is_err() {
                    // The kernel reports a failed flush only once. Nothing that this file handle says later can be
                    // trusted.
                    return (None, outcome);
                }
            }
            (Some(inner), outcome)
        }));
        Ok(())
    }

    async fn end_write(&mut self) -> Result<()> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let (inner, outcome) = writing.await?;
        if let Some(inner) = &inner {
            metrics::counter!("vwaza_upload_bytes_total").increment(inner.running.offset - self.written);
            self.written = inner.running.offset;
        }
        self.inner = inner;
        if outcome.is_err() {
            // The gathered bytes would stand behind a gap.
            self.clear_gathered();
        }
        Ok(outcome?)
    }

    /// Begins to flush the written bytes, if there are enough of them and no flush is under way.
    async fn flush_ahead(&mut self) -> Result<()> {
        let is_busy = self.flushing_ahead.as_ref().is_some_and(|flushing| !flushing.is_finished());
        if is_busy || self.written < self.flushed_ahead + FLUSH_AHEAD_BYTES {
            return Ok(());
        }
        self.end_flush_ahead().await?;
        // Best effort: the flush that counts comes last.
        if let Some(Ok(file)) = self.inner.as_ref().map(|inner| inner.file.try_clone()) {
            self.flushed_ahead = self.written;
            self.flushing_ahead = Some(spawn_blocking(move || sync(&file)));
        }
        Ok(())
    }

    async fn end_flush_ahead(&mut self) -> Result<()> {
        let Some(flushing) = self.flushing_ahead.take() else { return Ok(()) };
        let outcome = flushing.await?;
        if outcome.is_err() {
            // The kernel reports the error once for all handles of the file.
            self.inner = None;
        }
        Ok(outcome?)
    }

    fn clear_gathered(&mut self) {
        self.gathered.clear();
    }
}

impl Inner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.allowance.check(&self.file, self.running.offset)?;
        if let Err(error) = write(&mut self.file, bytes) {
            // A full disk may have taken a part of the bytes. The file is truncated to those that are hashed.
            let _ = self.file.set_len(self.running.offset);
            let _ = self.file.seek(SeekFrom::Start(self.running.offset));
            return Err(error);
        }
        self.running.hash.update(bytes);
        if let Some((check, _)) = &mut self.check {
            check.update(bytes);
        }
        self.running.offset += bytes.len() as u64;
        Ok(())
    }
}

fn free_bytes(file: &File) -> io::Result<u64> {
    fail::fail_point!("spool-free", |bytes| Ok(bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)));
    let disk = rustix::fs::fstatvfs(file)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
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
    fail::fail_point!("hashing-again");
    let mut hash = Sha256::new();
    file.seek(SeekFrom::Start(0))?;
    let read = io::copy(&mut file.take(length), &mut HashWriter(&mut hash))?;
    if read < length {
        return Err(Error::BytesLost { offset: length });
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
