//! Checks whether all fragments of a fragmented file are there, in their order. Nothing else in such a file shows that
//! a fragment is missing.

use super::{
    Packets,
    samples::{Run, too_many},
};
use crate::{
    backend::media::{Result, beginning_missing, begins_in_a_stream, damaged},
    domain::media::format_duration,
};

/// The numbers of the fragments (`mfhd`) of all tracks together. Nearly all writers count up by one.
#[derive(Clone, Copy, Default)]
pub(super) struct Sequence {
    first: Option<u32>,
    last: u32,
    steps: u32,
    gaps: u32,
}

impl Sequence {
    pub(super) fn add(&mut self, number: u32) {
        match self.first {
            None => self.first = Some(number),
            Some(_) => {
                self.steps += 1;
                self.gaps += u32::from(self.last.checked_add(1) != Some(number));
            }
        }
        self.last = number;
    }

    /// Returns the number of fragments so far whose number does not follow the one before.
    pub(super) fn gaps(self) -> u32 {
        self.gaps
    }

    /// Whether the writer counts by one. The standard only requires numbers that increase (ISO 14496-12, 8.8.5): for
    /// example, a track that was split off has every other number.
    fn counts_by_one(self) -> bool {
        self.gaps <= self.steps / 2
    }

    /// Whether the first fragment is missing. Writers count from 0 or 1 on.
    fn lacks_its_first(self) -> bool {
        self.counts_by_one() && self.first.is_some_and(|first| first > 1)
    }
}

impl Packets {
    /// Compares the time at which each fragment of the sound begins with the duration of those before it. If one of the
    /// two is not declared, the numbers of the fragments decide.
    ///
    /// A fragment that begins up to one packet too early or too late is accepted, because writers round, to
    /// milliseconds even, and some round each packet. Some writers leave out the duration of the last packet, so up to
    /// two packets too late are accepted if the numbers go on.
    ///
    /// `has_total` tells whether the file declares how long it is as a whole. Otherwise the file may be the recording of
    /// a live stream that had begun before.
    ///
    /// # Errors
    /// Refused with the position if a fragment is missing, comes twice or stands in another place.
    pub(super) fn validate_fragments(&self, sequence: Sequence, timescale: u32, has_total: bool) -> Result<()> {
        let mut before: Option<&Run> = None;
        let (mut start, mut end) = (0, self.table_duration());
        for run in self.runs() {
            let is_timed = before.map_or(end > 0, |before| before.duration > 0);
            let mean = |before: &Run| before.duration / u64::from(before.packets.max(1));
            let packet = before.map_or_else(|| self.table_packet_duration(), mean).max(1);
            let goes_on = before.is_some_and(|before| before.gaps == run.gaps && before.packets > 1);
            let rounded = before.map_or(0, |before| u64::from(before.packets).min(before.duration / 2));
            let late = packet.saturating_mul(if goes_on { 2 } else { 1 }).saturating_add(rounded);
            let early = packet.saturating_add(rounded);
            let milliseconds = u128::from(end - start) * 1000 / u128::from(timescale.max(1));
            let position = || format_duration(i64::try_from(milliseconds).unwrap_or(i64::MAX));
            match run.decode_time {
                Some(time) if is_timed && time >= end.saturating_add(late) => return missing(&position()),
                Some(time) if is_timed && time.saturating_add(early) <= end => {
                    return damaged(&format!("at {} its fragments are not in their order", position()));
                }
                Some(time) if is_timed => (start, end) = (start.min(time), time),
                // The first fragment, behind sample tables without a packet.
                time if before.is_none() && self.table_duration() == 0 => {
                    if sequence.lacks_its_first() && time != Some(0) {
                        return if has_total { beginning_missing() } else { begins_in_a_stream() };
                    }
                    (start, end) = (time.unwrap_or(0), time.unwrap_or(0));
                }
                _ if sequence.counts_by_one() && before.is_some_and(|before| before.gaps != run.gaps) => {
                    return missing(&position());
                }
                Some(time) => (start, end) = (start.min(time), time),
                None => {}
            }
            end = match end.checked_add(run.duration) {
                Some(end) => end,
                None => return too_many(),
            };
            before = Some(run);
        }
        Ok(())
    }
}

fn missing<T>(position: &str) -> Result<T> {
    damaged(&format!("a part of the sound is missing at {position}"))
}
