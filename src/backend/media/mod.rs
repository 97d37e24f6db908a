//! Validates and examines uploaded media: whether a file is what it claims to be, and what it contains.
//!
//! Every file passes two steps. [`validate_audio`] and [`validate_cover`] read only its headers, before the file is
//! stored: the kind, the limits, and whether the file is complete. [`examine_audio`] and [`examine_cover`] decode the
//! whole file afterwards. Both steps decide by content and ignore the name and the declared type of the file.
//!
//! All four functions block, bound their memory whatever the file declares, and do not panic. Their work grows with the
//! bytes of the file or with the duration of its sound, never with the product of two numbers from a header. Each of
//! them ends at its [`Deadline`].

mod aiff;
mod clipping;
mod colour;
mod cover;
mod deadline;
mod examine_audio;
mod examine_cover;
mod flac;
mod header;
mod jpeg;
mod jpeg_scans;
mod lengths;
mod listening;
mod meter;
mod mp3;
mod mp4;
mod pcm;
mod source;
mod tags;
mod tail;
mod true_peak;
mod validate;
mod wav;

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod cover_tests;
#[cfg(test)]
mod tests;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use thiserror::Error;

use crate::domain::{media::AudioRefusal, problem::FileRefusal};

pub use deadline::Deadline;
pub use examine_audio::examine_audio;
pub use examine_cover::{Thumbnail, examine_cover};
pub use listening::LISTENING_TYPE;
pub use validate::{ValidatedAudio, ValidatedCover, validate_audio, validate_cover};

/// The reason why a file is refused. The artist reads the message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Refusal {
    pub kind: FileRefusal,
    /// Says what is wrong and what to do, in one or two sentences.
    pub message: String,
}

/// The reasons why a validation or an examination ends without a result.
#[derive(Debug, Error)]
pub enum MediaError {
    /// The file is refused. This is final: another attempt at the same file does not help.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Reading the file failed, for example because of the disk. This says nothing about the file.
    #[error("reading the media file failed")]
    Io(#[source] io::Error),
    /// The work did not end before its [`Deadline`]. Either the file or a busy machine can be the reason.
    #[error("the time for this file is over")]
    OutOfTime,
}

impl From<io::Error> for MediaError {
    fn from(error: io::Error) -> Self {
        if deadline::is_out_of_time(&error) { Self::OutOfTime } else { Self::Io(error) }
    }
}

type Result<T> = std::result::Result<T, MediaError>;

fn refused<T>(kind: FileRefusal, message: impl Into<String>) -> Result<T> {
    Err(Refusal { kind, message: message.into() }.into())
}

fn too_large<T>(max: u64) -> Result<T> {
    refused(FileRefusal::TooLarge, crate::domain::media::too_large(max))
}

fn too_long<T>() -> Result<T> {
    refused(FileRefusal::OutsideLimits, AudioRefusal::TooLong.sentence())
}

fn empty<T>() -> Result<T> {
    refused(FileRefusal::Empty, "This file is empty. Choose another one.")
}

/// Refuses a file that ends before the end that its header declares.
fn incomplete<T>() -> Result<T> {
    refused(
        FileRefusal::Incomplete,
        "This file is incomplete: its end is missing. Export it again and upload the new file.",
    )
}

/// Refuses a file whose beginning is missing: its first frame or fragment is not the first one of the whole.
fn beginning_missing<T>() -> Result<T> {
    refused(
        FileRefusal::Incomplete,
        "This file is incomplete: its beginning is missing. Export it again and upload the new file.",
    )
}

/// Refuses a file that begins somewhere in a longer stream. Nothing shows whether its beginning was cut off or never
/// recorded.
fn begins_in_a_stream<T>() -> Result<T> {
    refused(
        FileRefusal::Incomplete,
        "This file begins in the middle of a longer stream: either its beginning was cut off, or it was recorded from a live \
         stream that had already begun. Export it as a file of its own and upload the new file.",
    )
}

/// Refuses a damaged file. `what` completes the sentence "This file is damaged: …".
fn damaged<T>(what: &str) -> Result<T> {
    refused(FileRefusal::Damaged, format!("This file is damaged: {what}. Export it again and upload the new file."))
}

/// Refuses a file that may be fine but that we cannot decode. `what` completes the sentence "We cannot decode this
/// file: …".
fn undecodable<T>(what: &str) -> Result<T> {
    refused(
        FileRefusal::CannotDecode,
        format!("We cannot decode this file: {what}. Export it as WAV or FLAC with 16 or 24 bit and upload that file."),
    )
}

/// Runs a third-party decoder. Returns None if it panics. A panic is the decoder's fault, and a further attempt at the
/// same file would panic again.
fn catch_decoder_panic<T>(decode: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(decode)).ok()
}
