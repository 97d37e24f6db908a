//! Compares what a fragmented file says of its whole with the fragments that are there. Two boxes speak of the whole:
//! `mehd` tells its duration (ISO 14496-12, 8.8.2), and `sidx` the duration and the bytes of the fragments behind it
//! (8.16.3). Nothing else shows that the last fragments are missing.

use std::ops::Range;

use super::{Track, edits};
use crate::backend::media::{
    MediaError, Result,
    source::{Source, be16, be32},
};

/// Number of packets by which the fragments may be shorter than promised. Some writers leave out the duration of the
/// last packet.
const PACKETS_ROUNDED: u64 = 1;
/// Maximum part of a second by which the rounded durations of all packets together may be too short: a tenth.
const ROUNDED_PARTS: u64 = 10;
/// Part of a second by which `mehd` may be too long: a half. It tells the length of the longest track, and that may be
/// the picture from which the sound was split off.
const OTHER_TRACK_PARTS: u64 = 2;
/// Maximum number of tracks whose fragments are added up.
const MAX_TRACKS: usize = super::MAX_TRACKS;
/// Bytes of an entry of `sidx`.
const ENTRY_BYTES: u64 = 12;
/// Number of entries of `sidx` that are read at a time.
const BUFFERED_ENTRIES: u64 = 1024;

/// The duration of the fragments of a track so far, in the time scale of the track.
#[derive(Clone, Copy, Default)]
struct Held {
    track: u32,
    /// Duration of all packets together.
    duration: u64,
    packets: u64,
    /// Time at which the first packet is played, if its fragment declares it.
    first: u64,
    /// Time at which the last packet ends. Some fragments last longer than their packets, because their writers leave
    /// out durations.
    end: u64,
    /// Whether nothing declares the duration of some packets.
    is_unknown: bool,
}

/// The duration and the end of the bytes after a `sidx`, as that box declares them.
#[derive(Clone, Copy)]
pub(super) struct SegmentIndex {
    track: u32,
    timescale: u32,
    /// Duration of all segments together, in the time scale of the box.
    duration: u64,
    /// The end of the last segment in the file.
    end: u64,
    segments: u64,
}

/// The duration that a fragmented file declares for its whole, and the parts that its fragments hold.
#[derive(Default)]
pub(super) struct Promises {
    /// Duration in `mehd`, in the time scale of the movie. 0 if the writer did not know it.
    movie_duration: u64,
    held: Vec<Held>,
    /// The index that reaches farthest, and what stood before it.
    index: Option<(SegmentIndex, Vec<Held>)>,
    /// Whether that index, or one that leads as far, stands before all fragments and lists several of them. Segments of a
    /// live stream have an index each.
    index_is_of_all: bool,
    /// The end of the last `mdat` in the file.
    media_end: u64,
}

impl SegmentIndex {
    /// Reads `sidx`. Returns None if it promises nothing: writers of live streams do not know these numbers.
    pub(super) fn read(source: &mut Source, body: &Range<u64>) -> Result<Option<Self>> {
        const LONGEST_HEAD: u64 = 32;
        /// The largest size, and the mask of sizes.
        const UNKNOWN_SIZE: u32 = 0x7FFF_FFFF;
        let head = source.read_up_to(body.start, (body.end - body.start).min(LONGEST_HEAD) as usize)?;
        let is_long = head.first() == Some(&1);
        let (track, timescale) = (be32(head, 4), be32(head, 8));
        let long = |at: usize| u64::from(be32(head, at)) << 32 | u64::from(be32(head, at + 4));
        // The time of the first segment, and its distance from the end of this box.
        let (first_offset, at) = if is_long { (long(20), 28) } else { (u64::from(be32(head, 16)), 20) };
        let segments = u64::from(be16(head, at + 2));
        let mut left = segments;
        let mut next = body.start + at as u64 + 4;
        let (mut bytes, mut duration) = (0_u64, 0_u64);
        while left > 0 {
            let count = left.min(BUFFERED_ENTRIES);
            let end = next + count * ENTRY_BYTES;
            if end > body.end {
                return Ok(None);
            }
            let Some(entries) = source.bytes(next..end)? else { return Ok(None) };
            for entry in entries.chunks_exact(ENTRY_BYTES as usize) {
                // The highest bit tells whether the entry leads to another index.
                let (size, lasts) = (be32(entry, 0) & UNKNOWN_SIZE, be32(entry, 4));
                if size == UNKNOWN_SIZE || lasts == u32::MAX {
                    return Ok(None);
                }
                bytes += u64::from(size);
                duration += u64::from(lasts);
            }
            (next, left) = (end, left - count);
        }
        let end = body.end.saturating_add(first_offset).saturating_add(bytes);
        Ok((bytes > 0 && duration > 0).then_some(Self { track, timescale, duration, end, segments }))
    }
}

impl Promises {
    /// Notes the duration that `mehd` tells.
    pub(super) fn movie_lasts(&mut self, mehd: &[u8]) {
        let long = u64::from(be32(mehd, 4)) << 32 | u64::from(be32(mehd, 8));
        let (duration, unknown) =
            if mehd.first() == Some(&1) { (long, u64::MAX) } else { (be32(mehd, 4).into(), u32::MAX.into()) };
        self.movie_duration = if duration == unknown { 0 } else { duration };
    }

    pub(super) fn add_index(&mut self, index: SegmentIndex) {
        let farthest = self.index.as_ref().map_or(0, |(farthest, _)| farthest.end);
        if farthest < index.end {
            self.index_is_of_all = self.held.is_empty() && index.segments > 1;
        }
        if farthest <= index.end {
            self.index = Some((index, self.held.clone()));
        }
    }

    /// Adds the packets of a run.
    pub(super) fn run_lasts(&mut self, track: u32, decode_time: Option<u64>, duration: u64, packets: u32) {
        if !self.held.iter().any(|held| held.track == track) && self.held.len() < MAX_TRACKS {
            let first = decode_time.unwrap_or_default();
            self.held.push(Held { track, first, end: first, ..Held::default() });
        }
        let Some(held) = self.held.iter_mut().find(|held| held.track == track) else { return };
        held.duration = held.duration.saturating_add(duration);
        held.end = decode_time.unwrap_or(held.end).saturating_add(duration);
        held.packets += u64::from(packets);
        held.is_unknown |= duration == 0;
    }

    pub(super) fn media_ends(&mut self, end: u64) {
        self.media_end = self.media_end.max(end);
    }

    /// Whether the file says how long it is as a whole. A stream that goes on does not know it.
    pub(super) fn name_a_total(&self) -> bool {
        self.movie_duration > 0 || self.index_is_of_all
    }

    /// Whether fragments are missing at the end.
    ///
    /// Numbers that say too little are accepted, and so are those of writers that round or that mean another time
    /// scale. An index counts only if its bytes and its duration both lead behind the last fragment: writers may put
    /// nominal durations there, and tools that move boxes leave wrong offsets. Its duration is compared only if the
    /// durations of the fragments are known, and the track that it names.
    pub(super) fn are_broken(&self, tracks: &[Track], movie_timescale: u32, source: &mut Source) -> Result<bool> {
        Ok(self.index_is_broken(tracks) || self.movie_is_broken(tracks, movie_timescale, source)?)
    }

    fn index_is_broken(&self, tracks: &[Track]) -> bool {
        let Some((index, before)) = &self.index else { return false };
        // Some writers name another track than the only one.
        let own = tracks.iter().find(|track| track.id == index.track || tracks.len() == 1);
        let is_short = own.is_some_and(|track| {
            let of = |held: &[Held]| held.iter().find(|held| held.track == track.id).copied();
            let all = of(&self.held).unwrap_or_default();
            let behind = of(before).map_or(all, |before| all.behind(&before));
            !all.is_unknown && behind.is_shorter(track.timescale, index.duration, index.timescale, 0)
        });
        index.end > self.media_end && is_short
    }

    fn movie_is_broken(&self, tracks: &[Track], movie_timescale: u32, source: &mut Source) -> Result<bool> {
        if self.movie_duration == 0 {
            return Ok(false);
        }
        // The movie lasts as long as its longest track.
        for track in tracks {
            let fragments = self.held.iter().find(|held| held.track == track.id).copied().unwrap_or_default();
            let table_duration = match track.tables.duration(source) {
                // The tables of other tracks are not heard.
                Err(MediaError::Refused(_)) => 0,
                duration => duration?,
            };
            let silence = edits::silence(&track.edits, movie_timescale, track.timescale);
            let held = Held {
                duration: fragments.lasts().saturating_add(table_duration).saturating_add(silence),
                packets: fragments.packets + u64::from(track.tables.packets),
                is_unknown: fragments.is_unknown,
                ..Held::default()
            };
            let slack = u64::from(track.timescale) / OTHER_TRACK_PARTS;
            let means = |timescale: u32| !held.is_shorter(track.timescale, self.movie_duration, timescale, slack);
            let is_other_scale = held.is_about(track.timescale, self.movie_duration, slack);
            if held.is_unknown || means(movie_timescale) || is_other_scale {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Held {
    fn lasts(&self) -> u64 {
        self.duration.max(self.end.saturating_sub(self.first))
    }

    /// Returns the part behind an earlier state of the same track.
    fn behind(&self, before: &Self) -> Self {
        Self {
            duration: self.duration - before.duration,
            packets: self.packets - before.packets,
            first: before.end,
            ..*self
        }
    }

    /// Whether the packets last less than `promised` units of another time scale, by more than writers round, and by
    /// more than `slack` units of their own.
    fn is_shorter(&self, timescale: u32, promised: u64, promised_timescale: u32, slack: u64) -> bool {
        let (own, other) = (u128::from(timescale.max(1)), u128::from(promised_timescale.max(1)));
        let held = u128::from(self.lasts().saturating_add(self.rounding(timescale).max(slack))) * other;
        // The promise may be rounded up.
        held + own < u128::from(promised) * own
    }

    /// Whether the packets last about `promised` units of their own time scale.
    fn is_about(&self, timescale: u32, promised: u64, slack: u64) -> bool {
        !self.is_shorter(timescale, promised, timescale, slack)
            && self.lasts() <= promised.saturating_add(self.rounding(timescale))
    }

    /// Some packets, and half a unit for each packet whose duration was rounded, up to a part of a second.
    fn rounding(&self, timescale: u32) -> u64 {
        let packet = self.duration / self.packets.max(1);
        let rounded = (self.packets / 2).min(u64::from(timescale) / ROUNDED_PARTS);
        packet.saturating_mul(PACKETS_ROUNDED).saturating_add(rounded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE_HZ: u32 = 44_100;
    const PACKET: u64 = 1024;

    fn held(packets: u64) -> Held {
        Held { duration: packets * PACKET, packets, ..Held::default() }
    }

    #[test]
    fn an_hour_is_compared_as_exactly_as_a_minute() {
        for packets in [2600, 155_040, 930_240] {
            let held = held(packets);
            let is_shorter = |by: u64| held.is_shorter(RATE_HZ, held.duration + by, RATE_HZ, 0);
            assert!(!is_shorter(PACKET), "{packets}");
            // A tenth of a second is forgiven.
            assert!(is_shorter(PACKET + 4410 + 2), "{packets}");
        }
    }

    /// Whether fragments of one second are missing behind an index of two, if each packet lasts `duration`.
    fn index_is_broken(tracks: &[u32], named: u32, duration: u64) -> bool {
        let tracks: Vec<_> =
            tracks.iter().map(|id| Track { id: *id, timescale: RATE_HZ, ..Track::default() }).collect();
        let mut promises = Promises::default();
        let index = SegmentIndex { track: named, timescale: 1000, duration: 2000, end: 2000, segments: 2 };
        promises.add_index(index);
        for _ in 0..43 {
            promises.run_lasts(1, None, duration, 1);
        }
        promises.media_ends(1000);
        promises.index_is_broken(&tracks)
    }

    #[test]
    fn an_index_counts_only_with_a_known_duration_and_a_known_track() {
        assert!(index_is_broken(&[1], 1, PACKET));
        assert!(index_is_broken(&[1], 7, PACKET), "writers name another track than the only one");
        assert!(index_is_broken(&[1, 2], 1, PACKET));
        assert!(!index_is_broken(&[1], 1, 2 * PACKET), "all of its duration is there");
        assert!(!index_is_broken(&[1], 1, 0), "no packet declares its duration");
        assert!(!index_is_broken(&[1, 2], 7, PACKET), "it names no track of the file");
    }
}
