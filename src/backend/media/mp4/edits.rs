//! Reads the edit list (ISO 14496-12, 8.6.6), which says which parts of a track are heard and in which order. The edit
//! list also cuts off the samples that encoders put in front of the sound (AAC's priming).

use std::ops::Range;

use crate::backend::media::{
    Result, damaged,
    source::{be16, be32},
    undecodable,
};

/// Maximum number of edits. Editors cut a song into some parts, and each part costs memory.
pub(super) const MAX_EDITS: usize = 1000;
/// Number of samples of priming from which on players distrust a tag.
const MAX_PRIMING_SAMPLES: u64 = 16_384;
const NORMAL_SPEED: u16 = 1;
/// Names the fault of an edit list with too many parts, or with too many parts that lead back.
pub(super) const TOO_COMPLICATED: &str = "its edit list is too complicated";

/// An entry of `elst`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edit {
    /// Duration in the time scale of the movie. 0 in a fragmented file means up to the end.
    duration: u64,
    /// Start in the time scale of the track. None for an empty edit, which is silence.
    media_time: Option<u64>,
    speed: u16,
}

/// The numbers that iTunes writes into the tag "iTunSMPB", in samples for each channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gapless {
    priming: u64,
    padding: u64,
    sound: u64,
}

/// A part of a track that is heard, in samples for each channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backend::media) enum PlayedPart {
    Silence(u64),
    /// A range that is counted from the first decoded sample. It may end behind the last one.
    Sound(Range<u64>),
}

/// The time scales of a file, and the length of its track.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timescales {
    pub(super) movie_timescale: u32,
    pub(super) track_timescale: u32,
    pub(super) sample_rate_hz: u32,
    /// Number of samples (for each channel) of all packets together. None in a fragmented file, which does not declare
    /// it in one place.
    pub(super) samples: Option<u64>,
}

/// Reads the entries of `elst`, which begins with its version.
pub(super) fn read(list: &[u8]) -> Result<Vec<Edit>> {
    let count = be32(list, 4) as usize;
    let is_long = list.first() == Some(&1);
    let stride = if is_long { 20 } else { 12 };
    if count > MAX_EDITS {
        return undecodable(TOO_COMPLICATED);
    }
    let Some(entries) = list.get(8..8 + count * stride) else { return damaged("its tables are cut short") };
    let long = |entry: &[u8], at: usize| u64::from(be32(entry, at)) << 32 | u64::from(be32(entry, at + 4));
    let edit = |entry: &[u8]| {
        // An empty edit begins at −1.
        let (duration, media_time) = if is_long {
            (long(entry, 0), long(entry, 8).cast_signed())
        } else {
            (u64::from(be32(entry, 0)), i64::from(be32(entry, 4).cast_signed()))
        };
        Edit { duration, media_time: u64::try_from(media_time).ok(), speed: be16(entry, stride - 4) }
    };
    Ok(entries.chunks_exact(stride).map(edit).collect())
}

/// Returns how long the empty edits are together, in the time scale of the track.
pub(super) fn silence(edits: &[Edit], movie_timescale: u32, track_timescale: u32) -> u64 {
    let silent = edits.iter().filter(|edit| edit.media_time.is_none()).map(|edit| u128::from(edit.duration));
    let silent = silent.sum::<u128>() * u128::from(track_timescale) / u128::from(movie_timescale.max(1));
    u64::try_from(silent).unwrap_or(u64::MAX)
}

impl Gapless {
    /// Parses a text like " 00000000 00000840 000001CA 00000000003F31F6 …".
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_whitespace().skip(1).map(|number| u64::from_str_radix(number, 16).ok());
        let (priming, padding, sound) = (numbers.next()??, numbers.next()??, numbers.next()??);
        (priming > 0 && priming < MAX_PRIMING_SAMPLES && sound > 0).then_some(Self { priming, padding, sound })
    }

    /// Returns the samples that are heard. Apple's players cut off both ends, others cut off only the priming. All
    /// agree if the three numbers make up the whole.
    fn heard(self, samples: Option<u64>) -> Range<u64> {
        let sum = self.priming.saturating_add(self.sound);
        let is_whole = samples.is_some_and(|samples| sum <= samples && sum.saturating_add(self.padding) >= samples);
        self.priming..if is_whole { sum } else { u64::MAX }
    }
}

/// Returns the parts of a track that players play.
///
/// # Errors
/// Refused if nothing is played, or if it is played at another speed.
pub(super) fn played_parts(edits: &[Edit], gapless: Option<Gapless>, times: Timescales) -> Result<Vec<PlayedPart>> {
    if edits.is_empty() {
        return Ok(vec![PlayedPart::Sound(gapless.map_or(0..u64::MAX, |gapless| gapless.heard(times.samples)))]);
    }
    if edits.iter().any(|edit| edit.media_time.is_some() && edit.speed != NORMAL_SPEED) {
        return undecodable("it asks players to play it faster or slower than it was recorded");
    }
    let mut parts: Vec<PlayedPart> =
        edits.iter().map(|edit| times.part(edit)).filter(|part| part.samples() > 0).collect();
    // This edit list does not account for the priming.
    if let (Some(gapless), [PlayedPart::Sound(Range { start: 0, end })]) = (gapless, parts.as_slice()) {
        let Range { start, end: gapless_end } = gapless.heard(times.samples);
        parts = vec![PlayedPart::Sound(start..gapless_end.min(end.saturating_add(start)))];
    }
    let begins_inside = |part: &PlayedPart| match part {
        PlayedPart::Sound(range) => times.samples.is_none_or(|samples| range.start < samples),
        PlayedPart::Silence(_) => false,
    };
    if !parts.iter().any(begins_inside) {
        return damaged("its edit list plays none of its sound");
    }
    Ok(parts)
}

impl Timescales {
    fn part(&self, edit: &Edit) -> PlayedPart {
        let length = self.scaled(edit.duration, self.movie_timescale);
        let Some(media_time) = edit.media_time else { return PlayedPart::Silence(length) };
        let start = self.scaled(media_time, self.track_timescale);
        let end = start.saturating_add(length);
        // The movie counts in coarse steps, so whatever is left of the last step belongs to the sound.
        let step = self.scaled(1, self.movie_timescale).max(1);
        let is_to_the_end = match self.samples {
            Some(samples) => length > 0 && end < samples && samples - end < step,
            None => length == 0,
        };
        PlayedPart::Sound(start..if is_to_the_end { self.samples.unwrap_or(u64::MAX) } else { end })
    }

    /// Converts `duration` to samples, rounded.
    pub(super) fn scaled(&self, duration: u64, timescale: u32) -> u64 {
        let timescale = u128::from(timescale.max(1));
        let samples = (u128::from(duration) * u128::from(self.sample_rate_hz) + timescale / 2) / timescale;
        u64::try_from(samples).unwrap_or(u64::MAX)
    }

    /// Returns how many samples are heard. None if only decoding can tell.
    pub(super) fn heard(&self, parts: &[PlayedPart]) -> Option<u64> {
        let samples = self.samples?;
        let heard = |part: &PlayedPart| match part {
            PlayedPart::Silence(length) => *length,
            PlayedPart::Sound(range) => range.end.min(samples).saturating_sub(range.start),
        };
        Some(parts.iter().map(heard).fold(0, u64::saturating_add))
    }
}

impl PlayedPart {
    fn samples(&self) -> u64 {
        match self {
            Self::Silence(length) => *length,
            Self::Sound(range) => range.end.saturating_sub(range.start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOVIE: u64 = 1000;

    fn list(edits: &[(u64, i64, u16)], is_long: bool) -> Vec<u8> {
        let mut list = vec![u8::from(is_long), 0, 0, 0];
        list.extend((edits.len() as u32).to_be_bytes());
        for (duration, media_time, speed) in edits {
            if is_long {
                list.extend(duration.to_be_bytes());
                list.extend(media_time.to_be_bytes());
            } else {
                list.extend((*duration as u32).to_be_bytes());
                list.extend((*media_time as i32).to_be_bytes());
            }
            list.extend(speed.to_be_bytes());
            list.extend([0, 0]);
        }
        list
    }

    /// A track of ten seconds with a time scale of its own.
    fn played(edits: &[(u64, i64, u16)], track_timescale: u32) -> Result<(Vec<PlayedPart>, u64)> {
        let times = Timescales {
            movie_timescale: MOVIE as u32,
            track_timescale,
            sample_rate_hz: 44_100,
            samples: Some(441_000),
        };
        let short = played_parts(&read(&list(edits, false))?, None, times)?;
        assert_eq!(played_parts(&read(&list(edits, true))?, None, times)?, short);
        let heard = times.heard(&short).expect("the length is known");
        Ok((short, heard))
    }

    #[test]
    fn an_edit_list_says_what_is_heard() {
        use PlayedPart::{Silence, Sound};
        for (edits, expected, heard) in [
            (vec![], vec![Sound(0..u64::MAX)], 441_000),
            (vec![(3000, 44_100, 1)], vec![Sound(44_100..176_400)], 132_300),
            (vec![(1000, -1, 1), (2000, 0, 1)], vec![Silence(44_100), Sound(0..88_200)], 132_300),
            (
                vec![(1000, 441, 1), (500, -1, 0), (1000, 220_500, 1)],
                vec![Sound(441..44_541), Silence(22_050), Sound(220_500..264_600)],
                110_250,
            ),
            // The second part leads back.
            (vec![(1000, 44_100, 1), (1000, 0, 1)], vec![Sound(44_100..88_200), Sound(0..44_100)], 88_200),
            // The part is longer than the sound.
            (vec![(99_000, 220_500, 1)], vec![Sound(220_500..4_586_400)], 220_500),
            // Nothing of the last millisecond is cut off.
            (vec![(9_976, 1_024, 1)], vec![Sound(1_024..441_000)], 439_976),
            (vec![(0, 0, 1), (1000, 0, 1)], vec![Sound(0..44_100)], 44_100),
        ] {
            assert_eq!(played(&edits, 44_100).expect("it is played"), (expected, heard), "{edits:?}");
        }
        assert_eq!(played(&[(1000, 600, 1)], 600).expect("it is played").0, vec![PlayedPart::Sound(44_100..88_200)]);
    }

    #[test]
    fn an_edit_list_that_no_player_follows_is_refused() {
        let sentence = |edits: &[(u64, i64, u16)]| match played(edits, 44_100) {
            Err(error) => error.to_string(),
            Ok(parts) => panic!("{parts:?}"),
        };
        assert!(sentence(&[(1000, 0, 2)]).contains("faster or slower"));
        assert!(sentence(&[(1000, -1, 1)]).contains("none of its sound"));
        assert!(sentence(&[(0, 0, 1)]).contains("none of its sound"));
        assert!(sentence(&[(1000, 500_000, 1)]).contains("none of its sound"));
        assert!(sentence(&vec![(1, 0, 1); 2000]).contains("too complicated"));
        assert!(read(&[0, 0, 0, 0, 0, 0, 0, 2, 0]).is_err(), "it is cut short");
    }

    #[test]
    fn a_fragmented_track_is_played_to_its_end() {
        let times =
            Timescales { movie_timescale: 1000, track_timescale: 44_100, sample_rate_hz: 44_100, samples: None };
        let edits = read(&list(&[(0, 1024, 1)], false)).expect("a list");
        let parts = played_parts(&edits, None, times).expect("it is played");
        assert_eq!((times.heard(&parts), parts), (None, vec![PlayedPart::Sound(1024..u64::MAX)]));
    }

    #[test]
    fn what_itunes_says_of_priming_counts_where_no_edit_list_does() {
        let tag = " 00000000 00000840 000000D0 0000000000081330 00000000";
        let gapless = Gapless::parse(tag);
        assert_eq!(gapless, Some(Gapless { priming: 2112, padding: 208, sound: 529_200 }));
        for nonsense in ["", " 0 0 0 0", " 0 840 x 100", " 00000000 00FF0000 0 100", " 0 FFFFFFFFFFFFFFFFFF 0 1"] {
            assert_eq!(Gapless::parse(nonsense), None);
        }
        let played = |edits: &[(u64, i64, u16)], samples: u64| {
            let times = Timescales {
                movie_timescale: 1000,
                track_timescale: 44_100,
                sample_rate_hz: 44_100,
                samples: Some(samples),
            };
            played_parts(&read(&list(edits, false)).expect("a list"), gapless, times).expect("it is played")
        };
        let whole = 2112 + 529_200 + 208;
        assert_eq!(played(&[], whole), vec![PlayedPart::Sound(2112..531_312)]);
        assert_eq!(played(&[(12_000, 0, 1)], whole), vec![PlayedPart::Sound(2112..531_312)]);
        assert_eq!(played(&[(1_000, 0, 1)], whole), vec![PlayedPart::Sound(2112..46_212)]);
        // The numbers of the tag do not make up the whole of a file that was cut later.
        assert_eq!(played(&[], 2 * whole), vec![PlayedPart::Sound(2112..u64::MAX)]);
        assert_eq!(played(&[(1000, 1024, 1)], whole), vec![PlayedPart::Sound(1024..45_124)]);
    }
}
