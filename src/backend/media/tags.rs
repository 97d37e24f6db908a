//! What files say about themselves, read with little effort: a form is filled with it, nothing else depends on it. Whatever
//! cannot be understood is left out.

use std::ops::Range;

use super::{
    Result, incomplete, refused,
    source::{Source, be16, be32, le32},
};
use crate::domain::{media::Tags, text::is_removed};

/// Tags hold pictures, and pictures are not this large.
pub(super) const MAX_TAG_BYTES: u64 = 32 * 1024 * 1024;
/// Texts stand before pictures in every tag seen; what lies behind is not worth reading.
const ID3_READ_BYTES: usize = 256 * 1024;
const ID3_HEADER_BYTES: u64 = 10;
/// Tools stack a second tag before the first now and then.
const MAX_STACKED_TAGS: usize = 4;
const MAX_TEXT_CHARS: usize = 200;

pub(super) fn too_many_tags<T>() -> Result<T> {
    refused(422, "This file carries more than 32 MB of tags and pictures. Export it without them.")
}

/// Adds what `tags` does not know yet.
pub(super) fn fill(tags: &mut Tags, more: Tags) {
    tags.title = tags.title.take().or(more.title);
    tags.artist = tags.artist.take().or(more.artist);
    tags.album = tags.album.take().or(more.album);
    tags.isrc = tags.isrc.take().or(more.isrc);
    tags.track_number = tags.track_number.or(more.track_number);
}

/// A text as it may be shown: visible characters, single spaces, bounded.
fn clean(text: &str) -> Option<String> {
    let visible: String =
        text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !c.is_control() && !is_removed(*c)).collect();
    let words = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    let bounded: String = words.chars().take(MAX_TEXT_CHARS).collect();
    (!bounded.is_empty()).then_some(bounded)
}

/// Text without a stated encoding: UTF-8 if it is, Latin-1 otherwise. Ends at the first NUL.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok(text) => clean(text),
        Err(_) => clean(&latin1(bytes)),
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// "7" and "7/12" are track 7.
fn track_number(text: &str) -> Option<i32> {
    let number = text.split('/').next()?.trim().parse().ok()?;
    (1..=999).contains(&number).then_some(number)
}

/// Sets the tag that formats with readable keys call `key`.
fn set(tags: &mut Tags, key: &str, value: String) {
    let mut one = Tags::default();
    match key.to_ascii_uppercase().as_str() {
        "TITLE" => one.title = Some(value),
        "ARTIST" => one.artist = Some(value),
        "ALBUM" => one.album = Some(value),
        "ISRC" => one.isrc = Some(value),
        "TRACKNUMBER" => one.track_number = track_number(&value),
        _ => {}
    }
    fill(tags, one);
}

/// The ID3v2 tags a file begins with, and where they end.
pub(super) fn leading_id3(source: &mut Source) -> Result<(u64, Tags)> {
    let mut end = 0;
    let mut tags = Tags::default();
    for _ in 0..MAX_STACKED_TAGS {
        let Some(size) = id3_size(source, end)? else { break };
        if size > MAX_TAG_BYTES {
            return too_many_tags();
        }
        let next = end + ID3_HEADER_BYTES + size;
        fill(&mut tags, id3_in(source, end..next)?);
        end = next;
        if end > source.length() {
            return incomplete();
        }
    }
    Ok((end, tags))
}

fn id3_size(source: &mut Source, offset: u64) -> Result<Option<u64>> {
    let Some(head) = source.array::<10>(offset)? else { return Ok(None) };
    if &head[..3] != b"ID3" || !(2..=4).contains(&head[3]) {
        return Ok(None);
    }
    let footer = if head[5] & 0x10 == 0 { 0 } else { ID3_HEADER_BYTES };
    Ok(Some(u64::from(synchsafe(&head[6..10])) + footer))
}

fn synchsafe(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 7 | u32::from(byte & 0x7F))
}

/// The texts of the ID3v2 tag that begins `range`. What the tag claims beyond the range belongs to somebody else.
pub(super) fn id3_in(source: &mut Source, range: Range<u64>) -> Result<Tags> {
    let offset = range.start;
    let Some(size) = id3_size(source, offset)? else { return Ok(Tags::default()) };
    let Some(head) = source.array::<10>(offset)? else { return Ok(Tags::default()) };
    let there = source.length().min(range.end).saturating_sub(offset + ID3_HEADER_BYTES).min(size);
    let count = usize::try_from(there).unwrap_or(usize::MAX).min(ID3_READ_BYTES);
    let mut body = source.copy(offset + ID3_HEADER_BYTES, count)?.unwrap_or_default();
    if head[5] & 0x80 != 0 {
        body = without_unsynchronisation(&body);
    }
    Ok(id3_frames(head[3], &body))
}

/// Writers put a 0 after every 0xFF so that old players do not take tags for sound.
fn without_unsynchronisation(bytes: &[u8]) -> Vec<u8> {
    let mut previous = 0;
    bytes
        .iter()
        .copied()
        .filter(|byte| {
            let stuffing = previous == 0xFF && *byte == 0;
            previous = *byte;
            !stuffing
        })
        .collect()
}

fn id3_frames(version: u8, mut body: &[u8]) -> Tags {
    let mut tags = Tags::default();
    let (id_bytes, head_bytes) = if version == 2 { (3, 6) } else { (4, 10) };
    while body.len() > head_bytes && body[0] != 0 {
        let size = match version {
            2 => u32::from_be_bytes([0, body[3], body[4], body[5]]),
            3 => be32(body, 4),
            _ => synchsafe(&body[4..8]),
        } as usize;
        let Some(content) = body.get(head_bytes..head_bytes.saturating_add(size)) else { break };
        let key = match &body[..id_bytes] {
            b"TIT2" | b"TT2" => "TITLE",
            b"TPE1" | b"TP1" => "ARTIST",
            b"TALB" | b"TAL" => "ALBUM",
            b"TSRC" | b"TRC" => "ISRC",
            b"TRCK" | b"TRK" => "TRACKNUMBER",
            _ => "",
        };
        if !key.is_empty()
            && let Some(value) = id3_text(content)
        {
            set(&mut tags, key, value);
        }
        body = &body[head_bytes + size..];
    }
    tags
}

fn id3_text(content: &[u8]) -> Option<String> {
    let (encoding, bytes) = content.split_first()?;
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).take_while(|unit| *unit != 0);
        clean(&char::decode_utf16(units).map_while(std::result::Result::ok).collect::<String>())
    };
    match (encoding, bytes) {
        (0, _) => clean(&latin1(bytes.split(|byte| *byte == 0).next()?)),
        (1, [0xFF, 0xFE, rest @ ..]) => utf16(rest, u16::from_le_bytes),
        (1, [0xFE, 0xFF, rest @ ..]) | (2, rest) => utf16(rest, u16::from_be_bytes),
        (3, _) => text(bytes),
        _ => None,
    }
}

/// A Vorbis comment, as FLAC has it.
pub(super) fn vorbis_comment(block: &[u8]) -> Tags {
    let mut tags = Tags::default();
    let entry = |rest: &mut &[u8]| -> Option<String> {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (value, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        *rest = tail;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let mut rest = block;
    let _vendor = entry(&mut rest);
    let count = le32(rest, 0);
    rest = rest.get(4..).unwrap_or_default();
    for _ in 0..count {
        let Some(comment) = entry(&mut rest) else { break };
        if let Some((key, value)) = comment.split_once('=')
            && let Some(value) = clean(value)
        {
            set(&mut tags, key, value);
        }
    }
    tags
}

/// The body of a RIFF `LIST` chunk, if it is of the `INFO` kind.
pub(super) fn riff_info(list: &[u8]) -> Tags {
    let mut tags = Tags::default();
    let Some(mut rest) = list.strip_prefix(b"INFO") else { return tags };
    while rest.len() > 8 {
        let size = le32(rest, 4) as usize;
        let Some(content) = rest.get(8..8usize.saturating_add(size)) else { break };
        let key = match &rest[..4] {
            b"INAM" => "TITLE",
            b"IART" => "ARTIST",
            b"IPRD" => "ALBUM",
            b"ITRK" | b"IPRT" => "TRACKNUMBER",
            _ => "",
        };
        if !key.is_empty()
            && let Some(value) = text(content)
        {
            set(&mut tags, key, value);
        }
        rest = rest.get(8 + size + size % 2..).unwrap_or_default();
    }
    tags
}

/// An item of an MP4 `ilst` by its four-letter name, with the body of its `data` box behind the type and locale.
pub(super) fn mp4_item(tags: &mut Tags, name: &[u8], value: &[u8]) {
    let key = match name {
        b"\xA9nam" => "TITLE",
        b"\xA9ART" => "ARTIST",
        b"\xA9alb" => "ALBUM",
        b"trkn" => return set(tags, "TRACKNUMBER", be16(value, 2).to_string()),
        _ => return,
    };
    if let Some(value) = text(value) {
        set(tags, key, value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_lose_what_cannot_be_seen() {
        assert_eq!(clean(" Night\t\u{202E}Bus\r\n "), Some("Night Bus".into()));
        assert_eq!(clean("\0\u{200E}"), None);
        assert_eq!(text(b"Caf\xE9\0rest"), Some("Café".into()));
        assert_eq!(clean(&"ä".repeat(999)).unwrap().chars().count(), MAX_TEXT_CHARS);
    }

    #[test]
    fn id3_texts_come_in_four_encodings() {
        assert_eq!(id3_text(b"\0Caf\xE9\0"), Some("Café".into()));
        assert_eq!(id3_text(b"\x01\xFF\xFEN\0i\0\0\0"), Some("Ni".into()));
        assert_eq!(id3_text(b"\x02\0N\0i"), Some("Ni".into()));
        assert_eq!(id3_text(b"\x03Caf\xC3\xA9"), Some("Café".into()));
        assert_eq!(id3_text(b"\x09x"), None);
    }

    #[test]
    fn a_track_number_may_name_the_total() {
        assert_eq!(track_number("7/12"), Some(7));
        assert_eq!(track_number("0"), None);
        assert_eq!(track_number("A1"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_make_some_tags(version in 2u8..5, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            id3_frames(version, &bytes);
            vorbis_comment(&bytes);
            riff_info(&[b"INFO".as_slice(), &bytes].concat());
        }
    }
}
