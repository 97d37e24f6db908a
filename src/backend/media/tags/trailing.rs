//! Locates the tags behind the sound of an MP3 or a FLAC: ID3v1, APE, and ID3v2 with a footer. Each is found from its
//! end.

use std::ops::Range;

use super::{
    APE, APE_END_BYTES, ID3V1_BYTES, MAX_ITEM_BYTES, MAX_ITEMS_BYTES, MAX_PADDING_BYTES, MAX_TAG_BYTES, decoded, id3,
    merge,
};
use crate::{
    backend::media::{
        Result,
        source::{Source, le32},
    },
    domain::media::Tags,
};

/// Bit 31 of an APE tag's flags: the tag has a header.
const APE_HAS_HEADER: u32 = 1 << 31;
/// Maximum length of a key in characters (APE tag item, Hydrogenaudio Knowledgebase).
const APE_KEY_BYTES: usize = 255;
const APE_KEYS: [&str; 6] = ["Title", "Artist", "Album", "ISRC", "Track", "Disc"];
/// Maximum number of items: more than any tag has.
const MAX_APE_ITEMS: u32 = 10_000;
/// Maximum number of tags in a row, with padding in between.
const MAX_TAGS: usize = 8;

/// Reads the tags at the end of a file. APE and ID3v2 take precedence over ID3v1, which holds only 30 characters.
pub(in crate::backend::media) fn trailing(source: &mut Source) -> Result<Tags> {
    let (mut tags, mut short) = (Tags::default(), Tags::default());
    let mut end = source.length();
    for _ in 0..MAX_TAGS {
        let Some((start, found)) = last_tag(source, end)? else { break };
        match found {
            Found::Id3v1(tag) => merge(&mut short, decoded::id3v1(&tag)),
            Found::Ape(items, count) => merge(&mut tags, ape(source, items, count)?),
            Found::Id3v2 => merge(&mut tags, id3::id3_in(source, start..end)?),
            Found::Other => {}
        }
        end = start;
    }
    merge(&mut tags, short);
    Ok(tags)
}

enum Found {
    Id3v1(Vec<u8>),
    /// The range of the tag's items, and their number.
    Ape(Range<u64>, u32),
    Id3v2,
    /// Lyrics3 or padding.
    Other,
}

/// Finds the last tag before `end`, perhaps with padding behind it. Returns where it begins.
fn last_tag(source: &mut Source, end: u64) -> Result<Option<(u64, Found)>> {
    let from = end.saturating_sub(MAX_PADDING_BYTES);
    let last = source.read_up_to(from, (end - from) as usize)?;
    let is_padding = |byte: &u8| matches!(byte, b'\0' | b'\n' | b'\r' | b' ');
    let solid = last.iter().rposition(|byte| !is_padding(byte)).map_or(0, |at| at + 1);
    if solid == 0 && !last.is_empty() {
        return Ok(Some((from, Found::Other)));
    }
    // A tag itself may end in zeros.
    let ends = solid..=last.len().min(solid + ID3V1_BYTES as usize);
    Ok(ends.filter_map(|at| tag_before(&last[..at], from + at as u64)).next())
}

/// Finds the tag at the end of `bytes`, which end at offset `end` of the file.
fn tag_before(bytes: &[u8], end: u64) -> Option<(u64, Found)> {
    let before = |count: usize| bytes.len().checked_sub(count).and_then(|at| bytes.get(at..)).unwrap_or_default();
    let id3v1 = before(ID3V1_BYTES as usize);
    // "APETAGEX" contains these letters, too.
    if id3v1.starts_with(b"TAG") && !before(ID3V1_BYTES as usize + 3).starts_with(b"APE") {
        return Some((end - ID3V1_BYTES, Found::Id3v1(id3v1.to_vec())));
    }
    let footer = before(APE_END_BYTES);
    if footer.starts_with(APE) {
        let (size, count, flags) = (u64::from(le32(footer, 12)), le32(footer, 16), le32(footer, 20));
        let end_bytes = APE_END_BYTES as u64;
        let items = end.checked_sub(size).filter(|_| (end_bytes..=MAX_TAG_BYTES).contains(&size))?;
        let header = if flags & APE_HAS_HEADER == 0 { 0 } else { end_bytes };
        return Some((items.saturating_sub(header), Found::Ape(items..end - end_bytes, count)));
    }
    let footer = before(10);
    if footer.starts_with(b"3DI") {
        let start = end.checked_sub(20 + u64::from(id3::synchsafe(&footer[6..10])))?;
        return Some((start, Found::Id3v2));
    }
    let footer = before(15);
    if footer.ends_with(b"LYRICS200") {
        let size: u64 = std::str::from_utf8(&footer[..6]).ok()?.parse().ok()?;
        return Some((end.checked_sub(size + 15)?, Found::Other));
    }
    None
}

fn ape(source: &mut Source, items: Range<u64>, count: u32) -> Result<Tags> {
    let (mut kept, mut kept_count) = (Vec::new(), 0);
    let mut at = items.start;
    for _ in 0..count.min(MAX_APE_ITEMS) {
        let head = source.read_up_to(at, 8 + APE_KEY_BYTES + 1)?;
        let Some((key, _)) =
            head.get(8..).and_then(|rest| rest.split_at_checked(rest.iter().position(|byte| *byte == 0)?))
        else {
            break;
        };
        let key_bytes = key.len() as u64;
        let known = APE_KEYS.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(key)).copied();
        let (size, is_text) = (u64::from(le32(head, 0)), le32(head, 4) >> 1 & 3 == 0);
        let value = at + 8 + key_bytes + 1;
        let end = value + size;
        if end > items.end {
            break;
        }
        if let Some(key) = known.filter(|_| is_text && size <= MAX_ITEM_BYTES as u64 && kept.len() < MAX_ITEMS_BYTES)
            && let Some(value) = source.bytes(value..end)?
        {
            let value = String::from_utf8_lossy(&value).into_owned();
            kept.extend(
                [&(value.len() as u32).to_le_bytes(), [0; 4].as_slice(), key.as_bytes(), b"\0", value.as_bytes()]
                    .concat(),
            );
            kept_count += 1;
        }
        at = end;
    }
    Ok(decoded::ape(&kept, kept_count))
}
