//! Validates files by their headers: what kind a file is, whether it may be stored, and whether it is complete. This is
//! the first of the two steps.

use std::path::Path;

use super::{
    Deadline, Result, aiff, cover, empty,
    flac::{self, FlacLayout},
    header::Header,
    mp3::{self, FrameLayout},
    mp4::{self, PacketLayout},
    pcm::PcmLayout,
    refused,
    source::Source,
    tags, too_large, wav,
};
use crate::domain::{
    media::{
        AudioCodec, AudioContainer, CoverFacts, MediaLimits, Tags, UNKNOWN_AUDIO, audio_refusal, behind_id3_tag,
        cover_refusal, other_audio, other_stream,
    },
    problem::FileRefusal,
};

/// Number of bytes at the start of a file that identify its kind.
const START_BYTES: usize = 512;
/// Number of bytes that are searched for a stream that begins somewhere. Twenty frames of the highest bit rate.
const STREAM_BYTES: usize = 64 * 1024;

/// A cover that was validated and may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedCover {
    pub content_type: &'static str,
    pub facts: CoverFacts,
}

/// A track's file that was validated and may be stored, with the facts from its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedAudio {
    pub content_type: &'static str,
    pub container: AudioContainer,
    pub codec: AudioCodec,
    /// Milliseconds, as declared or counted. None if the header does not declare it. Only decoding measures the real
    /// duration.
    pub duration_ms: Option<i64>,
    pub sample_rate_hz: i32,
    pub bit_depth: Option<i16>,
    pub channels: i16,
    pub tags: Tags,
}

/// The common description of the header of any kind of audio file.
pub(super) type AudioHeader = Header<Samples>;

/// Location and layout of the sound in the file.
pub(super) enum Samples {
    /// PCM samples, which need no decoder.
    Plain(PcmLayout),
    /// Consecutive frames of an MP3.
    Frames(Box<FrameLayout>),
    /// Consecutive frames of a FLAC.
    Flac(Box<FlacLayout>),
    /// Packets of an MP4, which its tables point at.
    Packets(Box<PacketLayout>),
}

/// Validates a cover by its content.
///
/// # Errors
/// Refused with 413 if the file is larger than the limit, with 415 if it is neither JPEG nor PNG, and with 422 if it is
/// animated, damaged, incomplete, not square or of an impossible size. Out of time after the deadline. Otherwise I/O.
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
        Some(refusal) => refused(FileRefusal::OutsideLimits, refusal.sentence()),
        None => Ok(facts),
    }
}

/// Validates a track's file by its content.
///
/// # Errors
/// Refused with 413 if the file is larger than the limit, with 415 if it is another kind of file, and with 422 if it is
/// damaged, incomplete or outside what stores accept. Out of time after the deadline. Otherwise I/O.
pub fn validate_audio(path: &Path, limits: &MediaLimits, deadline: &Deadline) -> Result<ValidatedAudio> {
    let header = audio_of(&mut Source::open(path, deadline)?, limits)?;
    Ok(ValidatedAudio {
        content_type: header.container.content_type(),
        container: header.container,
        codec: header.codec,
        duration_ms: header.duration_ms(),
        // `enforce_rules` bounds these three numbers, so the conversions keep their values.
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
        return Ok(flac::header(source, id3_end, id3)?.map_samples(|layout| Samples::Flac(Box::new(layout))));
    }
    if let Some(other) = other_audio(&start) {
        return other_kind(other);
    }
    let name = match (start.get(..4), start.get(4..8), start.get(8..12)) {
        (Some(b"RIFF"), _, Some(b"WAVE")) if id3_end == 0 => {
            return Ok(wav::header(source)?.map_samples(Samples::Plain));
        }
        (Some(b"FORM"), _, Some(b"AIFF" | b"AIFC")) if id3_end == 0 => {
            return Ok(aiff::header(source)?.map_samples(Samples::Plain));
        }
        // Old QuickTime files may begin with any of these boxes.
        (_, Some(b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free" | b"skip" | b"pnot"), _) if id3_end == 0 => {
            return Ok(mp4::header(source)?.map_samples(|layout| Samples::Packets(Box::new(layout))));
        }
        (Some(b"RIFF"), _, Some(b"WAVE")) => "WAV",
        (Some(b"FORM"), _, Some(b"AIFF" | b"AIFC")) => "AIFF",
        (_, Some(b"ftyp"), _) => "MP4",
        _ => {
            return match mp3::header(source, id3_end, id3)? {
                Some(header) => Ok(header.map_samples(|layout| Samples::Frames(Box::new(layout)))),
                None => match other_stream(source.read_up_to(id3_end, STREAM_BYTES)?) {
                    Some(other) => other_kind(other),
                    None => refused(FileRefusal::WrongKind, UNKNOWN_AUDIO),
                },
            };
        }
    };
    refused(FileRefusal::WrongKind, behind_id3_tag(name))
}

fn other_kind<T>(name: &str) -> Result<T> {
    refused(FileRefusal::WrongKind, format!("This is {name}. Upload a WAV, FLAC, AIFF, ALAC, AAC (M4A) or MP3 file."))
}

/// Refuses a header with channels, a sample rate, a bit depth or a duration that stores do not accept. The rules are
/// the same for every kind of file.
fn enforce_rules(header: &AudioHeader) -> Result<()> {
    let AudioHeader { channels, sample_rate_hz, bit_depth, frames, .. } = *header;
    match audio_refusal(channels, sample_rate_hz, bit_depth, frames) {
        Some(refusal) => refused(FileRefusal::OutsideLimits, refusal.sentence()),
        None => Ok(()),
    }
}
