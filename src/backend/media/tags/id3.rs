//! Locates the frames of ID3v2. A tag stands before the sound, behind it, or in a chunk of a WAV or an AIFF.

use std::ops::Range;

use super::{MAX_ITEM_BYTES, MAX_TAG_BYTES, decoded, merge, missing, too_many_tags};
use crate::{
    backend::media::{
        Result, incomplete,
        source::{Source, be32},
    },
    domain::media::Tags,
};

const HEADER_BYTES: u64 = 10;
/// Maximum number of tags in a row. Tools sometimes stack a second tag before the first.
const MAX_STACKED_TAGS: usize = 4;
/// Maximum bytes that are read of a tag that is unsynchronised as a whole. A frame is found only after all bytes before
/// it are read.
const UNSYNCHRONISED_READ_BYTES: usize = 1024 * 1024;

/// Maximum number of texts that are read of a tag. A usual tag has one of each kind.
const MAX_TEXTS: usize = 32;

/// The frames that we use, in the order of [`missing`], by their names in ID3v2.3 and 2.4, and in 2.2.
const FRAMES: [(&[u8; 4], &[u8; 3]); 6] =
    [(b"TIT2", b"TT2"), (b"TPE1", b"TP1"), (b"TALB", b"TAL"), (b"TSRC", b"TRC"), (b"TRCK", b"TRK"), (b"TPOS", b"TPA")];

/// Reads the tags at the beginning of a file, and returns where they end.
pub(in crate::backend::media) fn leading_id3(source: &mut Source) -> Result<(u64, Tags)> {
    let mut end = 0;
    let mut tags = Tags::default();
    for _ in 0..MAX_STACKED_TAGS {
        let Some(bytes) = id3_bytes(source, end)? else { break };
        if bytes - HEADER_BYTES > MAX_TAG_BYTES {
            return too_many_tags();
        }
        merge(&mut tags, id3_in(source, end..end + bytes)?);
        end += bytes;
        if end > source.length() {
            return incomplete();
        }
    }
    Ok((end, tags))
}

/// Returns the length of the tag at `offset` in bytes, or None if no tag begins there.
pub(in crate::backend::media) fn id3_bytes(source: &mut Source, offset: u64) -> Result<Option<u64>> {
    let Some(head) = source.read_array::<10>(offset)? else { return Ok(None) };
    if &head[..3] != b"ID3" || !(2..=4).contains(&head[3]) {
        return Ok(None);
    }
    let footer = if head[5] & 0x10 == 0 { 0 } else { HEADER_BYTES };
    Ok(Some(HEADER_BYTES + u64::from(synchsafe(&head[6..10])) + footer))
}

pub(super) fn synchsafe(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 7 | u32::from(byte & 0x7F))
}

/// Reads the texts of the tag that begins `range`. Bytes beyond the range are not read, even if the tag claims them.
pub(in crate::backend::media) fn id3_in(source: &mut Source, range: Range<u64>) -> Result<Tags> {
    let Some(bytes) = id3_bytes(source, range.start)? else { return Ok(Tags::default()) };
    let Some(head) = source.read_array::<10>(range.start)? else { return Ok(Tags::default()) };
    let (version, flags) = (head[3], head[5]);
    let start = range.start + HEADER_BYTES;
    let end = source.length().min(range.end).min(range.start + bytes);
    let is_unsynchronised = flags & 0x80 != 0;
    let mut body = if is_unsynchronised && version < 4 {
        let count = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX).min(UNSYNCHRONISED_READ_BYTES);
        Body::Memory(without_unsynchronisation(&source.copy(start, count)?.unwrap_or_default()))
    } else {
        Body::File { source, start, end }
    };
    let has_extended_header = flags & 0x40 != 0;
    let mut at = 0;
    if has_extended_header {
        // In 2.2 this bit means compression, by a method that was never specified.
        let Some(size) = body.bytes(0, 4)?.filter(|_| version > 2) else { return Ok(Tags::default()) };
        at = if version == 4 { u64::from(synchsafe(&size)) } else { u64::from(be32(&size, 0)) + 4 };
    }
    let mut tags = Tags::default();
    let mut texts_left = MAX_TEXTS;
    while let Some(frame) = Frame::read(&mut body, at, version)?
        && texts_left > 0
    {
        let is_wanted = |((id, old), is_missing): &(&(&[u8; 4], &[u8; 3]), bool)| {
            *is_missing && (frame.id == id[..] || frame.id == old[..])
        };
        if let Some(((id, _), _)) = FRAMES.iter().zip(missing(&tags)).find(is_wanted)
            && let Some(content) = frame.content(&mut body, is_unsynchronised)?
        {
            texts_left -= 1;
            merge(&mut tags, decoded::id3_frame(id, [0, frame.format], is_unsynchronised && version == 4, &content));
        }
        at = frame.end;
    }
    Ok(tags)
}

/// The content of a tag, behind its header.
enum Body<'a> {
    File { source: &'a mut Source, start: u64, end: u64 },
    Memory(Vec<u8>),
}

impl Body<'_> {
    /// Copies `count` bytes at `at`. Returns None if the tag ends before.
    fn bytes(&mut self, at: u64, count: usize) -> Result<Option<Vec<u8>>> {
        let Some(last) = at.checked_add(count as u64).filter(|last| *last <= self.length()) else { return Ok(None) };
        match self {
            Self::File { source, start, .. } => Ok(source.bytes(*start + at..*start + last)?),
            Self::Memory(bytes) => {
                let from = usize::try_from(at).unwrap_or(usize::MAX);
                Ok(bytes.get(from..from.saturating_add(count)).map(<[u8]>::to_vec))
            }
        }
    }

    fn length(&self) -> u64 {
        match self {
            Self::File { start, end, .. } => end.saturating_sub(*start),
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }
}

struct Frame {
    id: Vec<u8>,
    /// Flags of the frame's format, as in 2.4.
    format: u8,
    is_packed: bool,
    /// Bytes of the group between the header and the content in 2.3. In 2.4 they count as content.
    group_bytes: u64,
    start: u64,
    end: u64,
}

impl Frame {
    /// Reads the frame at `at`. Returns None where padding begins or where no frame can stand.
    fn read(body: &mut Body<'_>, at: u64, version: u8) -> Result<Option<Self>> {
        let head_bytes = if version == 2 { 6 } else { 10 };
        let Some(head) = body.bytes(at, head_bytes)? else { return Ok(None) };
        // Some tools write names of 2.2 into tags of 2.3.
        let id = if version == 2 || head[3] == 0 { &head[..3] } else { &head[..4] };
        if !is_id(id) {
            return Ok(None);
        }
        let start = at + head_bytes as u64;
        let size = match version {
            2 => u64::from(be32(&[0, head[3], head[4], head[5]], 0)),
            3 => u64::from(be32(&head, 4)),
            _ => Self::size_in_2_4(body, start, &head[4..8])?,
        };
        let flags = if version == 2 { 0 } else { head[9] };
        // Compression and encryption are the flags 0xC0 in 2.3 and 0x0C in 2.4.
        let (is_packed, group, format) = match version {
            3 => (flags & 0xC0 != 0, flags & 0x20 != 0, 0),
            _ => (flags & 0x0C != 0, false, flags & 0x43),
        };
        let group_bytes = u64::from(group);
        Ok(Some(Self { id: id.to_vec(), format, is_packed, group_bytes, start, end: start + size }))
    }

    /// Returns the size of a frame in 2.4, which has seven bits in each byte. Old versions of iTunes wrote eight.
    fn size_in_2_4(body: &mut Body<'_>, start: u64, bytes: &[u8]) -> Result<u64> {
        let (sizes, plain) =
            ([u64::from(synchsafe(bytes)), u64::from(be32(bytes, 0))], bytes.iter().any(|byte| *byte > 0x7F));
        if plain {
            return Ok(sizes[1]);
        }
        for size in sizes {
            let next = start + size;
            let is_end = next == body.length();
            if is_end || body.bytes(next, 4)?.is_some_and(|id| is_id(&id) || id == [0; 4]) {
                return Ok(size);
            }
        }
        Ok(sizes[0])
    }

    /// Copies the content. Returns None for a text longer than any that is kept, and for a text that is compressed or
    /// encrypted. No tool writes such texts, and a few bytes may unpack to a thousand times as many.
    fn content(&self, body: &mut Body<'_>, is_stuffed: bool) -> Result<Option<Vec<u8>>> {
        let start = self.start + self.group_bytes;
        let count = usize::try_from(self.end.saturating_sub(start)).unwrap_or(usize::MAX);
        if self.is_packed || count > MAX_ITEM_BYTES {
            return Ok(None);
        }
        let Some(mut content) = body.bytes(start, count)? else { return Ok(None) };
        // The byte of a group comes first, then the length before unsynchronisation.
        let text = usize::from(self.format & 0x40 != 0) + 4 * usize::from(self.format & 1 != 0);
        mend_utf16(&mut content, text, is_stuffed || self.format & 2 != 0);
        Ok(Some(content))
    }
}

/// Mends UTF-16 without a byte order mark or with an odd number of bytes. Some tools write such texts, and `lofty`
/// refuses them.
fn mend_utf16(content: &mut Vec<u8>, at: usize, is_stuffed: bool) {
    let Some((encoding, text)) = content.get(at..).and_then(<[u8]>::split_first) else { return };
    let (encoding, is_odd) = (*encoding, text.len() % 2 == 1);
    let mark: Option<&[u8]> = match text {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0xFF, 0, 0xFE, ..] => None,
        // The first letter of most texts has a zero in its upper byte.
        [0, second, ..] if *second != 0 => Some(&[0xFE, 0xFF]),
        _ if is_stuffed => Some(&[0xFF, 0, 0xFE]),
        _ => Some(&[0xFF, 0xFE]),
    };
    if !matches!(encoding, 1 | 2) {
        return;
    }
    if is_odd && !is_stuffed {
        content.pop();
    }
    if encoding == 1
        && let Some(mark) = mark
    {
        content.splice(at + 1..at + 1, mark.iter().copied());
    }
}

fn is_id(id: &[u8]) -> bool {
    id[0].is_ascii_uppercase()
        && id.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ')
}

/// Removes the 0 that writers put after every 0xFF. It keeps old players from taking tags for sound.
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
