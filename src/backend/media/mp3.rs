//! MP3: frames that follow each other without an index, so they are counted. A minute of music is 2,300 of them.

use super::{
    Result, damaged, incomplete,
    judge::{AudioHeader, Samples},
    refused,
    source::{Source, be32},
    too_long,
};
use crate::domain::media::{AudioCodec, AudioContainer, MAX_TRACK_MS, Tags};

/// Some tools leave garbage or padding before the first frame.
const SEARCH_BYTES: u64 = 64 * 1024;
/// Frames in a row that make a file an MP3: two look alike by chance, four do not.
const FRAMES_IN_A_ROW: usize = 4;
/// What may follow the last frame: ID3v1, APE, Lyrics3, another ID3v2, padding.
const TAIL_MARKS: [&[u8]; 6] = [b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI", b"\0\0\0"];

#[derive(Clone, Copy, PartialEq, Eq)]
struct Frame {
    sample_rate_hz: u32,
    channels: u16,
    layer_three: bool,
    /// In the frame's stream: 1152 samples for MPEG-1, 576 for its successors at low rates.
    samples: u64,
    bytes: u64,
    /// Between the header and the data.
    side_bytes: u64,
}

/// None if there are no MPEG audio frames where they should be.
pub(super) fn header(source: &mut Source, id3_end: u64, tags: Tags) -> Result<Option<AudioHeader>> {
    let Some((start, first)) = find_first(source, id3_end)? else { return Ok(None) };
    if !first.layer_three {
        return refused(415, "This is an MPEG file of layer I or II. Upload a WAV, FLAC or MP3 file.");
    }
    let declared = declared_frames(source, start, &first)?;
    // One frame may be there only to declare how many follow it.
    let max_frames = u64::from(first.sample_rate_hz) * MAX_TRACK_MS.unsigned_abs() / 1000 / first.samples + 1;
    let mut offset = start;
    let mut count = 0_u64;
    loop {
        let Some(frame) = frame_at(source, offset)? else {
            if source.length() - offset < 4 && source.upto(offset, 1)? == [0xFF] {
                return incomplete();
            }
            if !tail_is_harmless(source, offset)? {
                return damaged("there is something else between its frames");
            }
            break;
        };
        if (frame.sample_rate_hz, frame.channels) != (first.sample_rate_hz, first.channels) {
            return damaged("its sample rate or its channels change in the middle");
        }
        if offset + frame.bytes > source.length() {
            return incomplete();
        }
        offset += frame.bytes;
        count += 1;
        if count > max_frames {
            return too_long();
        }
    }
    if let Some(declared) = declared {
        // The frame that declares is not one of those it counts.
        count -= 1;
        if count < declared {
            return incomplete();
        }
    }
    Ok(Some(AudioHeader {
        container: AudioContainer::Mp3,
        codec: AudioCodec::Mp3,
        sample_rate_hz: first.sample_rate_hz,
        channels: first.channels,
        bit_depth: None,
        frames: Some(count * first.samples),
        packaging: vec![],
        tags,
        samples: Samples::Coded { head: vec![], start, end: offset },
    }))
}

fn find_first(source: &mut Source, from: u64) -> Result<Option<(u64, Frame)>> {
    for offset in from..source.length().min(from + SEARCH_BYTES) {
        if let Some(first) = frame_at(source, offset)?
            && follows_through(source, offset, &first)?
        {
            return Ok(Some((offset, first)));
        }
    }
    Ok(None)
}

/// Whether several frames of one kind stand in a row, or fewer that end where the file ends.
fn follows_through(source: &mut Source, offset: u64, first: &Frame) -> Result<bool> {
    let mut next = offset + first.bytes;
    for seen in 1..FRAMES_IN_A_ROW {
        match frame_at(source, next)? {
            Some(frame) if frame.sample_rate_hz == first.sample_rate_hz && frame.layer_three == first.layer_three => {
                next += frame.bytes;
            }
            _ => return Ok(seen > 1 && next >= source.length()),
        }
    }
    Ok(true)
}

fn frame_at(source: &mut Source, offset: u64) -> Result<Option<Frame>> {
    Ok(source.array::<4>(offset)?.and_then(parse_frame))
}

/// ISO 11172-3 and 13818-3.
fn parse_frame(head: [u8; 4]) -> Option<Frame> {
    /// kbit/s by index, MPEG-1 layers I, II and III, then MPEG-2 layers I, and II and III.
    const BITRATES: [[u32; 14]; 5] = [
        [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
        [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    if head[0] != 0xFF || head[1] & 0xE0 != 0xE0 {
        return None;
    }
    let (version, layer) = (head[1] >> 3 & 3, head[1] >> 1 & 3);
    let mpeg1 = version == 3;
    let table = match (mpeg1, layer) {
        (_, 0) => return None,
        (true, 3) => 0,
        (true, 2) => 1,
        (true, _) => 2,
        (false, 3) => 3,
        (false, _) => 4,
    };
    let rate_divisor = match version {
        3 => 1,
        2 => 2,
        0 => 4,
        _ => return None,
    };
    let sample_rate_hz = [44_100, 48_000, 32_000].get(usize::from(head[2] >> 2 & 3))? / rate_divisor;
    // Index 0 is "free format", which no store and hardly a player takes.
    let bitrate = BITRATES[table].get(usize::from(head[2] >> 4).checked_sub(1)?)? * 1000;
    let padding = u32::from(head[2] >> 1 & 1);
    let channels = if head[3] >> 6 == 3 { 1 } else { 2 };
    let (samples, bytes) = match layer {
        3 => (384, (12 * bitrate / sample_rate_hz + padding) * 4),
        2 => (1152, 144 * bitrate / sample_rate_hz + padding),
        _ if mpeg1 => (1152, 144 * bitrate / sample_rate_hz + padding),
        _ => (576, 72 * bitrate / sample_rate_hz + padding),
    };
    let side_bytes = match (mpeg1, channels) {
        (true, 2) => 32,
        (true, _) | (false, 2) => 17,
        (false, _) => 9,
    };
    Some(Frame { sample_rate_hz, channels, layer_three: layer == 1, samples, bytes: u64::from(bytes), side_bytes })
}

/// What the "Xing" or "Info" mark in the first frame says how many follow it. Some(0) if it is there and does not say.
fn declared_frames(source: &mut Source, start: u64, first: &Frame) -> Result<Option<u64>> {
    let mark = source.array::<12>(start + 4 + first.side_bytes)?.unwrap_or_default();
    if &mark[..4] != b"Xing" && &mark[..4] != b"Info" {
        return Ok(None);
    }
    let says_frames = be32(&mark, 4) & 1 == 1;
    Ok(Some(if says_frames { u64::from(be32(&mark, 8)) } else { 0 }))
}

fn tail_is_harmless(source: &mut Source, offset: u64) -> Result<bool> {
    let tail = source.upto(offset, 16)?;
    Ok(tail.iter().all(|byte| *byte == 0) || TAIL_MARKS.iter().any(|mark| tail.starts_with(mark)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_a_common_file_is_understood() {
        let frame = parse_frame([0xFF, 0xFB, 0x92, 0x64]).unwrap();
        assert_eq!((frame.sample_rate_hz, frame.channels, frame.samples, frame.bytes), (44_100, 2, 1152, 418));
    }

    #[test]
    fn what_no_decoder_takes_is_no_frame() {
        assert!(parse_frame([0xFF, 0xFB, 0x02, 0x64]).is_none(), "free format");
        assert!(parse_frame([0xFF, 0xFB, 0xF2, 0x64]).is_none(), "bad bit rate");
        assert!(parse_frame([0xFF, 0xFB, 0x9E, 0x64]).is_none(), "reserved sample rate");
        assert!(parse_frame([0xFF, 0xF9, 0x92, 0x64]).is_none(), "reserved layer");
        assert!(parse_frame([0xFF, 0xEB, 0x92, 0x64]).is_none(), "reserved version");
    }
}
