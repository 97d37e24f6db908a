//! The first look: what kind of file is this, may it be stored, and is all of it there? Headers only.

use std::path::Path;

use super::{
    Deadline, Result, aiff, cover, empty,
    flac::{self, FlacLayout},
    mp3::{self, FrameLayout},
    mp4::{self, PacketLayout},
    pcm::PcmLayout,
    refused,
    source::Source,
    tags, too_large, wav,
};
use crate::domain::media::{
    AudioCodec, AudioContainer, CoverFacts, MediaLimits, PackagingNote, Tags, UNKNOWN_AUDIO, audio_refusal,
    cover_refusal, other_audio,
};

/// Bytes at the start of a file that tell its kind.
const START_BYTES: usize = 512;

/// A cover that may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedCover {
    pub content_type: &'static str,
    pub facts: CoverFacts,
}

/// A track's file that may be stored: what its header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedAudio {
    pub content_type: &'static str,
    pub container: AudioContainer,
    pub codec: AudioCodec,
    /// None if the header does not say; decoding tells the truth.
    pub duration_ms: Option<i64>,
    pub sample_rate_hz: i32,
    pub bit_depth: Option<i16>,
    pub channels: i16,
    pub tags: Tags,
}

/// What the header of any kind of audio file comes down to.
pub(super) struct AudioHeader {
    pub(super) container: AudioContainer,
    pub(super) codec: AudioCodec,
    pub(super) sample_rate_hz: u32,
    pub(super) channels: u16,
    pub(super) bit_depth: Option<u16>,
    /// Sample frames (one sample for each channel) as declared or counted.
    pub(super) frames: Option<u64>,
    pub(super) packaging: Vec<PackagingNote>,
    pub(super) tags: Tags,
    pub(super) samples: Samples,
}

/// Where the sound lies in the file.
pub(super) enum Samples {
    /// Numbers that need no decoder.
    Plain(PcmLayout),
    /// Frames of an MP3, one behind another.
    Frames(Box<FrameLayout>),
    /// Frames of a FLAC, one behind another.
    Flac(Box<FlacLayout>),
    /// Packets that tables point at.
    Packets(Box<PacketLayout>),
}

impl AudioHeader {
    fn duration_ms(&self) -> Option<i64> {
        let milliseconds = u128::from(self.frames?) * 1000 / u128::from(self.sample_rate_hz.max(1));
        Some(i64::try_from(milliseconds).unwrap_or(i64::MAX))
    }
}

/// Judges a cover by its content.
///
/// # Errors
/// 413 over the limit, 415 neither JPEG nor PNG, 422 animated, damaged, incomplete, not square or of an impossible size; or out of
/// time.
pub fn validate_cover(path: &Path, limits: &MediaLimits, deadline: &Deadline) -> Result<ValidatedCover> {
    let facts = cover_of(&mut Source::open(path, deadline)?, limits)?;
    Ok(ValidatedCover { content_type: facts.format.content_type(), facts })
}

pub(super) fn cover_of(source: &mut Source, limits: &MediaLimits) -> Result<CoverFacts> {
    if source.length() == 0 {
        return empty();
    }
    if source.length() > limits.max_cover_bytes {
        return too_large(limits.max_cover_bytes);
    }
    let facts = cover::header(source)?;
    match cover_refusal(facts.width_px.unsigned_abs(), facts.height_px.unsigned_abs()) {
        Some(refusal) => refused(422, refusal.sentence()),
        None => Ok(facts),
    }
}

/// Judges a track's file by its content.
///
/// # Errors
/// 413 over the limit, 415 another kind of file, 422 damaged, incomplete, or outside what stores take; or out of time.
pub fn validate_audio(path: &Path, limits: &MediaLimits, deadline: &Deadline) -> Result<ValidatedAudio> {
    let header = audio_of(&mut Source::open(path, deadline)?, limits)?;
    Ok(ValidatedAudio {
        content_type: header.container.content_type(),
        container: header.container,
        codec: header.codec,
        duration_ms: header.duration_ms(),
        // The rules have bounded these three.
        sample_rate_hz: header.sample_rate_hz.cast_signed(),
        bit_depth: header.bit_depth.map(u16::cast_signed),
        channels: header.channels.cast_signed(),
        tags: header.tags,
    })
}

pub(super) fn audio_of(source: &mut Source, limits: &MediaLimits) -> Result<AudioHeader> {
    if source.length() == 0 {
        return empty();
    }
    if source.length() > limits.max_audio_bytes {
        return too_large(limits.max_audio_bytes);
    }
    let mut header = read_header(source)?;
    enforce_rules(&header)?;
    if matches!(header.container, AudioContainer::Flac | AudioContainer::Mp3) {
        tags::merge(&mut header.tags, tags::trailing(source)?);
    }
    Ok(header)
}

fn read_header(source: &mut Source) -> Result<AudioHeader> {
    let (id3_end, id3) = tags::leading_id3(source)?;
    let start = source.read_up_to(id3_end, START_BYTES)?.to_vec();
    if start.starts_with(b"fLaC") {
        return flac::header(source, id3_end, id3);
    }
    if let Some(other) = other_audio(&start) {
        return refused(415, format!("This is {other}. Upload a WAV, FLAC, AIFF, ALAC, AAC (M4A) or MP3 file."));
    }
    let name = match (start.get(..4), start.get(4..8), start.get(8..12)) {
        (Some(b"RIFF"), _, Some(b"WAVE")) if id3_end == 0 => return wav::header(source),
        (Some(b"FORM"), _, Some(b"AIFF" | b"AIFC")) if id3_end == 0 => return aiff::header(source),
        // Old QuickTime files begin with any of its boxes.
        (_, Some(b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free" | b"skip" | b"pnot"), _) if id3_end == 0 => {
            return mp4::header(source);
        }
        (Some(b"RIFF"), _, Some(b"WAVE")) => "WAV",
        (Some(b"FORM"), _, Some(b"AIFF" | b"AIFC")) => "AIFF",
        (_, Some(b"ftyp"), _) => "MP4",
        _ => {
            return match mp3::header(source, id3_end, id3)? {
                Some(header) => Ok(header),
                None => refused(415, UNKNOWN_AUDIO),
            };
        }
    };
    // Some players pass over the tag, and others take the file for an MP3.
    refused(
        415,
        format!("This is {name} behind an ID3 tag, which not every player knows. Export it again without that tag."),
    )
}

/// The numbers of the trade, the same for every kind of file.
fn enforce_rules(header: &AudioHeader) -> Result<()> {
    let AudioHeader { channels, sample_rate_hz, bit_depth, frames, .. } = *header;
    match audio_refusal(channels, sample_rate_hz, bit_depth, frames) {
        Some(refusal) => refused(422, refusal.sentence()),
        None => Ok(()),
    }
}
