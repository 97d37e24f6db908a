//! Is this file what it claims to be, and what is in it?
//!
//! Two looks at every file. [`validate_audio`] and [`validate_cover`] read headers only, before a file is stored: kind, limits, and
//! whether all of it is there. [`examine_audio`] and [`examine_cover`] decode all of it afterwards. Both go by content; a name
//! or a declared type is never asked. All of them block, use little memory whatever the file says, and do not panic. Their work
//! grows with the bytes of a file or with the length of its sound, never with the product of two numbers that a header names; and each
//! ends at its [`Deadline`].

mod aiff;
mod clipping;
mod colour;
mod cover;
mod deadline;
mod examine_audio;
mod examine_cover;
mod flac;
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

use crate::domain::media::AudioRefusal;

pub use deadline::Deadline;
pub use examine_audio::examine_audio;
pub use examine_cover::{Thumbnail, examine_cover};
pub use listening::LISTENING_TYPE;
pub use validate::{ValidatedAudio, ValidatedCover, validate_audio, validate_cover};

/// Why a file cannot be taken: the artist reads it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Refusal {
    /// 413 too large, 415 another kind of file, 422 the right kind, but not usable.
    pub status: u16,
    /// What is wrong and what to do, in a sentence or two.
    pub message: String,
}

#[derive(Debug, Error)]
pub enum MediaError {
    /// Final: the file will not get better.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The disk or the reading of it failed: says nothing about the file.
    #[error("reading the media file failed")]
    Io(#[source] io::Error),
    /// The work did not end before its [`Deadline`]. A busy machine may be the reason as well as the file.
    #[error("the time for this file is over")]
    OutOfTime,
}

impl From<io::Error> for MediaError {
    fn from(error: io::Error) -> Self {
        if deadline::is_out_of_time(&error) { Self::OutOfTime } else { Self::Io(error) }
    }
}

type Result<T> = std::result::Result<T, MediaError>;

fn refused<T>(status: u16, message: impl Into<String>) -> Result<T> {
    Err(Refusal { status, message: message.into() }.into())
}

fn too_large<T>(max: u64) -> Result<T> {
    refused(413, crate::domain::media::too_large(max))
}

fn too_long<T>() -> Result<T> {
    refused(422, AudioRefusal::TooLong.sentence())
}

fn empty<T>() -> Result<T> {
    refused(422, "This file is empty. Choose another one.")
}

/// The file ends before what its header promises.
fn incomplete<T>() -> Result<T> {
    refused(422, "This file is incomplete: its end is missing. Export it again and upload the new file.")
}

/// The file begins behind what its header promises.
fn beginning_missing<T>() -> Result<T> {
    refused(422, "This file is incomplete: its beginning is missing. Export it again and upload the new file.")
}

/// `what` completes "This file is damaged: …".
fn damaged<T>(what: &str) -> Result<T> {
    refused(422, format!("This file is damaged: {what}. Export it again and upload the new file."))
}

/// Refuses a file that may be fine, as the limit is ours. `what` completes "We cannot decode this file: …".
fn undecodable<T>(what: &str) -> Result<T> {
    refused(
        422,
        format!("We cannot decode this file: {what}. Export it as WAV or FLAC with 16 or 24 bit and upload that file."),
    )
}

/// Runs a decoder of others; None if it panics. That is the decoder's fault, and a further attempt at this file would end in it too.
fn catch_decoder_panic<T>(decode: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(decode)).ok()
}
