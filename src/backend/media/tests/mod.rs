//! Tests the validation and the examination of every kind of file, good and bad.

mod any_bytes;
mod copies;
mod covers;
mod headers;
mod kinds;
mod lengths;

use std::path::PathBuf;

use tempfile::TempDir;

use super::{Deadline, MediaError, Refusal, examine_audio, validate_audio, validate_cover};
use crate::domain::media::{AudioFacts, MediaLimits, Peaks};

const SECONDS: f64 = 1.5;
const RATE_HZ: u32 = 44_100;

/// A file under a name that says nothing.
struct Spooled {
    path: PathBuf,
    /// Path of the listening copy, if the file gets one.
    copy: PathBuf,
    _folder: TempDir,
}

fn spool(bytes: &[u8]) -> Spooled {
    let folder = tempfile::tempdir().expect("a folder for a test");
    let path = folder.path().join("upload");
    std::fs::write(&path, bytes).expect("a file for a test");
    Spooled { path, copy: folder.path().join("copy"), _folder: folder }
}

impl Spooled {
    fn examined(&self) -> Result<(AudioFacts, Peaks), MediaError> {
        examine_audio(&self.path, &self.copy, &Deadline::never())
    }
}

fn refusal<T>(result: Result<T, MediaError>) -> Refusal {
    match result {
        Err(MediaError::Refused(refusal)) => refusal,
        Err(MediaError::Io(error)) => panic!("I/O failed: {error}"),
        Err(MediaError::OutOfTime) => panic!("there is no deadline"),
        Ok(_) => panic!("the file was taken"),
    }
}

fn audio_refusal(bytes: &[u8]) -> (u16, String) {
    let Refusal { kind, message } =
        refusal(validate_audio(&spool(bytes).path, &MediaLimits::default(), &Deadline::never()));
    (kind.status(), message)
}

fn cover_refusal(bytes: &[u8]) -> (u16, String) {
    let Refusal { kind, message } =
        refusal(validate_cover(&spool(bytes).path, &MediaLimits::default(), &Deadline::never()));
    (kind.status(), message)
}

fn examine(bytes: &[u8]) -> (AudioFacts, Peaks) {
    let spooled = spool(bytes);
    validate_audio(&spooled.path, &MediaLimits::default(), &Deadline::never()).expect("the file is accepted");
    spooled.examined().expect("the file decodes")
}
