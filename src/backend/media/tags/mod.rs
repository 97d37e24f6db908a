//! Reads the tags of audio files. They only fill in a form, and nothing else depends on them. Tags that cannot be
//! understood are left out.
//!
//! Each kind of tag is located by its own module, with work and memory that do not grow with the pictures in it.
//! `lofty` decodes the texts.

mod decoded;
mod id3;
mod trailing;

use std::ops::Range;

pub(super) use self::{
    id3::{id3_bytes, id3_in, leading_id3},
    trailing::trailing,
};
use super::{
    Result, refused,
    source::{Source, le32},
};
use crate::domain::problem::FileRefusal;
use crate::domain::{
    media::Tags,
    text::{is_unseen, shown, to_ascii},
};

/// Maximum number of zeros that count as padding. Tools fill up a sector of a CD (2,048 bytes) or a block of a disk
/// (4,096 bytes). This limit is half a second of an MP3 at 64 kbit/s. More zeros mean that a download or a copy
/// reserved the room and never filled it.
pub(super) const MAX_PADDING_BYTES: u64 = 4096;
/// Length of an ID3v1 tag, which ends a file.
pub(super) const ID3V1_BYTES: u64 = 128;
/// Length of the header of an APE tag, and of its footer.
pub(super) const APE_END_BYTES: usize = 32;
pub(super) const APE: &[u8] = b"APETAGEX";
/// Maximum bytes of tags in a file. Tags hold pictures, and real pictures are smaller.
pub(super) const MAX_TAG_BYTES: u64 = 32 * 1024 * 1024;
/// Maximum bytes of a text that is kept. Longer texts are lyrics, notes or pictures.
const MAX_ITEM_BYTES: usize = 4096;
/// Maximum bytes of all texts of a tag that are kept.
const MAX_ITEMS_BYTES: usize = 64 * 1024;
const MAX_TEXT_CHARS: usize = 200;
/// Highest number of a track or a disc: more than any disc or any box set has.
const MAX_NUMBER: i32 = 999;

pub(super) fn too_many_tags<T>() -> Result<T> {
    refused(
        FileRefusal::OutsideLimits,
        "This file carries more than 32 MB of tags and pictures. Export it without them.",
    )
}

/// Adds the fields that `tags` lacks.
pub(super) fn merge(tags: &mut Tags, more: Tags) {
    tags.title = tags.title.take().or(more.title);
    tags.artist = tags.artist.take().or(more.artist);
    tags.album = tags.album.take().or(more.album);
    tags.isrc = tags.isrc.take().or(more.isrc);
    tags.disc_number = tags.disc_number.or(more.disc_number);
    tags.track_number = tags.track_number.or(more.track_number);
}

/// Whether `tags` lacks each of title, artist, album, ISRC, track and disc, in this order.
fn missing(tags: &Tags) -> [bool; 6] {
    [
        tags.title.is_none(),
        tags.artist.is_none(),
        tags.album.is_none(),
        tags.isrc.is_none(),
        tags.track_number.is_none(),
        tags.disc_number.is_none(),
    ]
}

/// Cleans a text for display: visible characters, single spaces, bounded length. Returns None if nothing is left.
fn clean(text: &str) -> Option<String> {
    let bounded: String = shown(text).chars().take(MAX_TEXT_CHARS).collect();
    Some(shown(&bounded)).filter(|text| !text.is_empty())
}

/// Decodes text without a declared encoding: UTF-8 if it is valid, Latin-1 otherwise. The text ends at the first NUL.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok(text) => clean(text),
        Err(_) => clean(&bytes.iter().map(|byte| char::from(*byte)).collect::<String>()),
    }
}

/// Parses the number of a track or a disc, in digits of any script. Both "7" and "7/12" are number 7.
fn number(text: &str) -> Option<i32> {
    let ascii: String = text.chars().map(to_ascii).collect();
    let number = ascii.split('/').next()?.trim_matches(is_unseen).parse().ok()?;
    (1..=MAX_NUMBER).contains(&number).then_some(number)
}

/// Reads the Vorbis comments of a FLAC, which lie at `block`.
pub(super) fn vorbis_comment(source: &mut Source, block: Range<u64>) -> Result<Tags> {
    const KEYS: [&[u8]; 6] = [b"TITLE=", b"ARTIST=", b"ALBUM=", b"ISRC=", b"TRACKNUMBER=", b"DISCNUMBER="];
    let end = block.end.min(source.length());
    let number_at = |source: &mut Source, at: u64| -> Result<Option<u32>> {
        let bytes = if at + 4 > end { None } else { source.read_array::<4>(at)? };
        Ok(bytes.map(u32::from_le_bytes))
    };
    let Some(vendor) = number_at(source, block.start)? else { return Ok(Tags::default()) };
    let mut at = block.start + 4 + u64::from(vendor);
    let Some(count) = number_at(source, at)? else { return Ok(Tags::default()) };
    at += 4;
    let (mut kept, mut kept_count) = (Vec::new(), 0);
    for _ in 0..count {
        let Some(length) = number_at(source, at)? else { break };
        let comment = at + 4..at + 4 + u64::from(length);
        if comment.end > end {
            break;
        }
        at = comment.end;
        let is_used = |start: &[u8]| {
            KEYS.iter().any(|key| start.get(..key.len()).is_some_and(|start| start.eq_ignore_ascii_case(key)))
        };
        if length as usize <= MAX_ITEM_BYTES
            && kept.len() < MAX_ITEMS_BYTES
            && is_used(source.read_up_to(comment.start, 12)?)
        {
            let text = source.bytes(comment)?.unwrap_or_default();
            // `lofty` drops all texts of a block if one is not UTF-8.
            let text = String::from_utf8_lossy(&text);
            kept.extend((text.len() as u32).to_le_bytes());
            kept.extend(text.bytes());
            kept_count += 1;
        }
    }
    Ok(decoded::vorbis(&kept, kept_count))
}

/// Adds the text of an item of an MP4's `ilst`, given by its kind and its body.
pub(super) fn mp4_item(tags: &mut Tags, source: &mut Source, kind: &[u8], body: Range<u64>) -> Result<()> {
    const KINDS: [&[u8]; 6] = [b"\xA9nam", b"\xA9ART", b"\xA9alb", b"----", b"trkn", b"disk"];
    let is_wanted = KINDS.iter().zip(missing(tags)).any(|(wanted, is_missing)| is_missing && *wanted == kind);
    if is_wanted && body.end.saturating_sub(body.start) <= MAX_ITEM_BYTES as u64 {
        let item = source.bytes(body)?.unwrap_or_default();
        merge(tags, decoded::mp4(kind, &item));
    }
    Ok(())
}

/// Reads the body of a RIFF `LIST` chunk, if it is of the `INFO` kind. `lofty` leaves out texts that are not UTF-8, and
/// most of these are in an older encoding.
pub(super) fn riff_info(list: &[u8]) -> Tags {
    let mut tags = Tags::default();
    let Some(mut rest) = list.strip_prefix(b"INFO") else { return tags };
    while rest.len() > 8 {
        let size = le32(rest, 4) as usize;
        let Some(content) = rest.get(8..8usize.saturating_add(size)) else { break };
        let value = text(content);
        let mut one = Tags::default();
        match &rest[..4] {
            b"INAM" => one.title = value,
            b"IART" => one.artist = value,
            b"IPRD" => one.album = value,
            b"ITRK" | b"IPRT" => one.track_number = value.as_deref().and_then(number),
            _ => {}
        }
        merge(&mut tags, one);
        rest = rest.get(8 + size + size % 2..).unwrap_or_default();
    }
    tags
}

#[cfg(test)]
mod tests;
