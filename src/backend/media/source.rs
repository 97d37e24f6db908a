//! Gives random access to a file that is not trusted. Every read says how many bytes it wants and learns whether they
//! are there.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

use super::deadline::Deadline;
pub(super) use crate::domain::media::mp4_description::{be16, be32};

/// Size of one read. Headers lie close together, so one read serves many requests.
const WINDOW_BYTES: usize = 64 * 1024;

pub(super) trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

pub(super) struct Source {
    inner: Box<dyn ReadSeek>,
    length: u64,
    window: Vec<u8>,
    window_start: u64,
    /// Checked before each read, so that every walk through a file is bounded.
    deadline: Deadline,
}

impl Source {
    pub(super) fn open(path: &Path, deadline: &Deadline) -> io::Result<Self> {
        Self::new(File::open(path)?, deadline)
    }

    pub(super) fn new(mut inner: impl ReadSeek + 'static, deadline: &Deadline) -> io::Result<Self> {
        let length = inner.seek(SeekFrom::End(0))?;
        Ok(Self { inner: Box::new(inner), length, window: Vec::new(), window_start: 0, deadline: deadline.clone() })
    }

    /// Number of bytes in the file, whatever a header declares.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Reads `N` bytes at `offset`. Returns None if the file ends before.
    pub(super) fn read_array<const N: usize>(&mut self, offset: u64) -> io::Result<Option<[u8; N]>> {
        Ok(self.slice(offset, N)?.and_then(|bytes| bytes.try_into().ok()))
    }

    /// Reads up to `max` bytes at `offset`, but at most [`WINDOW_BYTES`]. Returns fewer at the end of the file.
    pub(super) fn read_up_to(&mut self, offset: u64, max: usize) -> io::Result<&[u8]> {
        let there = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        Ok(self.slice(offset, max.min(there).min(WINDOW_BYTES))?.unwrap_or_default())
    }

    /// Copies `count` bytes at `offset`. Returns None if the file ends before. This is for the few reads that may be
    /// longer than a window. The caller bounds `count`.
    pub(super) fn copy(&mut self, offset: u64, count: usize) -> io::Result<Option<Vec<u8>>> {
        if !self.holds(offset, count) {
            return Ok(None);
        }
        self.deadline.check()?;
        let mut bytes = vec![0; count];
        self.inner.seek(SeekFrom::Start(offset))?;
        self.inner.read_exact(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Appends the `count` bytes at `offset` to `bytes`. The caller ensures that they exist, and bounds their number.
    pub(super) fn append(&mut self, offset: u64, count: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        self.deadline.check()?;
        let start = bytes.len();
        bytes.resize(start + count, 0);
        self.inner.seek(SeekFrom::Start(offset))?;
        self.inner.read_exact(&mut bytes[start..])
    }

    /// Copies the bytes of `range`. Returns None if the file ends before. Ranges larger than the window bypass it. The
    /// caller bounds their length.
    pub(super) fn bytes(&mut self, range: Range<u64>) -> io::Result<Option<Vec<u8>>> {
        let count = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        if count > WINDOW_BYTES {
            return self.copy(range.start, count);
        }
        Ok(self.slice(range.start, count)?.map(<[u8]>::to_vec))
    }

    fn holds(&self, offset: u64, count: usize) -> bool {
        offset.checked_add(count as u64).is_some_and(|end| end <= self.length)
    }

    fn slice(&mut self, offset: u64, count: usize) -> io::Result<Option<&[u8]>> {
        if !self.holds(offset, count) {
            return Ok(None);
        }
        let window_end = self.window_start + self.window.len() as u64;
        if offset < self.window_start || offset + count as u64 > window_end {
            self.deadline.check()?;
            let there = usize::try_from(self.length - offset).unwrap_or(usize::MAX);
            self.window.resize(there.min(WINDOW_BYTES), 0);
            self.inner.seek(SeekFrom::Start(offset))?;
            self.inner.read_exact(&mut self.window)?;
            self.window_start = offset;
        }
        let from = usize::try_from(offset - self.window_start).unwrap_or(usize::MAX);
        Ok(self.window.get(from..from.saturating_add(count)))
    }
}

/// Reads a little-endian number at `at`, like the functions for big-endian ones. All return 0 where bytes are missing,
/// which every caller refuses or ignores.
pub(super) fn le16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes)
}

pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}
