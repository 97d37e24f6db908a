//! Recognizes lengths in the headers of WAV and AIFF that stand for "unknown". A program that writes to a pipe cannot
//! seek back to the header, so it writes a placeholder there. Players then play up to the end of the file, and nobody
//! can tell whether all of the sound is there.

use std::ops::RangeInclusive;

use super::{Result, refused, source::Source};
use crate::domain::problem::FileRefusal;

/// Lengths that stand for "unknown". They are ranges, because programs include or exclude the headers and round down to
/// a whole frame.
const UNKNOWN_LENGTHS: [RangeInclusive<u64>; 3] = [
    // SoX writes these in AIFF.
    0x7EFF_FFC0..=0x7F00_0040,
    // SoX and libsndfile write these in WAV: the highest signed number, and that number without its last page.
    0x7FFF_EFC0..=0x8000_0040,
    // ffmpeg and most other programs write these.
    0xFFFF_F000..=0xFFFF_FFFF,
];

/// How a format encodes its numbers, and the length of a sound chunk that holds no sound.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    pub(super) read: fn(&[u8], usize) -> u32,
    pub(super) no_sound: u32,
}

/// Whether the declared length of the sound chunk at `body` stands for "unknown".
pub(super) fn is_unknown(source: &mut Source, body: u64, length: u32, numbers: Numbers) -> Result<bool> {
    let (file_bytes, end) = (source.length(), body + u64::from(length));
    if length == u32::MAX {
        return Ok(true);
    }
    if length <= numbers.no_sound {
        let behind = body + u64::from(numbers.no_sound);
        return Ok(file_bytes > behind + 8 && !is_chunk(source, behind, numbers)?);
    }
    // Some programs write the length of the file, or the length from the header of the file.
    let is_of_file = [file_bytes, file_bytes.saturating_sub(8)].contains(&u64::from(length));
    Ok(end > file_bytes && (is_of_file || is_unknown_length(length.into())))
}

/// Whether a number of bytes or frames is one of those that stand for "unknown".
pub(super) fn is_unknown_length(bytes: u64) -> bool {
    UNKNOWN_LENGTHS.iter().any(|range| range.contains(&bytes))
}

/// Whether a chunk begins at `offset`: its name is text, and it ends in the file.
fn is_chunk(source: &mut Source, offset: u64, numbers: Numbers) -> Result<bool> {
    let file_bytes = source.length();
    Ok(source.read_array::<8>(offset)?.is_some_and(|head| {
        let ends = offset + 8 + u64::from((numbers.read)(&head, 4));
        head[..4].iter().all(|byte| matches!(byte, b' '..=b'~')) && ends <= file_bytes
    }))
}

pub(super) fn unknown<T>(container: &str) -> Result<T> {
    refused(
        FileRefusal::OutsideLimits,
        format!(
            "This {container} does not say how long it is. Its export may have been interrupted. Export it again and upload the \
             new file."
        ),
    )
}
