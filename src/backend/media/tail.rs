//! Recognizes the bytes behind the sound: tags, text and padding, which tools append to any file and every player
//! skips.

use std::ops::Range;

use memchr::memmem;

use super::{
    Result,
    source::{Source, le32},
    tags::{self, APE, APE_END_BYTES, ID3V1_BYTES, MAX_PADDING_BYTES},
};

/// Length of "TAG+", which some tools write in front of an ID3v1 tag.
const ENHANCED_TAG_BYTES: u64 = 227;
/// Bit 29 of an APE tag's flags distinguishes its header from its footer.
const APE_IS_HEADER: u32 = 1 << 29;
/// Length of the longest tag marker that text is searched for.
const MARK_BYTES: usize = 16;
const STEP_BYTES: usize = 32 * 1024;

/// The kind of bytes behind the sound of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing, or only tags, text (Lyrics3 is text) and padding.
    Harmless,
    /// More zeros than padding has: room for sound that was never written.
    Zeros,
    /// Something that is neither tags nor text, perhaps among other things.
    Other,
}

impl Tail {
    /// Reads everything from `start` to the end of the file, once.
    pub(super) fn read(source: &mut Source, start: u64) -> Result<Self> {
        let mut at = start;
        let mut zeros = 0;
        while at < source.length() {
            let left = source.length() - at;
            // "TAG" may begin a word, unless the tag ends the file.
            let is_word =
                source.read_up_to(at, 3)? == b"TAG" && left != ID3V1_BYTES && left != ENHANCED_TAG_BYTES + ID3V1_BYTES;
            let next = match tag_end(source, at)? {
                Some(end) if !is_word => end,
                _ => {
                    let text = text_at(source, at)?;
                    zeros += text.zeros;
                    at + text.bytes
                }
            };
            at = match next {
                next if next > at => next,
                _ => match headless_ape_end(source, start, at)? {
                    Some(end) => end,
                    None => return Ok(Self::Other),
                },
            };
        }
        Ok(if zeros > MAX_PADDING_BYTES { Self::Zeros } else { Self::Harmless })
    }
}

/// Returns the end of the tag that begins at `offset` with a marker, or None if no tag begins there. The end may lie
/// behind the end of the file.
pub(super) fn tag_end(source: &mut Source, offset: u64) -> Result<Option<u64>> {
    if let Some(bytes) = tags::id3_bytes(source, offset)? {
        return Ok(Some(offset + bytes));
    }
    let start = source.read_up_to(offset, APE_END_BYTES)?;
    Ok(if start.starts_with(b"TAG+") {
        Some(offset + ENHANCED_TAG_BYTES)
    } else if start.starts_with(b"TAG") {
        Some(offset + ID3V1_BYTES)
    } else if start.starts_with(APE) && start.len() == APE_END_BYTES {
        // An empty tag consists of a footer.
        let is_header = le32(start, 20) & APE_IS_HEADER != 0;
        Some(offset + APE_END_BYTES as u64 + if is_header { u64::from(le32(start, 12)) } else { 0 })
    } else {
        None
    })
}

#[derive(Default)]
struct Text {
    bytes: u64,
    zeros: u64,
}

/// Measures the text or the padding at `offset`. It ends where a tag begins, or after some kilobytes.
fn text_at(source: &mut Source, offset: u64) -> Result<Text> {
    let length = source.length();
    let window = source.read_up_to(offset, STEP_BYTES + MARK_BYTES)?;
    // A marker may be cut in two at the end of the window, so the last bytes are left to the next window.
    let is_last = offset + window.len() as u64 == length;
    let count = if is_last { window.len() } else { STEP_BYTES.min(window.len()) };
    let mut text = Text::default();
    for (at, byte) in window[..count].iter().enumerate() {
        let rest = &window[at..];
        let begins_tag = match byte {
            b'A' => rest.starts_with(APE),
            b'I' => rest.starts_with(b"ID3"),
            b'T' => rest.starts_with(b"TAG") && length - offset - at as u64 <= ENHANCED_TAG_BYTES + ID3V1_BYTES,
            _ => false,
        };
        // The caller has already ruled out a tag at the very beginning.
        if (begins_tag && at > 0) || !is_text(*byte) {
            break;
        }
        text.bytes += 1;
        text.zeros += u64::from(*byte == 0);
    }
    Ok(text)
}

/// Whether text in any encoding may contain this byte. Any 200 bytes of other data practically always contain one that
/// text cannot contain, a control character.
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\0' | b'\t' | b'\n' | b'\x0C' | b'\r' | b'\x1A' | b' '..=b'~' | 0x80..)
}

/// Returns the end of an APE tag that has only a footer, if the tag covers `at` and does not begin before `start`.
fn headless_ape_end(source: &mut Source, start: u64, at: u64) -> Result<Option<u64>> {
    let mut from = at;
    while from < source.length() {
        let window = source.read_up_to(from, STEP_BYTES)?;
        let Some(found) = memmem::find(window, APE) else {
            if window.len() < STEP_BYTES {
                return Ok(None);
            }
            from += (STEP_BYTES - APE.len()) as u64;
            continue;
        };
        let tag = headless_ape(source, from + found as u64)?;
        return Ok(tag.filter(|tag| (start..=at).contains(&tag.start)).map(|tag| tag.end));
    }
    Ok(None)
}

/// Returns where an APE tag begins and ends that has the footer at `footer` and no header.
pub(super) fn headless_ape(source: &mut Source, footer: u64) -> Result<Option<Range<u64>>> {
    let end = footer + APE_END_BYTES as u64;
    let bytes = u64::from(le32(source.read_up_to(footer, APE_END_BYTES)?, 12));
    Ok(end.checked_sub(bytes).map(|start| start..end))
}
