//! Reads the header of a FLAC: a STREAMINFO block that describes the sound, then other blocks, then frames with numbers
//! and checksums.

mod decode;
mod exact;
mod frame;
mod frames;

use self::{exact::FrameFault, frame::Stream, frames::MAX_FRAME_BYTES};
use super::{
    Result, beginning_missing, damaged,
    header::Header,
    incomplete,
    source::{Source, be32},
    tags,
};
use crate::domain::media::{AudioCodec, AudioContainer, FlacFrame, Tags};

const MAX_BLOCKS: usize = 1024;
const STREAM_INFO: u8 = 0;
const VORBIS_COMMENT: u8 = 4;
/// Bytes at the end of the file in which the last frame is searched, because tags may stand behind it.
const MAX_TAIL_BYTES: u64 = tags::MAX_TAG_BYTES;
/// Maximum number of places that look like a last frame. Chance makes one or two; a file with more was made to keep the
/// server busy.
const MAX_CANDIDATES: usize = 64;

/// Location of the sound in the file, and the properties that its frames share.
pub(super) struct FlacLayout {
    stream: Stream,
    /// Offset of the first frame.
    start: u64,
}

/// Reads the header of a FLAC. `magic` is the offset of "fLaC".
pub(super) fn header(source: &mut Source, magic: u64, mut found: Tags) -> Result<Header<FlacLayout>> {
    let mut info = None;
    let mut offset = magic + 4;
    let mut first_frame = None;
    let mut has_comment = false;
    for _ in 0..MAX_BLOCKS {
        let Some(head) = source.read_array::<4>(offset)? else { return incomplete() };
        let (last, kind, size) = (head[0] & 0x80 != 0, head[0] & 0x7F, be32(&head, 0) & 0x00FF_FFFF);
        let body = offset + 4;
        match kind {
            STREAM_INFO if info.is_none() => {
                let Some(bytes) = source.read_array(body)? else { return incomplete() };
                info = Some(bytes);
            }
            // A FLAC has one comment block (RFC 9639, 8.6); others are not worth reading.
            VORBIS_COMMENT if !has_comment => {
                has_comment = true;
                tags::merge(&mut found, tags::vorbis_comment(source, body..body + u64::from(size))?);
            }
            _ => {}
        }
        offset = body + u64::from(size);
        if offset - magic > tags::MAX_TAG_BYTES {
            return tags::too_many_tags();
        }
        if last {
            first_frame = Some(offset);
            break;
        }
    }
    let (Some(info), Some(start)) = (info, first_frame) else { return damaged("its header has no end") };
    let first_frame = source.read_up_to(start, FlacFrame::MAX_HEADER_BYTES)?;
    let is_cut = first_frame.len() < FlacFrame::MAX_HEADER_BYTES;
    let Some(stream) = Stream::beginning_with(info, first_frame) else {
        return if is_cut { incomplete() } else { damaged("there is no sound where it should begin") };
    };
    if stream.frames.is_some() && !last_frame_is_there(source, start, &stream)? {
        // The frames of a piece that was cut out keep their numbers, and its header keeps the length of the whole.
        return if stream.first_number() > 0 { beginning_missing() } else { incomplete() };
    }
    Ok(Header {
        container: AudioContainer::Flac,
        codec: AudioCodec::Flac,
        sample_rate_hz: stream.sample_rate_hz,
        channels: stream.channels,
        bit_depth: Some(stream.bit_depth),
        frames: stream.frames,
        packaging: vec![],
        tags: found,
        samples: FlacLayout { stream, start },
    })
}

/// Whether the frame that holds the last declared sample is complete, whatever stands behind it. The examination checks
/// the checksum of the frame.
fn last_frame_is_there(source: &mut Source, first_frame: u64, stream: &Stream) -> Result<bool> {
    let frames = stream.frames.unwrap_or(u64::MAX);
    let lowest = source.length().saturating_sub(MAX_TAIL_BYTES).max(first_frame);
    let mut candidates_left = MAX_CANDIDATES;
    let mut end = source.length();
    while end > lowest && candidates_left > 0 {
        let start = end.saturating_sub(MAX_FRAME_BYTES as u64).max(lowest);
        let there = usize::try_from(source.length() - start).unwrap_or(usize::MAX).min(2 * MAX_FRAME_BYTES);
        let Some(bytes) = source.copy(start, there)? else { return Ok(false) };
        let here = usize::try_from(end - start).unwrap_or(usize::MAX);
        for at in (0..here).rev().filter(|at| bytes[*at] == 0xFF) {
            let Some(header) = stream.header(&bytes[at..]) else { continue };
            if stream.samples_until_end_of(&header) < frames {
                continue;
            }
            let frame = &bytes[at..bytes.len().min(at + MAX_FRAME_BYTES)];
            if !matches!(stream.frame_bytes(frame), Err(FrameFault::Cut)) {
                return Ok(true);
            }
            candidates_left -= 1;
            if candidates_left == 0 {
                break;
            }
        }
        end = start;
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
