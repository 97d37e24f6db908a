//! The precheck: reads a file's header before the upload, so that nobody sends a gigabyte only to learn that the file
//! is of the wrong kind.
//!
//! The server refuses every file that the precheck refuses, in the same words unless the file is also damaged. The
//! precheck leaves incomplete and rare files to the server. The caller reads the bytes: the precheck asks for the ones
//! that it needs next, a few at a time.

mod mp3;
mod mp4;

use std::ops::Range;

use super::{
    UNKNOWN_AUDIO, audio_refusal, behind_id3_tag, cover_refusal, other_audio, other_codec_in_aiff, other_codec_in_wav,
    other_picture,
};
use crate::domain::upload::UploadKind;

/// How many bytes the precheck asks for at once. Headers lie close together.
const READ_BYTES: u64 = 64 * 1024;
/// How many bytes at the start of a file show its kind.
const START_BYTES: u64 = 512;
/// How many pieces (chunks of a WAV, segments of a JPEG) the precheck walks through. Real files have fewer before the
/// one that counts.
const MAX_PIECES: usize = 256;
/// How many ID3v2 tags before the sound the precheck skips.
const MAX_STACKED_TAGS: usize = 4;

/// A file of which some parts are known.
#[derive(Clone, Debug)]
pub struct PartialFile {
    length: u64,
    parts: Vec<(u64, Vec<u8>)>,
}

/// The result of a precheck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precheck {
    /// The caller has to read these bytes first. They lie within the file.
    Reads(Range<u64>),
    /// The server would refuse the file, for this reason in its words.
    Refused(String),
    /// The precheck found no reason to refuse the file.
    Passed,
}

/// Runs the precheck on the known parts of a file. If it needs more, it returns [`Precheck::Reads`], each time with
/// another range.
pub fn precheck(kind: UploadKind, file: &PartialFile) -> Precheck {
    let looked = match kind {
        UploadKind::Audio => audio(file),
        UploadKind::Cover => cover(file),
    };
    match looked {
        Err(Stop::Reads(offset)) => Precheck::Reads(offset..file.length.min(offset.saturating_add(READ_BYTES))),
        Err(Stop::Refused(message)) => Precheck::Refused(message),
        Ok(()) | Err(Stop::LeftToServer) => Precheck::Passed,
    }
}

/// Why the precheck ends early.
enum Stop {
    Reads(u64),
    Refused(String),
    /// The file ends too early, or is of a kind that the precheck doesn't know.
    LeftToServer,
}

type Look<T = ()> = Result<T, Stop>;

fn refused<T>(message: impl Into<String>) -> Look<T> {
    Err(Stop::Refused(message.into()))
}

impl PartialFile {
    /// A file of `length` bytes with no known parts.
    pub fn new(length: u64) -> Self {
        Self { length, parts: Vec::new() }
    }

    /// Adds the bytes from `offset` on.
    pub fn add(&mut self, offset: u64, bytes: Vec<u8>) {
        self.parts.push((offset, bytes));
    }

    fn read_array<const N: usize>(&self, offset: u64) -> Look<[u8; N]> {
        self.slice(offset, N as u64)?.try_into().map_err(|_| Stop::LeftToServer)
    }

    /// Reads up to `count` bytes (at most [`READ_BYTES`]), fewer at the end of the file.
    fn read_up_to(&self, offset: u64, count: u64) -> Look<&[u8]> {
        self.slice(offset, count.min(self.length.saturating_sub(offset)))
    }

    fn slice(&self, offset: u64, count: u64) -> Look<&[u8]> {
        let end = offset.checked_add(count).filter(|end| *end <= self.length).ok_or(Stop::LeftToServer)?;
        if count == 0 {
            return Ok(&[]);
        }
        let known = self.parts.iter().find_map(|(start, bytes)| {
            let (from, to) = (offset.checked_sub(*start)?, end.checked_sub(*start)?);
            bytes.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
        });
        known.ok_or(Stop::Reads(offset))
    }
}

fn audio(file: &PartialFile) -> Look {
    let sound = behind_id3(file)?;
    let start = file.read_up_to(sound, START_BYTES)?;
    if start.starts_with(b"fLaC") {
        return flac(file, sound);
    }
    if let Some(other) = other_audio(start) {
        return refused(format!("This is {other}. Upload a WAV, FLAC, AIFF, ALAC, AAC (M4A) or MP3 file."));
    }
    let name = match (start.get(..4), start.get(4..8), start.get(8..12)) {
        (Some(b"RIFF"), _, Some(b"WAVE")) if sound == 0 => return wav(file),
        (Some(b"FORM"), _, Some(form @ (b"AIFF" | b"AIFC"))) if sound == 0 => return aiff(file, form == b"AIFC"),
        // Old QuickTime files may begin with any of these boxes.
        (_, Some(b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free" | b"skip" | b"pnot"), _) if sound == 0 => {
            return mp4::check(file);
        }
        (Some(b"RIFF"), _, Some(b"WAVE")) => "WAV",
        (Some(b"FORM"), _, Some(b"AIFF" | b"AIFC")) => "AIFF",
        (_, Some(b"ftyp"), _) => "MP4",
        (Some(b"RIFF" | b"FORM"), ..) => return Err(Stop::LeftToServer),
        _ => return mp3::check(file, sound),
    };
    refused(behind_id3_tag(name))
}

fn rules(channels: u16, sample_rate_hz: u32, bit_depth: Option<u16>, frames: Option<u64>) -> Look {
    match audio_refusal(channels, sample_rate_hz, bit_depth, frames) {
        Some(refusal) => refused(refusal.sentence()),
        None => Ok(()),
    }
}

/// Finds the offset at which the sound may begin: after the ID3v2 tags (id3.org, "ID3v2 header").
fn behind_id3(file: &PartialFile) -> Look<u64> {
    const HEADER_BYTES: u64 = 10;
    let mut end = 0;
    for _ in 0..MAX_STACKED_TAGS {
        let head = file.read_up_to(end, HEADER_BYTES)?;
        let [b'I', b'D', b'3', 2..=4, _, flags, size @ ..] = head else { break };
        let footer = if flags & 0x10 == 0 { 0 } else { HEADER_BYTES };
        end += HEADER_BYTES + size.iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7F)) + footer;
    }
    Ok(end)
}

fn wav(file: &PartialFile) -> Look {
    const PCM: u16 = 1;
    const FLOAT: u16 = 3;
    const EXTENSIBLE: u16 = 0xFFFE;
    /// The bytes behind the format tag in the sub-format GUID of WAVE_FORMAT_EXTENSIBLE (ksmedia.h).
    const SUB_FORMAT_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];
    let (mut format, mut data_bytes) = (None, None);
    let mut offset = 12;
    for _ in 0..MAX_PIECES {
        let [a, b, c, d, size @ ..] = file.read_array::<8>(offset)?;
        let (size, body) = (u32::from_le_bytes(size), offset + 8);
        match &[a, b, c, d] {
            b"fmt " if format.is_none() => {
                let chunk = file.read_up_to(body, u64::from(size.min(40)))?;
                let tag = le16(chunk, 0)?;
                let (channels, hz, bits) = (le16(chunk, 2)?, le32(chunk, 4)?, le16(chunk, 14)?);
                let is_extensible = tag == EXTENSIBLE;
                let tag = match chunk.get(26..40) {
                    Some(tail) if is_extensible && tail == SUB_FORMAT_TAIL => le16(chunk, 24)?,
                    _ => tag,
                };
                if tag != PCM && tag != FLOAT {
                    return refused(other_codec_in_wav(tag, chunk.get(24..40)));
                }
                let bytes = match (tag, bits) {
                    (PCM, 1..=32) => bits.div_ceil(8),
                    (FLOAT, 32 | 64) => bits / 8,
                    _ => return Err(Stop::LeftToServer),
                };
                if le16(chunk, 12)? != channels.saturating_mul(bytes) {
                    return Err(Stop::LeftToServer);
                }
                let valid = if is_extensible { le16(chunk, 18)? } else { 0 };
                let bits_heard = if (1..=bits).contains(&valid) { valid } else { bits };
                rules(channels, hz, Some(bits_heard), None)?;
                format = Some((channels, hz, u64::from(bytes) * u64::from(channels)));
            }
            // The file is incomplete, or its export was interrupted. The server's refusal says so.
            b"data" if body + u64::from(size) > file.length || size == 0 && file.length > body + 8 => {
                return Err(Stop::LeftToServer);
            }
            b"data" if data_bytes.is_none() => data_bytes = Some(u64::from(size)),
            _ => {}
        }
        if let (Some((channels, hz, frame_bytes)), Some(bytes)) = (format, data_bytes) {
            return rules(channels, hz, None, bytes.checked_div(frame_bytes));
        }
        offset = body + u64::from(size) + u64::from(size % 2);
    }
    Ok(())
}

fn aiff(file: &PartialFile, has_kind: bool) -> Look {
    let mut offset = 12;
    for _ in 0..MAX_PIECES {
        let [a, b, c, d, size @ ..] = file.read_array::<8>(offset)?;
        let (size, body) = (u32::from_be_bytes(size), offset + 8);
        if &[a, b, c, d] == b"COMM" {
            let chunk = file.read_up_to(body, u64::from(size.min(22)))?;
            let (channels, frames, bits) = (be16(chunk, 0)?, be32(chunk, 2)?, be16(chunk, 6)?);
            let kind = match chunk.get(18..22) {
                Some(kind) if has_kind => kind.to_ascii_lowercase(),
                _ if has_kind => return Err(Stop::LeftToServer),
                _ => b"none".to_vec(),
            };
            let bits = match kind.as_slice() {
                b"none" | b"twos" | b"sowt" | b"in24" | b"in32" | b"42ni" | b"23ni" => bits,
                b"raw " if bits <= 8 => bits,
                b"fl32" => 32,
                b"fl64" => 64,
                kind => return refused(other_codec_in_aiff(kind)),
            };
            if !matches!(bits, 1..=32 | 64) {
                return Err(Stop::LeftToServer);
            }
            // Some tools write 0, and some write more samples than the file holds. The server counts the samples
            // itself.
            let frames = u64::from(frames);
            let is_there = frames * u64::from(channels) * u64::from(bits.div_ceil(8)) <= file.length;
            // The rate is an 80-bit float. For an integer number of Hz, the exponent says how far to shift the mantissa
            // right.
            let exponent = i32::from(be16(chunk, 8)?) - 16_383;
            let Ok(shift @ 32..=63) = u32::try_from(63 - exponent) else { return Err(Stop::LeftToServer) };
            let hz = be32(chunk, 10)? >> (shift - 32);
            return rules(channels, hz, Some(bits), (frames > 0 && is_there).then_some(frames));
        }
        offset = body + u64::from(size) + u64::from(size % 2);
    }
    Ok(())
}

/// Checks STREAMINFO, which is always the first metadata block (RFC 9639, 8.2).
fn flac(file: &PartialFile, magic: u64) -> Look {
    let [kind, ..] = file.read_array::<4>(magic + 4)?;
    if kind & 0x7F != 0 {
        return Err(Stop::LeftToServer);
    }
    // 20 bits sample rate, 3 bits channels minus 1, 5 bits depth minus 1, 36 bits sample count (0 if the encoder didn't
    // know it).
    let packed = u64::from_be_bytes(file.read_array(magic + 18)?);
    let frames = packed & 0xF_FFFF_FFFF;
    let part = |shift: u32, mask: u64| (packed >> shift & mask) as u32;
    let (channels, bits) = (part(41, 0x7) as u16 + 1, part(36, 0x1F) as u16 + 1);
    rules(channels, part(44, 0xF_FFFF), Some(bits), (frames > 0).then_some(frames))
}

fn cover(file: &PartialFile) -> Look {
    let start = file.read_up_to(0, START_BYTES)?;
    if start.starts_with(b"\x89PNG\r\n\x1A\n") {
        let ihdr = start.get(12..24).filter(|ihdr| ihdr.starts_with(b"IHDR")).ok_or(Stop::LeftToServer)?;
        square(be32(ihdr, 4)?, be32(ihdr, 8)?)
    } else if start.starts_with(b"\xFF\xD8\xFF") {
        jpeg(file)
    } else {
        refused(format!("This is {}. Export the cover as JPEG or PNG.", other_picture(start)))
    }
}

/// Walks from marker to marker to the frame header, which holds the size of the picture.
fn jpeg(file: &PartialFile) -> Look {
    let mut offset = 2;
    for _ in 0..MAX_PIECES {
        let [lead, marker, size @ ..] = file.read_array::<4>(offset)?;
        match (lead, marker) {
            // A fill byte before a marker.
            (0xFF, 0xFF) => offset += 1,
            (0xFF, 0xC0..=0xC2) => {
                let frame @ [bits, ..] = file.read_array::<6>(offset + 4)?;
                let (height, width) = (be16(&frame, 1)?, be16(&frame, 3)?);
                // The height may come after the picture (marker DNL). The server can't decode such a file, and its
                // refusal says so.
                return if bits == 8 && height > 0 {
                    square(width.into(), height.into())
                } else {
                    Err(Stop::LeftToServer)
                };
            }
            // Segments with a length: tables, profiles, comments.
            (0xFF, 0xC4 | 0xDB | 0xDD | 0xE0..=0xEF | 0xFE) => offset += 2 + u64::from(u16::from_be_bytes(size)).max(2),
            _ => break,
        }
    }
    Err(Stop::LeftToServer)
}

fn square(width_px: u32, height_px: u32) -> Look {
    match cover_refusal(width_px, height_px) {
        Some(refusal) => refused(refusal.sentence()),
        None => Ok(()),
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Look<[u8; N]> {
    bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).ok_or(Stop::LeftToServer)
}

fn be16(bytes: &[u8], at: usize) -> Look<u16> {
    number(bytes, at).map(u16::from_be_bytes)
}

fn be32(bytes: &[u8], at: usize) -> Look<u32> {
    number(bytes, at).map(u32::from_be_bytes)
}

fn le16(bytes: &[u8], at: usize) -> Look<u16> {
    number(bytes, at).map(u16::from_le_bytes)
}

fn le32(bytes: &[u8], at: usize) -> Look<u32> {
    number(bytes, at).map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests;
