//! MP3: a few frames in a row show the sample rate of all frames.

use super::{Look, PartialFile, READ_BYTES, Stop, UNKNOWN_AUDIO, refused, rules};
use crate::domain::media::MpegFrame;

/// How many frames have to match. Two may match by chance; four don't.
const FRAMES_IN_A_ROW: usize = 4;

pub(super) fn check(file: &PartialFile, start: u64) -> Look {
    let bytes = file.read_up_to(start, READ_BYTES)?;
    if bytes.len() < MpegFrame::HEADER_BYTES {
        return Err(Stop::LeftToServer);
    }
    // Any amount of padding may stand in front of the first frame, and tags behind the padding.
    if bytes.starts_with(&[0]) {
        return Err(Stop::LeftToServer);
    }
    // A frame may begin with the last byte that was read.
    let begins_frame = |at: usize| bytes[at] == 0xFF && bytes.get(at + 1).is_none_or(|next| next & 0xE0 == 0xE0);
    if !(0..bytes.len()).any(begins_frame) {
        return refused(UNKNOWN_AUDIO);
    }
    let first = frame(file, start)?;
    let mut next = start;
    for _ in 0..FRAMES_IN_A_ROW {
        let found = frame(file, next)?;
        if (found.sample_rate_hz, found.layer) != (first.sample_rate_hz, first.layer) {
            return Err(Stop::LeftToServer);
        }
        next += found.bytes.ok_or(Stop::LeftToServer)?;
    }
    if first.layer != 3 {
        return refused("This is an MPEG file of layer I or II. Upload a WAV, FLAC or MP3 file.");
    }
    rules(first.channels, first.sample_rate_hz, None, None)
}

/// Parses the frame header at `offset`. Free format and bytes that are no frame are left to the server.
fn frame(file: &PartialFile, offset: u64) -> Look<MpegFrame> {
    MpegFrame::parse(file.read_array(offset)?).ok_or(Stop::LeftToServer)
}
