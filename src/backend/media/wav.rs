//! Reads the header of a WAV. It consists of RIFF chunks, of which `fmt ` says what the numbers in `data` mean.

use super::{
    Result, damaged,
    header::Header,
    incomplete,
    lengths::{self, Numbers},
    pcm::PcmLayout,
    refused,
    source::{Source, le16, le32},
    tags, undecodable,
};
use crate::domain::{
    media::{AudioCodec, AudioContainer, PackagingNote, Tags, other_codec_in_wav},
    problem::FileRefusal,
};

/// Maximum number of chunks: far more than any editor writes. Each chunk costs a read.
const MAX_CHUNKS: usize = 4096;

const FORMAT_PCM: u16 = 0x0001;
const FORMAT_FLOAT: u16 = 0x0003;
const FORMAT_EXTENSIBLE: u16 = 0xFFFE;
/// The bytes behind the format tag in the sub-format GUID of WAVE_FORMAT_EXTENSIBLE (ksmedia.h).
const SUB_FORMAT_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

struct Format {
    sample_rate_hz: u32,
    channels: u16,
    bit_depth: u16,
    bytes_per_sample: u8,
    float: bool,
    extensible: bool,
}

pub(super) fn header(source: &mut Source) -> Result<Header<PcmLayout>> {
    let mut format = None;
    let mut data = None;
    let mut trailing = false;
    let mut found = Tags::default();
    let (mut has_info, mut has_id3) = (false, false);
    let mut offset = 12;
    for _ in 0..MAX_CHUNKS {
        let Some(head) = source.read_array::<8>(offset)? else { break };
        let (id, size) = (&head[..4], le32(&head, 4));
        let body = offset + 8;
        trailing |= data.is_some();
        match id {
            b"fmt " if format.is_none() => format = Some(read_format(source.read_up_to(body, size.min(64) as usize)?)?),
            b"data" if data.is_none() => {
                if lengths::is_unknown(source, body, size, Numbers { read: le32, no_sound: 0 })? {
                    return lengths::unknown("WAV");
                }
                if body + u64::from(size) > source.length() {
                    return incomplete();
                }
                data = Some((body, u64::from(size)));
            }
            // Only the first chunk of each kind is read; others are not worth reading.
            b"LIST" if !has_info && source.read_array::<4>(body)?.is_some_and(|kind| &kind == b"INFO") => {
                has_info = true;
                tags::merge(&mut found, tags::riff_info(source.read_up_to(body, size as usize)?));
            }
            b"id3 " | b"ID3 " if !has_id3 => {
                has_id3 = true;
                tags::merge(&mut found, tags::id3_in(source, body..body + u64::from(size))?);
            }
            _ => {}
        }
        offset = body + u64::from(size) + u64::from(size % 2);
    }
    let Some(format) = format else { return damaged("its header does not name a sample format") };
    let Some((start, size)) = data else { return incomplete() };
    // One padding byte belongs to the samples. Anything more is trailing data.
    trailing |= source.length() > start + size + size % 2;

    let layout = PcmLayout {
        offset: start,
        frames: size / (u64::from(format.bytes_per_sample) * u64::from(format.channels.max(1))),
        channels: format.channels,
        bytes_per_sample: format.bytes_per_sample,
        float: format.float,
        big_endian: false,
    };
    let notes = [
        (format.extensible, PackagingNote::Extensible),
        (trailing, PackagingNote::TrailingData),
        (format.float, PackagingNote::FloatingPoint),
    ];
    Ok(Header {
        container: AudioContainer::Wav,
        codec: AudioCodec::Pcm,
        sample_rate_hz: format.sample_rate_hz,
        channels: format.channels,
        bit_depth: Some(format.bit_depth),
        frames: Some(layout.frames),
        packaging: notes.into_iter().filter_map(|(there, note)| there.then_some(note)).collect(),
        tags: found,
        samples: layout,
    })
}

fn read_format(chunk: &[u8]) -> Result<Format> {
    if chunk.len() < 16 {
        return damaged("its header is cut short");
    }
    let declared_tag = le16(chunk, 0);
    let bits = le16(chunk, 14);
    let extensible = declared_tag == FORMAT_EXTENSIBLE;
    let tag = match chunk.get(26..40) {
        Some(tail) if extensible && tail == SUB_FORMAT_TAIL => le16(chunk, 24),
        _ => declared_tag,
    };
    let float = tag == FORMAT_FLOAT;
    let bytes_per_sample = match (tag, bits) {
        (FORMAT_PCM, 1..=8) => 1,
        (FORMAT_PCM, 9..=16) => 2,
        (FORMAT_PCM, 17..=24) => 3,
        (FORMAT_PCM | FORMAT_FLOAT, 32) | (FORMAT_PCM, 25..=31) => 4,
        (FORMAT_FLOAT, 64) => 8,
        (FORMAT_PCM | FORMAT_FLOAT, _) => return damaged("its header names an impossible sample size"),
        _ => return refused(FileRefusal::WrongKind, other_codec_in_wav(tag, chunk.get(24..40))),
    };
    let channels = le16(chunk, 2);
    let frame_bytes = le16(chunk, 12);
    if bytes_per_sample == 3 && frame_bytes == channels.saturating_mul(4) {
        // Cool Edit wrote floating point like this. Other programs wrote whole numbers at either end of the 32 bits.
        return undecodable("its samples have 24 bits in 32, which programs read in different ways");
    }
    if frame_bytes != channels.saturating_mul(u16::from(bytes_per_sample)) {
        return damaged("the numbers in its header contradict each other");
    }
    // Extensible files may fill 24-bit containers with, say, 20 valid bits.
    let valid_bits = if extensible { le16(chunk, 18) } else { 0 };
    Ok(Format {
        sample_rate_hz: le32(chunk, 4),
        channels,
        bit_depth: if (1..=bits).contains(&valid_bits) { valid_bits } else { bits },
        bytes_per_sample,
        float,
        extensible,
    })
}
