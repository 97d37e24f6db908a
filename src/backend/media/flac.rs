//! FLAC: a STREAMINFO block that knows everything, other blocks, then frames with checksums.

use super::{
    Result, damaged, incomplete,
    judge::{AudioHeader, Samples},
    source::{Source, be16, be32},
    tags,
};
use crate::domain::media::{AudioCodec, AudioContainer, Tags};

const MAX_BLOCKS: usize = 1024;
const STREAM_INFO: u8 = 0;
const VORBIS_COMMENT: u8 = 4;
const STREAM_INFO_BYTES: usize = 34;
/// Comments beyond this are lyrics and the like.
const COMMENT_READ_BYTES: usize = 256 * 1024;
/// More than any frame: 65,535 samples of 32 bit for 2 channels would be half of it.
const TAIL_BYTES: u64 = 1024 * 1024;
/// Chance makes one or two bytes look like a last frame; a file with more was made to keep us busy.
const MAX_CANDIDATES: usize = 64;
/// An ID3v1 tag, which some tools append to anything.
const ID3V1_BYTES: u64 = 128;

struct StreamInfo {
    max_block_samples: u16,
    sample_rate_hz: u32,
    channels: u16,
    bit_depth: u16,
    /// 0 if the encoder did not know.
    frames: u64,
}

/// `magic` is where "fLaC" stands.
pub(super) fn header(source: &mut Source, magic: u64, mut found: Tags) -> Result<AudioHeader> {
    let mut info = None;
    let mut raw_info = Vec::new();
    let mut offset = magic + 4;
    let mut first_frame = None;
    let mut has_comment = false;
    for _ in 0..MAX_BLOCKS {
        let Some(head) = source.array::<4>(offset)? else { return incomplete() };
        let (last, kind, size) = (head[0] & 0x80 != 0, head[0] & 0x7F, be32(&head, 0) & 0x00FF_FFFF);
        let body = offset + 4;
        match kind {
            STREAM_INFO if info.is_none() => {
                let Some(bytes) = source.array::<STREAM_INFO_BYTES>(body)? else { return incomplete() };
                info = Some(read_info(&bytes));
                raw_info = bytes.to_vec();
            }
            // There is one (RFC 9639, 8.6); others are not worth reading.
            VORBIS_COMMENT if !has_comment => {
                has_comment = true;
                let count = (size as usize).min(COMMENT_READ_BYTES);
                let Some(block) = source.copy(body, count)? else { return incomplete() };
                tags::fill(&mut found, tags::vorbis_comment(&block));
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
    let end = match source.array::<3>(source.length().saturating_sub(ID3V1_BYTES))? {
        Some(tag) if &tag == b"TAG" => source.length() - ID3V1_BYTES,
        _ => source.length(),
    };
    if start >= end {
        return incomplete();
    }
    if info.frames > 0 && !last_frame_is_there(source, start, end, &info)? {
        return incomplete();
    }
    let Some([0xFF, strategy @ (0xF8 | 0xF9)]) = source.array::<2>(start)? else {
        return damaged("there is no sound where it should begin");
    };
    if strategy == 0xF8 {
        // Blocks of one size, the last one shorter: some encoders count that one into the minimum, and then decoders do not
        // know what to multiply a frame's number with.
        raw_info.copy_within(2..4, 0);
    }
    // The decoder sees the description and the frames, never the pictures and comments between them.
    let mut head = b"fLaC\x80\x00\x00\x22".to_vec();
    head.extend(raw_info);
    Ok(AudioHeader {
        container: AudioContainer::Flac,
        codec: AudioCodec::Flac,
        sample_rate_hz: info.sample_rate_hz,
        channels: info.channels,
        bit_depth: Some(info.bit_depth),
        frames: (info.frames > 0).then_some(info.frames),
        packaging: vec![],
        tags: found,
        samples: Samples::Coded { head, start, end },
    })
}

fn read_info(block: &[u8]) -> StreamInfo {
    let packed = u64::from(be32(block, 10)) << 32 | u64::from(be32(block, 14));
    // 20 bits rate, 3 bits channels less one, 5 bits depth less one, 36 bits frames; all masked to fit.
    StreamInfo {
        max_block_samples: be16(block, 2),
        sample_rate_hz: (packed >> 44) as u32,
        channels: (packed >> 41 & 0x7) as u16 + 1,
        bit_depth: (packed >> 36 & 0x1F) as u16 + 1,
        frames: packed & 0xF_FFFF_FFFF,
    }
}

/// Whether the frame that holds the last declared sample is there to its last byte.
fn last_frame_is_there(source: &mut Source, first_frame: u64, end: u64, info: &StreamInfo) -> Result<bool> {
    let from = end.saturating_sub(TAIL_BYTES).max(first_frame);
    let Some(tail) = source.copy(from, usize::try_from(end.saturating_sub(from)).unwrap_or(0))? else {
        return Ok(false);
    };
    let is_last = |at: &usize| frame_end(&tail[*at..], info).is_some_and(|last_sample| last_sample >= info.frames);
    let mut candidates = (0..tail.len()).rev().filter(|at| tail[*at] == 0xFF).filter(is_last).take(MAX_CANDIDATES);
    Ok(candidates.any(|at| crc16(&tail[at..]) == 0))
}

/// The number of the sample behind the frame that begins here; None if no frame begins here.
fn frame_end(bytes: &[u8], info: &StreamInfo) -> Option<u64> {
    if bytes.len() < 6 || bytes[1] & 0xFE != 0xF8 || bytes[3] & 1 != 0 {
        return None;
    }
    let variable_blocks = bytes[1] & 1 == 1;
    let (block_code, rate_code) = (bytes[2] >> 4, bytes[2] & 0x0F);
    let (number, mut at) = coded_number(bytes, 4)?;
    let samples = match block_code {
        1 => 192,
        code @ 2..=5 => 576 << (code - 2),
        6 => u64::from(*bytes.get(at)?) + 1,
        7 => u64::from(be16(bytes, at)) + 1,
        code @ 8..=15 => 256 << (code - 8),
        _ => return None,
    };
    at += match block_code {
        6 => 1,
        7 => 2,
        _ => 0,
    };
    at += match rate_code {
        12 => 1,
        13 | 14 => 2,
        15 => return None,
        _ => 0,
    };
    if crc8(bytes.get(..at)?) != *bytes.get(at)? {
        return None;
    }
    let first = if variable_blocks { number } else { number.checked_mul(u64::from(info.max_block_samples))? };
    first.checked_add(samples)
}

/// A number coded like a UTF-8 character of up to seven bytes, and where it ends.
fn coded_number(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = *bytes.get(at)?;
    let length = first.leading_ones() as usize;
    if length == 0 {
        return Some((u64::from(first), at + 1));
    }
    if length == 1 || length > 7 {
        return None;
    }
    let mut number = u64::from(first & (0x7F_u8 >> length));
    for byte in bytes.get(at + 1..at + length)? {
        number = number << 6 | u64::from(byte & 0x3F);
    }
    Some((number, at + length))
}

/// Polynomial x⁸ + x² + x + 1 (FLAC specification, frame header).
fn crc8(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0, |crc, byte| (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x07 }))
}

/// Polynomial x¹⁶ + x¹⁵ + x² + 1 (FLAC specification, frame footer); 0 over a whole frame with its footer.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x8005 })
    })
}
