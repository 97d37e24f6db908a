//! MP4 (M4A): boxes in boxes. `moov` describes the tracks, `mdat` holds their bytes; in a fragmented file each `moof` describes the
//! `mdat` behind it.

mod samples;

use std::ops::Range;

use samples::{MAX_RUNS, Run, SampleTables, Sizes, Table, contradiction, stands_for_nothing, too_many};

pub(super) use self::samples::Packets;
use super::{
    Result, damaged, incomplete,
    judge::{AudioHeader, Samples},
    refused,
    source::{Source, be16, be32},
    tags,
};
use crate::domain::media::{AudioCodec, AudioContainer, Tags};

/// All boxes but `mdat` together. Six hours of AAC at 48 kHz are a million packets. With the largest tables that there can be (a size, a
/// duration and a chunk for each packet) these take 24 bytes for a packet, 24 MB in all; usual ones take 4. The rest is room for a
/// picture.
const MAX_OUTSIDE_MEDIA_BYTES: u64 = tags::MAX_TAG_BYTES;
/// Six hours in fragments of a second are 21,600 times eight boxes at most (`styp`, `sidx`, `moof` with five in it, `mdat`).
const MAX_BOXES: usize = 250_000;
const MAX_DEPTH: usize = 8;
/// The sound, a cover as a track of its own, chapters and their pictures are four.
const MAX_TRACKS: usize = 32;
/// A title or a sample description is far shorter.
const MAX_LEAF_BYTES: u64 = 4096;
/// Apple's encoder uses 4,096; the decoder keeps that many samples of each channel.
const MAX_ALAC_FRAME_SAMPLES: u32 = 16 * 4096;

const OTHER_CODEC: &str =
    "This MP4 file holds neither ALAC nor AAC. Upload a WAV, FLAC, AIFF, ALAC, AAC (M4A) or MP3 file.";
const MPEG4_AUDIO: u8 = 0x40;
const AAC_LC: u32 = 2;

/// What the boxes of a track say, gathered while walking through them.
#[derive(Default)]
struct Track {
    id: u32,
    handler: [u8; 4],
    timescale: u32,
    duration: u64,
    description: Vec<u8>,
    tables: SampleTables,
}

struct Sound {
    codec: AudioCodec,
    sample_rate_hz: u32,
    channels: u16,
    bit_depth: Option<u16>,
    /// For the decoder.
    config: Vec<u8>,
}

/// What `tfhd` says of the runs behind it.
#[derive(Clone, Copy, Default)]
struct Fragment {
    /// Where its `moof` begins.
    moof: u64,
    track: u32,
    /// What the offsets of its runs count from.
    base: u64,
    /// None: as `trex` says.
    default_size: Option<u32>,
    /// A run that does not say where it begins follows the one before.
    has_runs: bool,
}

pub(super) fn header(source: &mut Source) -> Result<AudioHeader> {
    let mut walk = Walk {
        source,
        boxes_left: MAX_BOXES,
        outside_media_bytes: 0,
        tracks: vec![],
        default_sizes: vec![],
        fragment: Fragment::default(),
        runs: vec![],
        tags: Tags::default(),
        has_media: false,
    };
    let whole = 0..walk.source.length();
    walk.boxes(whole, 0)?;
    let Walk { source, mut tracks, default_sizes, mut runs, tags, has_media, .. } = walk;

    let Some(at) = tracks.iter().position(|track| &track.handler == b"soun") else {
        return if tracks.is_empty() { incomplete() } else { refused(415, "There is no sound in this MP4 file.") };
    };
    if tracks.iter().any(|track| &track.handler == b"vide") {
        return refused(415, "This is a video. Upload its sound as WAV, FLAC, AIFF, ALAC, AAC (M4A) or MP3.");
    }
    if !has_media {
        return incomplete();
    }
    let track = tracks.swap_remove(at);
    let sound = sound(&track.description)?;
    runs.retain(|run| run.track == track.id);
    let default_size = default_sizes.iter().find(|(id, _)| *id == track.id).map_or(0, |(_, size)| *size);
    let packets = Packets::new(source, track.tables, runs, default_size)?;
    let frames = (track.timescale == sound.sample_rate_hz && track.duration > 0).then_some(track.duration);
    Ok(AudioHeader {
        container: AudioContainer::Mp4,
        codec: sound.codec,
        sample_rate_hz: sound.sample_rate_hz,
        channels: sound.channels,
        bit_depth: sound.bit_depth,
        frames,
        packaging: vec![],
        tags,
        samples: Samples::Packets { config: sound.config, packets: Box::new(packets) },
    })
}

struct Walk<'a> {
    source: &'a mut Source,
    boxes_left: usize,
    outside_media_bytes: u64,
    tracks: Vec<Track>,
    /// The size of each packet by track, for fragments that do not say.
    default_sizes: Vec<(u32, u32)>,
    fragment: Fragment,
    runs: Vec<Run>,
    tags: Tags,
    has_media: bool,
}

impl Walk<'_> {
    fn boxes(&mut self, range: Range<u64>, depth: usize) -> Result<()> {
        let mut offset = range.start;
        while offset + 8 <= range.end {
            self.boxes_left = match self.boxes_left.checked_sub(1) {
                Some(left) => left,
                None => return too_many(),
            };
            let Some(head) = self.source.array::<8>(offset)? else { return incomplete() };
            let (size, body) = match be32(&head, 0) {
                0 => (range.end - offset, offset + 8),
                1 => match self.source.array::<8>(offset + 8)? {
                    Some(large) => (u64::from_be_bytes(large), offset + 16),
                    None => return incomplete(),
                },
                size => (u64::from(size), offset + 8),
            };
            let end = offset.saturating_add(size);
            if end < body {
                return damaged("its pieces overlap");
            }
            if end > range.end {
                return if depth == 0 { incomplete() } else { damaged("its pieces overlap") };
            }
            if depth == 0 && &head[4..] != b"mdat" {
                self.outside_media_bytes += size;
                if self.outside_media_bytes > MAX_OUTSIDE_MEDIA_BYTES {
                    return tags::too_many_tags();
                }
            }
            if &head[4..] == b"moof" {
                self.fragment = Fragment { moof: offset, ..Fragment::default() };
            }
            self.one(&head[4..], body..end, depth)?;
            offset = end;
        }
        Ok(())
    }

    fn one(&mut self, kind: &[u8], body: Range<u64>, depth: usize) -> Result<()> {
        let descend = depth < MAX_DEPTH;
        match kind {
            b"mdat" => {
                self.has_media |= body.end > body.start;
                Ok(())
            }
            b"trak" if descend => {
                if self.tracks.len() == MAX_TRACKS {
                    return too_many();
                }
                self.tracks.push(Track::default());
                self.boxes(body, depth + 1)
            }
            b"moov" | b"mdia" | b"minf" | b"stbl" | b"udta" | b"ilst" | b"mvex" | b"moof" | b"traf" if descend => {
                self.boxes(body, depth + 1)
            }
            // QuickTime leaves out the version that ISO puts before the boxes in `meta`.
            b"meta" if descend => {
                let has_version = self.source.array::<8>(body.start)?.is_some_and(|start| &start[4..] != b"hdlr");
                let start = if has_version { (body.start + 4).min(body.end) } else { body.start };
                self.boxes(start..body.end, depth + 1)
            }
            b"tkhd" => {
                self.leaf(&body, |track, leaf| track.id = be32(leaf, if leaf.first() == Some(&1) { 20 } else { 12 }))
            }
            b"stts" | b"ctts" | b"stsc" | b"stsz" | b"stco" | b"co64" => self.table(kind, &body),
            b"trex" => {
                if self.default_sizes.len() == MAX_TRACKS {
                    return too_many();
                }
                let leaf = self.source.upto(body.start, (body.end - body.start).min(24) as usize)?;
                self.default_sizes.push((be32(leaf, 4), be32(leaf, 16)));
                Ok(())
            }
            b"tfhd" => self.fragment_header(&body),
            b"trun" => self.run(&body),
            b"hdlr" => self.leaf(&body, |track, leaf| {
                // `meta` has a handler too; the track's comes first.
                if track.handler == [0; 4] {
                    track.handler = be32(leaf, 8).to_be_bytes();
                }
            }),
            b"mdhd" => self.leaf(&body, |track, leaf| {
                (track.timescale, track.duration) = match leaf.first() {
                    Some(1) => (be32(leaf, 20), u64::from(be32(leaf, 24)) << 32 | u64::from(be32(leaf, 28))),
                    _ => (be32(leaf, 12), u64::from(be32(leaf, 16))),
                };
            }),
            b"stsd" => self.leaf(&body, |track, leaf| track.description = leaf.get(8..).unwrap_or_default().to_vec()),
            b"\xA9nam" | b"\xA9ART" | b"\xA9alb" | b"trkn" => {
                let item = self.source.upto(body.start, (body.end - body.start).min(MAX_LEAF_BYTES) as usize)?;
                let value_end = (be32(item, 0) as usize).min(item.len());
                if item.get(4..8) == Some(b"data".as_slice()) && value_end >= 16 {
                    tags::mp4_item(&mut self.tags, kind, &item[16..value_end]);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Notes where a table of the current track lies. The first of its kind counts.
    fn table(&mut self, kind: &[u8], body: &Range<u64>) -> Result<()> {
        let Some(track) = self.tracks.last_mut() else { return Ok(()) };
        let head = self.source.upto(body.start, (body.end - body.start).min(12) as usize)?;
        // A version and flags come first.
        let (first, second) = (be32(head, 4), be32(head, 8));
        let entries = |start: u64, count: u32, bytes: u64| match Table::new(body.start + start, count, bytes, body.end)
        {
            Some(table) => Ok(Some(table)),
            None => damaged("its tables are cut short"),
        };
        let tables = &mut track.tables;
        match kind {
            b"stts" if tables.durations.is_none() => tables.durations = entries(8, first, 8)?,
            b"ctts" if tables.compositions.is_none() => tables.compositions = entries(8, first, 8)?,
            b"stsc" if tables.groups.is_none() => tables.groups = entries(8, first, 12)?,
            b"stco" if tables.chunks.is_none() => tables.chunks = entries(8, first, 4)?,
            b"co64" if tables.chunks.is_none() => tables.chunks = entries(8, first, 8)?,
            b"stsz" if tables.sizes.is_none() => {
                tables.sizes =
                    if first > 0 { Some(Sizes::Same(first)) } else { entries(12, second, 4)?.map(Sizes::Each) };
                tables.packets = second;
            }
            _ => {}
        }
        Ok(())
    }

    /// `tfhd` (ISO 14496-12, 8.8.7): flags tell which of its fields are there.
    fn fragment_header(&mut self, body: &Range<u64>) -> Result<()> {
        let head = self.source.upto(body.start, (body.end - body.start).min(40) as usize)?;
        let flags = be32(head, 0);
        let mut at = 8;
        let mut field = |flag: u32, bytes: usize| {
            let start = at;
            let is_there = flags & flag != 0;
            at += if is_there { bytes } else { 0 };
            is_there.then_some(start)
        };
        let base = field(0x1, 8).map(|at| u64::from(be32(head, at)) << 32 | u64::from(be32(head, at + 4)));
        let _description = field(0x2, 4);
        let _duration = field(0x8, 4);
        let default_size = field(0x10, 4).map(|at| be32(head, at));
        let moof = self.fragment.moof;
        self.fragment =
            Fragment { moof, track: be32(head, 4), base: base.unwrap_or(moof), default_size, has_runs: false };
        Ok(())
    }

    /// `trun` (ISO 14496-12, 8.8.8): flags tell which fields it has, and which each of its entries.
    fn run(&mut self, body: &Range<u64>) -> Result<()> {
        let head = self.source.upto(body.start, (body.end - body.start).min(16) as usize)?;
        let (flags, packets) = (be32(head, 0), be32(head, 4));
        if packets == 0 {
            return stands_for_nothing();
        }
        let fields = |mask: u32| u64::from((flags & mask).count_ones()) * 4;
        let offset = (flags & 0x1 != 0).then(|| be32(head, 8).cast_signed());
        // Duration, size, flags, composition offset.
        let Some(table) = Table::new(body.start + 8 + fields(0x5), packets, fields(0xF00), body.end) else {
            return damaged("its tables are cut short");
        };
        let Fragment { base, has_runs, track, default_size, .. } = self.fragment;
        let offset = match offset {
            None if has_runs => None,
            offset => match base.checked_add_signed(i64::from(offset.unwrap_or(0))) {
                Some(offset) => Some(offset),
                None => return contradiction(),
            },
        };
        let sizes = match default_size {
            _ if flags & 0x200 != 0 => Sizes::Each(table.at_field(fields(0x100))),
            Some(size) => Sizes::Same(size),
            None => Sizes::Default,
        };
        self.fragment.has_runs = true;
        if self.runs.len() == MAX_RUNS {
            return too_many();
        }
        self.runs.push(Run { track, offset, packets, sizes });
        Ok(())
    }

    fn leaf(&mut self, body: &Range<u64>, read: impl FnOnce(&mut Track, &[u8])) -> Result<()> {
        let bytes = self.source.upto(body.start, (body.end - body.start).min(MAX_LEAF_BYTES) as usize)?;
        if let Some(track) = self.tracks.last_mut() {
            read(track, bytes);
        }
        Ok(())
    }
}

/// An audio sample entry (ISO 14496-12) and the box that describes its codec.
fn sound(entry: &[u8]) -> Result<Sound> {
    let children_start = match be16(entry, 16) {
        // QuickTime's second version of the entry has four more numbers.
        1 => 52,
        _ => 36,
    };
    match entry.get(4..8) {
        Some(b"mp4a") => aac(entry, children_start),
        Some(b"alac") => alac(entry, children_start),
        Some(b"drms" | b"enca") => {
            refused(415, "This file is protected against copying. Upload the master it was made from.")
        }
        Some(_) => refused(415, OTHER_CODEC),
        None => damaged("it does not say what its samples are"),
    }
}

/// The body of the box `kind` among the children of a sample entry, perhaps inside QuickTime's `wave`.
fn child<'a>(children: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    child_box(children, kind).or_else(|| child_box(child_box(children, b"wave")?, kind))
}

fn child_box<'a>(mut children: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    while children.len() >= 8 {
        let size = be32(children, 0) as usize;
        let body = children.get(8..size)?;
        if &children[4..8] == kind {
            return Some(body);
        }
        children = &children[size..];
    }
    None
}

fn alac(entry: &[u8], children_start: usize) -> Result<Sound> {
    // Behind a version and flags.
    let cookie =
        entry.get(children_start..).and_then(|children| child(children, b"alac")).and_then(|body| body.get(4..));
    let Some(cookie) = cookie.filter(|cookie| cookie.len() >= 24) else {
        return damaged("it does not say what its samples are");
    };
    if be32(cookie, 0) == 0 || be32(cookie, 0) > MAX_ALAC_FRAME_SAMPLES {
        return damaged("its header names an impossible block size");
    }
    Ok(Sound {
        codec: AudioCodec::Alac,
        sample_rate_hz: be32(cookie, 20),
        channels: u16::from(cookie[9]),
        bit_depth: Some(u16::from(cookie[5])),
        config: cookie.to_vec(),
    })
}

fn aac(entry: &[u8], children_start: usize) -> Result<Sound> {
    let esds = entry.get(children_start..).and_then(|children| child(children, b"esds")).and_then(|body| body.get(4..));
    let Some((object_type, config)) = esds.and_then(decoder_config) else {
        return damaged("it does not say what its samples are");
    };
    if object_type != MPEG4_AUDIO {
        return refused(415, OTHER_CODEC);
    }
    const RATES_HZ: [u32; 13] =
        [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
    // AudioSpecificConfig (ISO 14496-3): 5 bits object type, 4 bits rate, 4 bits channels.
    let bits = be32(&[config, &[0; 4]].concat(), 0);
    let (profile, rate, channels) = (bits >> 27, bits >> 23 & 0xF, bits >> 19 & 0xF);
    if profile != AAC_LC {
        return refused(
            415,
            "This is HE-AAC or another variant for low bit rates. Export AAC-LC, or better WAV or FLAC.",
        );
    }
    let Some(sample_rate_hz) = RATES_HZ.get(rate as usize).copied() else {
        return damaged("its header names an impossible sample rate");
    };
    let channels = if channels == 0 { be16(entry, 24) } else { channels as u16 };
    Ok(Sound { codec: AudioCodec::Aac, sample_rate_hz, channels, bit_depth: None, config: config.to_vec() })
}

/// The object type and the codec's own configuration out of an ES descriptor (ISO 14496-1).
fn decoder_config(es: &[u8]) -> Option<(u8, &[u8])> {
    let es = descriptor(es, 3)?;
    let flags = *es.get(2)?;
    // Three options of known length may follow the flags; nobody writes them.
    let decoder = descriptor(es.get(3..).filter(|_| flags & 0xE0 == 0)?, 4)?;
    Some((*decoder.first()?, descriptor(decoder.get(13..)?, 5)?))
}

fn descriptor(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (found, mut rest) = bytes.split_first()?;
    let mut size = 0;
    for _ in 0..4 {
        let (byte, tail) = rest.split_first()?;
        rest = tail;
        size = size << 7 | usize::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            break;
        }
    }
    rest.get(..size).filter(|_| *found == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample entry as an AAC encoder writes it, with the codec's own two bytes.
    fn entry(kind: &[u8; 4], object_type: u8, config: [u8; 2]) -> Vec<u8> {
        let mut decoder = vec![object_type, 0x15, 0, 0, 0, 0, 2, 0xEE, 0, 0, 2, 0xEE, 0];
        decoder.extend([5, 0x80, 0x80, 0x80, 2, config[0], config[1]]);
        let mut stream = vec![0, 1, 0, 4, 0x80, 0x80, 0x80, decoder.len() as u8];
        stream.extend(decoder);
        let mut esds = vec![0, 0, 0, 0, 3, 0x80, 0x80, 0x80, stream.len() as u8];
        esds.extend(stream);

        let mut entry = vec![0; 36];
        entry[4..8].copy_from_slice(kind);
        entry.extend((esds.len() as u32 + 8).to_be_bytes());
        entry.extend(b"esds");
        entry.extend(esds);
        entry
    }

    #[test]
    fn aac_says_its_rate_and_channels_in_two_bytes() {
        let sound = sound(&entry(b"mp4a", MPEG4_AUDIO, [0x12, 0x10])).expect("AAC-LC, 44.1 kHz, stereo");
        assert_eq!((sound.codec, sound.sample_rate_hz, sound.channels), (AudioCodec::Aac, 44_100, 2));
    }

    #[test]
    fn what_is_no_plain_aac_is_called_by_its_name() {
        let sentence = |entry: &[u8]| sound(entry).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(sentence(&entry(b"mp4a", MPEG4_AUDIO, [0x2B, 0x92])).contains("HE-AAC"));
        assert!(sentence(&entry(b"mp4a", 0x6B, [0x12, 0x10])).contains("neither ALAC nor AAC"), "MP3 in MP4");
        assert!(sentence(&entry(b"drms", MPEG4_AUDIO, [0x12, 0x10])).contains("protected"));
        assert!(sentence(&entry(b"mp4a", MPEG4_AUDIO, [0x12, 0x10])[..50]).contains("damaged"));
    }
}
