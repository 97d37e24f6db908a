//! Tests files that are made to keep the server busy. Absurd files are refused, and the work on all others grows no
//! faster than their bytes.

mod deadlines;
mod mp4;
mod tags;

use std::{
    io::{self, Cursor, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use testing::fixtures as made;
use tokio_util::sync::DropGuard;

use super::{
    Deadline, MediaError, Refusal, catch_decoder_panic,
    source::Source,
    validate::{self, AudioHeader},
};
use crate::domain::media::{CoverFacts, MediaLimits};

const SECONDS: f64 = 1.0;
const RATE_HZ: u32 = 44_100;
const MB: usize = 1024 * 1024;
/// Bytes that reading headers may cost, however small the file is: a few windows of a source.
const FEW_READS: usize = 512 * 1024;

/// A file in memory that counts the bytes read from it.
struct Counted {
    file: Cursor<Vec<u8>>,
    bytes_read: Arc<AtomicU64>,
    /// Dropped once this many bytes are read.
    given_up: Option<(u64, DropGuard)>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        let read = self.bytes_read.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        drop(self.given_up.take_if(|(after, _)| read > *after));
        Ok(count)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Returns the outcome of the validation of a file, and the number of bytes that it read.
fn validated<T>(
    file: &[u8],
    validate: impl FnOnce(&mut Source) -> Result<T, MediaError>,
) -> (Result<T, MediaError>, usize) {
    let bytes_read = Arc::new(AtomicU64::new(0));
    let counted = Counted { file: Cursor::new(file.to_vec()), bytes_read: Arc::clone(&bytes_read), given_up: None };
    let result = validate(&mut Source::new(counted, &Deadline::never()).expect("reading from memory cannot fail"));
    (result, bytes_read.load(Ordering::Relaxed) as usize)
}

fn audio(file: &[u8]) -> (Result<AudioHeader, MediaError>, usize) {
    validated(file, |source| validate::audio_of(source, &MediaLimits::default()))
}

fn cover(file: &[u8]) -> (Result<CoverFacts, MediaError>, usize) {
    validated(file, |source| validate::cover_of(source, &MediaLimits::default()))
}

fn message<T>((result, _): (Result<T, MediaError>, usize)) -> String {
    match result {
        Err(MediaError::Refused(Refusal { kind, message })) if kind.status() == 422 => message,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("the file was taken"),
    }
}

#[test]
fn a_jpeg_in_many_pieces_is_refused() {
    let plain = made::cover_jpeg(640, 1);
    let (start, body) = plain.split_at(2);
    let (picture, end) = body.split_at(body.len() - 2);
    let segments = |count: usize| [start, &[0xFF, 0xFE, 0, 2].repeat(count), body].concat();
    let scan = [0xFF, 0xDA, 0, 8, 1, 1, 0, 1, 63, 0];
    let scans = |count: usize| [start, picture, &scan.repeat(count), end].concat();
    // A profile as large as the whole file has 576 parts, and thorough encoders write about 20 scans.
    cover(&segments(600)).0.expect("many parts of a profile are no reason to refuse a cover");
    cover(&scans(40)).0.expect("many scans are no reason to refuse a cover");
    assert!(message(cover(&segments(3000))).contains("too many pieces"));
    assert!(message(cover(&scans(200))).contains("100 progressive scans"));
    // Both are refused while the header is walked.
    let (result, bytes_read) = cover(&segments(5_000_000));
    assert!(result.is_err());
    assert!(bytes_read < FEW_READS, "{bytes_read}");
}

#[test]
fn a_decoder_that_panics_ends_in_no_answer() {
    assert_eq!(catch_decoder_panic(|| 7), Some(7));
    assert_eq!(catch_decoder_panic(|| -> u8 { panic!("as a decoder does that meets something unforeseen") }), None);
}
