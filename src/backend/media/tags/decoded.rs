//! Decodes tags with `lofty`, out of small files that are built for it.
//!
//! `lofty` never sees an artist's file. It reads a whole `ilst`, a whole comment block and every unknown frame into
//! memory. It unpacks compressed frames without a limit, reads through a picture to skip it, and drops all items of a
//! tag if one is broken. So the other modules here locate the few items that we use, skip pictures without reading
//! them, and pass on only small items.

use std::io::Cursor;

use lofty::{
    config::{GlobalOptions, ParseOptions, ParsingMode, apply_global_options},
    file::{FileType, TaggedFileExt},
    probe::Probe,
    tag::{ItemKey, Tag},
};

use super::{MAX_ITEM_BYTES, clean, merge, number};
use crate::{
    backend::media::catch_decoder_panic,
    domain::{codes::Isrc, media::Tags},
};

/// Reads a text frame in the format of ID3v2.4. `flags` are those of 2.4, and `unsynchronised` is the flag of the whole
/// tag.
pub(super) fn id3_frame(id: &[u8; 4], flags: [u8; 2], unsynchronised: bool, content: &[u8]) -> Tags {
    let frame = [id.as_slice(), &synchsafe(content.len()), &flags, content].concat();
    let flag = if unsynchronised { 0x80 } else { 0 };
    let tag = [b"ID3\x04\0".as_slice(), &[flag], &synchsafe(frame.len()), &frame].concat();
    let chunk = [b"AIFFID3 ".as_slice(), &be32(tag.len()), &tag].concat();
    read(FileType::Aiff, [b"FORM".as_slice(), &be32(chunk.len()), &chunk].concat())
}

/// Reads an ID3v1 tag: the last 128 bytes of a file, which begin with "TAG".
pub(super) fn id3v1(tag: &[u8]) -> Tags {
    read(FileType::Mpeg, [NO_SOUND, tag].concat())
}

/// Reads items of an APEv2 tag, each with its size, its flags and its key.
pub(super) fn ape(items: &[u8], count: u32) -> Tags {
    let size = (items.len() as u32 + 32).to_le_bytes();
    let footer = [b"APETAGEX\xD0\x07\0\0".as_slice(), &size, &count.to_le_bytes(), &[0; 12]].concat();
    read(FileType::Mpeg, [NO_SOUND, items, &footer].concat())
}

/// Reads comments of a FLAC, each with its length.
pub(super) fn vorbis(comments: &[u8], count: u32) -> Tags {
    let block = [[0; 4].as_slice(), &count.to_le_bytes(), comments].concat();
    let size = be32(block.len());
    read(FileType::Flac, [b"fLaC\0\0\0\x22".as_slice(), &[0; 34], b"\x84", &size[1..], &block].concat())
}

/// Reads an item of an MP4's `ilst`: its kind, and the boxes in it.
pub(super) fn mp4(kind: &[u8], body: &[u8]) -> Tags {
    let wrapped = |kind: &[u8], body: &[u8]| [&be32(body.len() + 8), kind, body].concat();
    let list = wrapped(b"ilst", &wrapped(kind, body));
    let movie = wrapped(b"moov", &wrapped(b"udta", &wrapped(b"meta", &[&[0; 4], list.as_slice()].concat())));
    read(FileType::Mp4, [wrapped(b"ftyp", b"M4A \0\0\0\0").as_slice(), &movie].concat())
}

/// Bytes that look like neither a frame nor a tag. `lofty` searches an MP3 for both.
const NO_SOUND: &[u8] = &[b'x'; 64];

fn be32(number: usize) -> [u8; 4] {
    (number as u32).to_be_bytes()
}

/// Encodes a number with seven bits in each byte.
fn synchsafe(number: usize) -> [u8; 4] {
    [21, 14, 7, 0].map(|shift| (number >> shift & 0x7F) as u8)
}

/// Reads the tags of `file`. A file that cannot be read has none.
fn read(kind: FileType, file: Vec<u8>) -> Tags {
    // The options apply to this thread only, which may be a new one.
    apply_global_options(
        GlobalOptions::new().allocation_limit(MAX_ITEM_BYTES.max(file.len())).use_custom_resolvers(false),
    );
    let options = ParseOptions::new().read_properties(false).read_cover_art(false).parsing_mode(ParsingMode::Relaxed);
    let read = || Probe::with_file_type(Cursor::new(file), kind).options(options).read().ok();
    let mut tags = Tags::default();
    for tag in catch_decoder_panic(read).flatten().iter().flat_map(TaggedFileExt::tags) {
        merge(&mut tags, used(tag));
    }
    tags
}

/// Picks the fields that we use. A text with several values counts as its first one. The ISRC and the numbers count as
/// the first value that is valid.
fn used(tag: &Tag) -> Tags {
    let values = |key: ItemKey| tag.get_strings(key).flat_map(|value| value.split('\0')).filter_map(clean);
    Tags {
        title: values(ItemKey::TrackTitle).next(),
        artist: values(ItemKey::TrackArtist).next(),
        album: values(ItemKey::AlbumTitle).next(),
        isrc: values(ItemKey::Isrc).find_map(|code| Isrc::parse(&code).ok()).map(String::from),
        disc_number: values(ItemKey::DiscNumber).find_map(|value| number(&value)),
        track_number: values(ItemKey::TrackNumber).find_map(|value| number(&value)),
    }
}
