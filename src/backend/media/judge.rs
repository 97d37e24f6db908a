//! The first look: what kind of file is this, may it be stored, and is all of it there? Headers only.

use std::path::Path;

use super::{
    Deadline, Result, aiff, cover, empty, flac, mp3,
    mp4::{self, Packets},
    pcm::PcmLayout,
    refused,
    source::Source,
    tags, too_large, too_long, wav,
};
use crate::domain::media::{
    AudioCodec, AudioContainer, CoverFacts, MAX_CHANNELS, MAX_SAMPLE_RATE_HZ, MAX_TRACK_MS, MIN_BIT_DEPTH,
    MIN_SAMPLE_RATE_HZ, MediaLimits, PackagingNote, Tags, cover_refusal, format_sample_rate,
};

const UNKNOWN_AUDIO: &str = "This is no audio file we know. Upload a WAV, FLAC, AIFF, ALAC, AAC (M4A) or MP3 file.";

/// A cover that may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedCover {
    pub content_type: &'static str,
    pub facts: CoverFacts,
}

/// A track's file that may be stored: what its header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedAudio {
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
    /// For a decoder: `head`, then the file's bytes from `start` up to but without `end`.
    Coded { head: Vec<u8>, start: u64, end: u64 },
    /// For a decoder that is made with `config` and given one packet after another.
    Packets { config: Vec<u8>, packets: Box<Packets> },
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
pub fn judge_cover(path: &Path, limits: &MediaLimits, deadline: &Deadline) -> Result<JudgedCover> {
    let facts = cover_of(&mut Source::open(path, deadline)?, limits)?;
    Ok(JudgedCover { content_type: facts.format.content_type(), facts })
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
pub fn judge_audio(path: &Path, limits: &MediaLimits, deadline: &Deadline) -> Result<JudgedAudio> {
    let header = audio_of(&mut Source::open(path, deadline)?, limits)?;
    Ok(JudgedAudio {
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
    let header = read_header(source)?;
    enforce_rules(&header)?;
    Ok(header)
}

fn read_header(source: &mut Source) -> Result<AudioHeader> {
    let (id3_end, id3) = tags::leading_id3(source)?;
    let start = source.upto(id3_end, 16)?.to_vec();
    if start.starts_with(b"fLaC") {
        return flac::header(source, id3_end, id3);
    }
    if id3_end == 0 {
        match (start.get(..4), start.get(4..8), start.get(8..12)) {
            (Some(b"RIFF"), _, Some(b"WAVE")) => return wav::header(source),
            (Some(b"FORM"), _, Some(b"AIFF" | b"AIFC")) => return aiff::header(source),
            (_, Some(b"ftyp"), _) => return mp4::header(source),
            _ => {}
        }
        if let Some(other) = other_kind(&start) {
            return refused(415, format!("This is {other}. Upload a WAV, FLAC, AIFF, ALAC, AAC (M4A) or MP3 file."));
        }
    }
    match mp3::header(source, id3_end, id3)? {
        Some(header) => Ok(header),
        None => refused(415, UNKNOWN_AUDIO),
    }
}

/// Kinds that people try and that deserve to be called by their name.
fn other_kind(start: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 16] = [
        (b"RF64", "a 64-bit WAV (RF64)"),
        (b"BW64", "a 64-bit WAV (BW64)"),
        (b"riff", "a Wave64 file"),
        (b"OggS", "an Ogg file (Vorbis or Opus)"),
        (b"caff", "a Core Audio file"),
        (b"wvpk", "a WavPack file"),
        (b"MAC ", "a Monkey's Audio file"),
        (b"DSD ", "a DSD file"),
        (b"FRM8", "a DSD file"),
        (b"\x1A\x45\xDF\xA3", "a Matroska or WebM file"),
        (b"\x30\x26\xB2\x75", "a Windows Media file"),
        (b"MThd", "a MIDI file, which holds notes and no sound"),
        (b"%PDF", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x89PNG", "a picture"),
        (b"\xFF\xD8\xFF", "a picture"),
    ];
    let is_adts = matches!(start, [0xFF, second, ..] if second & 0xF6 == 0xF0);
    if is_adts {
        return Some("a bare AAC stream");
    }
    KINDS.into_iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, name)| name)
}

/// The numbers of the trade, the same for every kind of file.
fn enforce_rules(header: &AudioHeader) -> Result<()> {
    let AudioHeader { channels, sample_rate_hz, .. } = *header;
    if channels == 0 || channels > MAX_CHANNELS.unsigned_abs() {
        return refused(
            422,
            format!("This file has {channels} channels; stores take mono and stereo. Export a stereo mix."),
        );
    }
    let rates = MIN_SAMPLE_RATE_HZ.unsigned_abs()..=MAX_SAMPLE_RATE_HZ.unsigned_abs();
    if !rates.contains(&sample_rate_hz) {
        let rate = format_sample_rate(i32::try_from(sample_rate_hz).unwrap_or(i32::MAX));
        return refused(
            422,
            format!("This file has {rate}; stores take 44.1 to 192 kHz. Export it at 44.1 kHz or more."),
        );
    }
    if let Some(bits) = header.bit_depth.filter(|bits| *bits < MIN_BIT_DEPTH.unsigned_abs()) {
        return refused(
            422,
            format!("This file has {bits} bit; stores take 16 or 24 bit. Export it again with 16 or 24 bit."),
        );
    }
    if header.frames == Some(0) {
        return refused(422, "There is no sound in this file. Export it again and upload the new file.");
    }
    if header.duration_ms().is_some_and(|milliseconds| milliseconds > MAX_TRACK_MS) {
        return too_long();
    }
    Ok(())
}
