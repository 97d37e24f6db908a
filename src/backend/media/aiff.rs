//! Reads the header of an AIFF or AIFF-C. It resembles that of a WAV, but is big-endian and has the sample rate as an
//! 80-bit float.

use super::{
    Result, damaged,
    header::Header,
    incomplete,
    lengths::{self, Numbers},
    pcm::PcmLayout,
    refused,
    source::{Source, be16, be32},
    tags,
};
use crate::domain::{
    media::{AudioCodec, AudioContainer, PackagingNote, Tags, other_codec_in_aiff},
    problem::FileRefusal,
};

/// Maximum number of chunks: far more than any editor writes. Each chunk costs a read.
const MAX_CHUNKS: usize = 4096;

struct Common {
    channels: u16,
    frames: u32,
    bit_depth: u16,
    sample_rate_hz: u32,
    bytes_per_sample: u8,
    float: bool,
    big_endian: bool,
}

pub(super) fn header(source: &mut Source) -> Result<Header<PcmLayout>> {
    let compressed_form = source.read_array::<12>(0)?.is_some_and(|head| &head[8..] == b"AIFC");
    let mut common = None;
    let mut sound = None;
    let mut found = Tags::default();
    let mut has_id3 = false;
    let mut offset = 12;
    for _ in 0..MAX_CHUNKS {
        let Some(head) = source.read_array::<8>(offset)? else { break };
        let (id, size) = (&head[..4], be32(&head, 4));
        let body = offset + 8;
        match id {
            b"COMM" if common.is_none() => {
                common = Some(read_common(source.read_up_to(body, size.min(64) as usize)?, compressed_form)?);
            }
            b"SSND" if sound.is_none() => {
                // An offset and the size of a block stand before the samples.
                if lengths::is_unknown(source, body, size, Numbers { read: be32, no_sound: 8 })? {
                    return lengths::unknown("AIFF");
                }
                if body + u64::from(size) > source.length() {
                    return incomplete();
                }
                let skipped = source.read_array::<8>(body)?.map_or(0, |head| be32(&head, 0));
                let Some(bytes) = size.checked_sub(8).and_then(|rest| rest.checked_sub(skipped)) else {
                    return damaged("its header points to sound outside of the file");
                };
                sound = Some((body + 8 + u64::from(skipped), u64::from(bytes)));
            }
            b"NAME" | b"AUTH" => {
                let text = tags::text(source.read_up_to(body, size.min(1024) as usize)?);
                let said = if id == b"NAME" {
                    Tags { title: text, ..Tags::default() }
                } else {
                    Tags { artist: text, ..Tags::default() }
                };
                tags::merge(&mut found, said);
            }
            // Only the first one is read; others are not worth reading.
            b"ID3 " if !has_id3 => {
                has_id3 = true;
                tags::merge(&mut found, tags::id3_in(source, body..body + u64::from(size))?);
            }
            _ => {}
        }
        offset = body + u64::from(size) + u64::from(size % 2);
    }
    let Some(common) = common else { return damaged("its header does not name a sample format") };
    let Some((start, bytes)) = sound else { return incomplete() };
    let frame_bytes = u64::from(common.bytes_per_sample) * u64::from(common.channels.max(1));
    let declared_bytes = u64::from(common.frames) * frame_bytes;
    if declared_bytes > bytes {
        let is_unknown = [declared_bytes, common.frames.into()].into_iter().any(lengths::is_unknown_length);
        return if is_unknown { lengths::unknown("AIFF") } else { incomplete() };
    }
    let layout = PcmLayout {
        offset: start,
        // Players play all samples that are there. Some tools declare fewer.
        frames: bytes.checked_div(frame_bytes).unwrap_or(0),
        channels: common.channels,
        bytes_per_sample: common.bytes_per_sample,
        float: common.float,
        big_endian: common.big_endian,
    };
    Ok(Header {
        container: AudioContainer::Aiff,
        codec: AudioCodec::Pcm,
        sample_rate_hz: common.sample_rate_hz,
        channels: common.channels,
        bit_depth: Some(common.bit_depth),
        frames: Some(layout.frames),
        packaging: if common.float { vec![PackagingNote::FloatingPoint] } else { vec![] },
        tags: found,
        samples: layout,
    })
}

fn read_common(chunk: &[u8], compressed_form: bool) -> Result<Common> {
    if chunk.len() < if compressed_form { 22 } else { 18 } {
        return damaged("its header is cut short");
    }
    let bit_depth = be16(chunk, 6);
    let kind = if compressed_form { chunk[18..22].to_ascii_lowercase() } else { b"none".to_vec() };
    let (float, big_endian) = match kind.as_slice() {
        b"none" | b"twos" | b"in24" | b"in32" => (false, true),
        b"sowt" | b"42ni" | b"23ni" => (false, false),
        b"fl32" | b"fl64" => (true, true),
        // These samples are unsigned, and no rule accepts 8 bit.
        b"raw " if bit_depth <= 8 => (false, true),
        kind => return refused(FileRefusal::WrongKind, other_codec_in_aiff(kind)),
    };
    let bytes_per_sample = match (kind.as_slice(), bit_depth) {
        (b"fl32", _) => 4,
        (b"fl64", _) => 8,
        (_, 1..=8) => 1,
        (_, 9..=16) => 2,
        (_, 17..=24) => 3,
        (_, 25..=32) => 4,
        _ => return damaged("its header names an impossible sample size"),
    };
    Ok(Common {
        channels: be16(chunk, 0),
        frames: be32(chunk, 2),
        bit_depth: if float { u16::from(bytes_per_sample) * 8 } else { bit_depth },
        sample_rate_hz: extended_to_hz(&chunk[8..18]),
        bytes_per_sample,
        float,
        big_endian,
    })
}

/// Converts an IEEE 754 80-bit float to a whole number. Returns 0, which no rule accepts, for numbers that are
/// negative, fractional below 1 or huge.
fn extended_to_hz(bytes: &[u8]) -> u32 {
    let exponent = i32::from(be16(bytes, 0)) - 16_383;
    let mantissa = u64::from(be32(bytes, 2)) << 32 | u64::from(be32(bytes, 6));
    match u32::try_from(63 - exponent) {
        Ok(shift @ 32..=63) => u32::try_from(mantissa >> shift).unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_rates_are_read_from_their_odd_floats() {
        assert_eq!(extended_to_hz(&[0x40, 0x0E, 0xAC, 0x44, 0, 0, 0, 0, 0, 0]), 44_100);
        assert_eq!(extended_to_hz(&[0x40, 0x0F, 0xBB, 0x80, 0, 0, 0, 0, 0, 0]), 96_000);
        assert_eq!(extended_to_hz(&[0xFF; 10]), 0);
        assert_eq!(extended_to_hz(&[0; 10]), 0);
    }
}
