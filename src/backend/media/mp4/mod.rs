//! Reads the header of an MP4 (M4A), which consists of boxes in boxes. `moov` describes the tracks, and `mdat` holds
//! their bytes. In a fragmented file, each `moof` describes the `mdat` behind it.

mod alac;
mod decode;
mod description;
mod edits;
mod fragments;
mod promises;
mod samples;

use std::ops::Range;

use self::{
    description::Sound,
    edits::{Edit, Gapless, MAX_EDITS, PlayedPart, Timescales},
    fragments::Sequence,
    promises::{Promises, SegmentIndex},
    samples::{MAX_RUNS, Run, SampleTables, Sizes, Table, contradiction, stands_for_nothing, too_many},
};

pub(super) use self::{decode::PacketLayout, samples::Packets};
use super::{
    Result, damaged,
    header::Header,
    incomplete, refused,
    source::{Source, be32},
    tags,
};
use crate::domain::{
    media::{AudioCodec, AudioContainer, Tags},
    problem::FileRefusal,
};

/// Maximum bytes of all boxes but `mdat` together. Six hours of AAC at 48 kHz are a million packets. The largest
/// possible tables (a size, a duration and a chunk for each packet) take 24 bytes for a packet, 24 MB in all; usual
/// tables take 4. The rest is room for a picture.
const MAX_OUTSIDE_MEDIA_BYTES: u64 = tags::MAX_TAG_BYTES;
/// Maximum number of boxes. Six hours in fragments of a second are 21,600 times eight boxes at most (`styp`, `sidx`,
/// `moof` with five in it, `mdat`).
const MAX_BOXES: usize = 250_000;
const MAX_DEPTH: usize = 8;
/// Boxes that stand beside each other at the top of a file (ISO/IEC 14496-12, QuickTime).
const TOP_LEVEL_BOXES: [&[u8; 4]; 12] =
    [b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"mfra", b"sidx", b"meta", b"uuid", b"free", b"skip", b"wide"];
/// Maximum number of tracks. The sound, a cover as a track of its own, chapters and their pictures are four.
const MAX_TRACKS: usize = 32;
/// Maximum bytes that are read of a box with a value. A title or a sample description is far shorter.
const MAX_LEAF_BYTES: u64 = 4096;
/// Bit 0 of a track's flags: the track is presented.
const TRACK_ENABLED: u32 = 1;

/// The contents of the boxes of a track, gathered while walking through them.
#[derive(Default)]
struct Track {
    id: u32,
    is_enabled: bool,
    handler: [u8; 4],
    timescale: u32,
    description: Vec<u8>,
    tables: SampleTables,
    edits: Vec<Edit>,
    /// Ids of the tracks with the titles or pictures of the chapters.
    chapters: Vec<u32>,
}

impl Track {
    fn is(&self, handler: &[u8; 4]) -> bool {
        &self.handler == handler
    }
}

/// The defaults of `trex` for the packets of a track, for fragments that declare nothing else.
#[derive(Clone, Copy, Default)]
struct Defaults {
    track: u32,
    duration: u32,
    size: u32,
}

/// The numbers of `tfhd` and `tfdt`, which apply to the runs behind them.
#[derive(Clone, Copy, Default)]
struct Fragment {
    /// Offset of the fragment's `moof`.
    moof: u64,
    track: u32,
    /// Offset from which the offsets of the runs are counted.
    base: u64,
    /// Bytes of each packet. None if `trex` declares them.
    default_size: Option<u32>,
    /// Duration of each packet, in the time scale of the track. None if `trex` declares it.
    default_duration: Option<u32>,
    /// Time at which the first packet is played, in the time scale of the track. The first run takes it.
    decode_time: Option<u64>,
    /// Whether the fragment has runs already. A run that does not declare its offset follows the one before.
    has_runs: bool,
}

pub(super) fn header(source: &mut Source) -> Result<Header<PacketLayout>> {
    let mut walk = Walk {
        source,
        boxes_left: MAX_BOXES,
        outside_media_bytes: 0,
        tracks: vec![],
        defaults: vec![],
        fragment: Fragment::default(),
        runs: vec![],
        sequence: Sequence::default(),
        promises: Promises::default(),
        tags: Tags::default(),
        has_media: false,
        movie_timescale: 0,
        gapless: None,
    };
    let whole = 0..walk.source.length();
    walk.walk_boxes(whole, 0)?;
    let Walk { source, mut tracks, defaults, mut runs, sequence, tags, movie_timescale, gapless, .. } = walk;
    let (promises, has_media) = (walk.promises, walk.has_media);

    if tracks.is_empty() {
        return incomplete();
    }
    if tracks.iter().any(|track| is_film(track, &tracks)) {
        return refused(
            FileRefusal::WrongKind,
            "This is a video. Upload its sound as WAV, FLAC, AIFF, ALAC, AAC (M4A) or MP3.",
        );
    }
    // Players play the tracks that are enabled. If none is, they play the first.
    let sounds = || (0..tracks.len()).filter(|at| tracks[*at].is(b"soun"));
    let mut enabled = sounds().filter(|at| tracks[*at].is_enabled);
    let Some(at) = enabled.next().or_else(|| sounds().next()) else {
        return refused(
            FileRefusal::WrongKind,
            "There is no sound in this MP4 file. Export it again and upload the new file.",
        );
    };
    if enabled.next().is_some() {
        return refused(
            FileRefusal::OutsideLimits,
            "This file has several sound tracks, and not every player plays the same one. Export one mix and upload that file.",
        );
    }
    if !has_media {
        return incomplete();
    }
    let lacks_its_end = promises.are_broken(&tracks, movie_timescale, source)?;
    let track = tracks.swap_remove(at);
    let sound = description::sound(&track.description)?;
    runs.retain(|run| run.track == track.id);
    let default_size = defaults.iter().find(|defaults| defaults.track == track.id).map_or(0, |defaults| defaults.size);
    let packets = Packets::new(source, track.tables, runs, default_size)?;
    // This check comes first, because a missing fragment may move others behind the end of the file.
    packets.validate_fragments(sequence, track.timescale, promises.name_a_total())?;
    if lacks_its_end {
        return incomplete();
    }
    packets.validate(source)?;
    let mut times = Timescales {
        movie_timescale,
        track_timescale: track.timescale,
        sample_rate_hz: sound.sample_rate_hz,
        samples: None,
    };
    times.samples = packets.duration().map(|duration| times.scaled(duration, track.timescale));
    let parts = edits::played_parts(&track.edits, gapless.filter(|_| sound.codec == AudioCodec::Aac), times)?;
    Ok(Header {
        container: AudioContainer::Mp4,
        codec: sound.codec,
        sample_rate_hz: sound.sample_rate_hz,
        channels: sound.channels,
        bit_depth: sound.bit_depth,
        frames: times.heard(&parts),
        packaging: vec![],
        tags,
        samples: PacketLayout { sound, packets, parts },
    })
}

/// Whether the track is moving pictures that people see. A song may have a picture for each chapter, or a cover as a
/// track.
fn is_film(track: &Track, tracks: &[Track]) -> bool {
    let is_chapters = tracks.iter().any(|other| other.chapters.contains(&track.id));
    track.is(b"vide") && track.is_enabled && !is_chapters && !description::is_still(&track.description)
}

struct Walk<'a> {
    source: &'a mut Source,
    boxes_left: usize,
    outside_media_bytes: u64,
    tracks: Vec<Track>,
    defaults: Vec<Defaults>,
    fragment: Fragment,
    runs: Vec<Run>,
    sequence: Sequence,
    promises: Promises,
    tags: Tags,
    has_media: bool,
    movie_timescale: u32,
    gapless: Option<Gapless>,
}

impl Walk<'_> {
    fn walk_boxes(&mut self, range: Range<u64>, depth: usize) -> Result<()> {
        let mut offset = range.start;
        while offset + 8 <= range.end {
            self.boxes_left = match self.boxes_left.checked_sub(1) {
                Some(left) => left,
                None => return too_many(),
            };
            let Some(head) = self.source.read_array::<8>(offset)? else { return incomplete() };
            let (size, body) = match be32(&head, 0) {
                0 => (range.end - offset, offset + 8),
                1 => match self.source.read_array::<8>(offset + 8)? {
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
                return match &head[4..] {
                    _ if depth > 0 => damaged("its pieces overlap"),
                    kind if TOP_LEVEL_BOXES.iter().any(|known| *known == kind) => incomplete(),
                    // A tag of another kind of file, or a few bytes, may follow the last box.
                    _ => Ok(()),
                };
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
            self.visit_box(&head[4..], body..end, depth)?;
            offset = end;
        }
        Ok(())
    }

    fn visit_box(&mut self, kind: &[u8], body: Range<u64>, depth: usize) -> Result<()> {
        let descend = depth < MAX_DEPTH;
        match kind {
            b"mdat" => {
                self.has_media |= body.end > body.start;
                self.promises.media_ends(body.end);
                Ok(())
            }
            b"trak" if descend => {
                if self.tracks.len() == MAX_TRACKS {
                    return too_many();
                }
                self.tracks.push(Track::default());
                self.walk_boxes(body, depth + 1)
            }
            b"moov" | b"edts" | b"tref" | b"mdia" | b"minf" | b"stbl" | b"udta" | b"ilst" | b"mvex" | b"moof"
            | b"traf"
                if descend =>
            {
                self.walk_boxes(body, depth + 1)
            }
            // QuickTime leaves out the version that ISO puts before the boxes in `meta`.
            b"meta" if descend => {
                let has_version = self.source.read_array::<8>(body.start)?.is_some_and(|start| &start[4..] != b"hdlr");
                let start = if has_version { (body.start + 4).min(body.end) } else { body.start };
                self.walk_boxes(start..body.end, depth + 1)
            }
            b"mvhd" => {
                let leaf = self.source.read_up_to(body.start, (body.end - body.start).min(24) as usize)?;
                self.movie_timescale = be32(leaf, if leaf.first() == Some(&1) { 20 } else { 12 });
                Ok(())
            }
            b"tkhd" => self.leaf(&body, |track, leaf| {
                track.id = be32(leaf, if leaf.first() == Some(&1) { 20 } else { 12 });
                // The flags follow the version, which is one byte.
                track.is_enabled = be32(leaf, 0) & TRACK_ENABLED != 0;
            }),
            b"elst" => self.edit_list(&body),
            b"chap" => self.leaf(&body, |track, leaf| {
                track.chapters = leaf.chunks_exact(4).map(|id| be32(id, 0)).collect();
            }),
            b"----" => self.free_form(&body),
            b"stts" | b"ctts" | b"stsc" | b"stsz" | b"stco" | b"co64" => self.table(kind, &body),
            b"trex" => {
                if self.defaults.len() == MAX_TRACKS {
                    return too_many();
                }
                let leaf = self.source.read_up_to(body.start, (body.end - body.start).min(24) as usize)?;
                self.defaults.push(Defaults { track: be32(leaf, 4), duration: be32(leaf, 12), size: be32(leaf, 16) });
                Ok(())
            }
            b"mehd" => {
                let leaf = self.source.read_up_to(body.start, (body.end - body.start).min(12) as usize)?;
                self.promises.movie_lasts(leaf);
                Ok(())
            }
            b"sidx" => {
                let Some(index) = SegmentIndex::read(self.source, &body)? else { return Ok(()) };
                self.promises.add_index(index);
                Ok(())
            }
            b"mfhd" => {
                let leaf = self.source.read_up_to(body.start, (body.end - body.start).min(8) as usize)?;
                self.sequence.add(be32(leaf, 4));
                Ok(())
            }
            b"tfdt" => {
                let leaf = self.source.read_up_to(body.start, (body.end - body.start).min(12) as usize)?;
                let (first, second) = (u64::from(be32(leaf, 4)), u64::from(be32(leaf, 8)));
                self.fragment.decode_time = Some(if leaf.first() == Some(&1) { first << 32 | second } else { first });
                Ok(())
            }
            b"tfhd" => self.fragment_header(&body),
            b"trun" => self.run(&body),
            b"hdlr" => self.leaf(&body, |track, leaf| {
                // `meta` has a handler too, but the track's own comes first.
                if track.handler == [0; 4] {
                    track.handler = be32(leaf, 8).to_be_bytes();
                }
            }),
            b"mdhd" => self.leaf(&body, |track, leaf| {
                track.timescale = be32(leaf, if leaf.first() == Some(&1) { 20 } else { 12 });
            }),
            b"stsd" => self.leaf(&body, |track, leaf| track.description = leaf.get(8..).unwrap_or_default().to_vec()),
            b"\xA9nam" | b"\xA9ART" | b"\xA9alb" | b"trkn" | b"disk" => {
                tags::mp4_item(&mut self.tags, self.source, kind, body)
            }
            _ => Ok(()),
        }
    }

    /// Reads the edit list of the current track. Only the first one counts.
    fn edit_list(&mut self, body: &Range<u64>) -> Result<()> {
        let Some(track) = self.tracks.last_mut().filter(|track| track.edits.is_empty()) else { return Ok(()) };
        const HEAD_AND_LONG_EDITS: usize = 8 + MAX_EDITS * 20;
        let list =
            self.source.read_up_to(body.start, (body.end - body.start).min(HEAD_AND_LONG_EDITS as u64) as usize)?;
        track.edits = edits::read(list)?;
        Ok(())
    }

    /// Reads a tag with a name of its own: "mean", "name" and "data", each behind a version.
    fn free_form(&mut self, body: &Range<u64>) -> Result<()> {
        let item = self.source.read_up_to(body.start, (body.end - body.start).min(MAX_LEAF_BYTES) as usize)?;
        let name = description::child_box(item, b"name").and_then(|name| name.get(4..));
        let value = description::child_box(item, b"data").and_then(|data| data.get(8..));
        if let (Some(b"iTunSMPB"), Some(value)) = (name, value) {
            self.gapless = Gapless::parse(&String::from_utf8_lossy(value));
        } else if name.is_some_and(|name| name.eq_ignore_ascii_case(b"ISRC")) {
            tags::mp4_item(&mut self.tags, self.source, b"----", body.clone())?;
        }
        Ok(())
    }

    /// Records where a table of the current track lies. Only the first one of each kind counts.
    fn table(&mut self, kind: &[u8], body: &Range<u64>) -> Result<()> {
        let Some(track) = self.tracks.last_mut() else { return Ok(()) };
        let head = self.source.read_up_to(body.start, (body.end - body.start).min(12) as usize)?;
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

    /// Reads `tfhd` (ISO 14496-12, 8.8.7). Its flags declare which of its fields are present.
    fn fragment_header(&mut self, body: &Range<u64>) -> Result<()> {
        let head = self.source.read_up_to(body.start, (body.end - body.start).min(40) as usize)?;
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
        let default_duration = field(0x8, 4).map(|at| be32(head, at));
        let default_size = field(0x10, 4).map(|at| be32(head, at));
        let moof = self.fragment.moof;
        self.fragment = Fragment {
            moof,
            track: be32(head, 4),
            base: base.unwrap_or(moof),
            default_size,
            default_duration,
            decode_time: None,
            has_runs: false,
        };
        Ok(())
    }

    /// Reads `trun` (ISO 14496-12, 8.8.8). Its flags declare which fields it has, and which fields each of its entries
    /// has.
    fn run(&mut self, body: &Range<u64>) -> Result<()> {
        let head = self.source.read_up_to(body.start, (body.end - body.start).min(16) as usize)?;
        let (flags, packets) = (be32(head, 0), be32(head, 4));
        if packets == 0 {
            return stands_for_nothing();
        }
        let fields = |mask: u32| u64::from((flags & mask).count_ones()) * 4;
        let offset = (flags & 0x1 != 0).then(|| be32(head, 8).cast_signed());
        // The fields of an entry are duration, size, flags and composition offset.
        let Some(table) = Table::new(body.start + 8 + fields(0x5), packets, fields(0xF00), body.end) else {
            return damaged("its tables are cut short");
        };
        let Fragment { base, has_runs, track, default_size, default_duration, .. } = self.fragment;
        let duration = if flags & 0x100 != 0 {
            table.clone().sum(self.source)?
        } else {
            let of_track = || self.defaults.iter().find(|defaults| defaults.track == track).map(|of| of.duration);
            u64::from(packets) * u64::from(default_duration.or_else(of_track).unwrap_or_default())
        };
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
        let (decode_time, gaps) = (self.fragment.decode_time.take(), self.sequence.gaps());
        self.promises.run_lasts(track, decode_time, duration, packets);
        self.runs.push(Run { track, offset, packets, sizes, duration, decode_time, gaps });
        Ok(())
    }

    fn leaf(&mut self, body: &Range<u64>, read: impl FnOnce(&mut Track, &[u8])) -> Result<()> {
        let bytes = self.source.read_up_to(body.start, (body.end - body.start).min(MAX_LEAF_BYTES) as usize)?;
        if let Some(track) = self.tracks.last_mut() {
            read(track, bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
