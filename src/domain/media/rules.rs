//! The rules for media: what is refused, and what is accepted with a warning because some store may refuse it.

use serde::{Deserialize, Serialize};

use super::{
    AudioCodec, AudioFacts, CoverColour, CoverFacts, PackagingNote, format_bytes, format_loudness, format_peak,
    format_sample_rate,
};

/// The lowest sample rate. Source: Apple Video and Audio Asset Guide 5.3.8, Spotify content operations.
pub const MIN_SAMPLE_RATE_HZ: i32 = 44_100;
/// The highest sample rate. Sources as for [`MIN_SAMPLE_RATE_HZ`].
pub const MAX_SAMPLE_RATE_HZ: i32 = 192_000;
/// The lowest bit depth. Stores want 16 or 24 bit; more is accepted with a warning. Sources as for
/// [`MIN_SAMPLE_RATE_HZ`].
pub const MIN_BIT_DEPTH: i16 = 16;
/// The largest number of channels. Sources as for [`MIN_SAMPLE_RATE_HZ`].
pub const MAX_CHANNELS: i16 = 2;
/// The longest track: six hours, in milliseconds. This is our own rule, and no mix is that long. It bounds the work
/// that a small file of silence can cause.
pub const MAX_TRACK_MS: i64 = 6 * 60 * 60 * 1000;

/// The smallest edge of a cover, in pixels. A smaller one can't be shown well on our pages.
pub const MIN_COVER_EDGE_PX: i32 = 640;
/// The edge of a cover that stores want, in pixels. Source: Apple "Delivering Your Music", Spotify content operations.
pub const STORE_COVER_EDGE_PX: i32 = 3000;
/// The largest edge that all stores accept, in pixels (a convention).
const STORE_MAX_COVER_EDGE_PX: i32 = 5000;
/// The largest edge of a cover, in pixels. It bounds the memory that decoding needs.
pub const MAX_COVER_EDGE_PX: i32 = 6000;

/// The loudest track and the highest true peak without a warning. Above them, a streaming service turns the track down
/// or its encoder distorts. Source: Spotify's advice to artists.
const LOUDEST_LUFS: f64 = -14.0;
const HIGHEST_TRUE_PEAK_DBTP: f64 = -1.0;

/// The sample rates that stores list.
const USUAL_SAMPLE_RATES_HZ: [i32; 6] = [44_100, 48_000, 88_200, 96_000, 176_400, 192_000];
const USUAL_BIT_DEPTHS: [i16; 2] = [16, 24];

const BYTES_PER_MIB: u64 = 1024 * 1024;

/// The largest files that artists may upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaLimits {
    pub max_audio_bytes: u64,
    pub max_cover_bytes: u64,
}

impl Default for MediaLimits {
    fn default() -> Self {
        Self::of_mb(1024, 36)
    }
}

impl MediaLimits {
    pub fn of_mb(audio: u64, cover: u64) -> Self {
        Self {
            max_audio_bytes: audio.saturating_mul(BYTES_PER_MIB),
            max_cover_bytes: cover.saturating_mul(BYTES_PER_MIB),
        }
    }

    /// The rules for audio files in one sentence, which the page shows before an upload.
    pub fn audio_sentence(&self) -> String {
        format!(
            "WAV, FLAC, AIFF or ALAC; MP3 and AAC with a warning. 16 or 24\u{a0}bit, 44.1 to 192\u{a0}kHz, mono or stereo, {}.",
            up_to(self.max_audio_bytes)
        )
    }

    /// The rules for covers in one sentence, which the page shows before an upload.
    pub fn cover_sentence(&self) -> String {
        format!(
            "Square JPEG or PNG, {STORE_COVER_EDGE_PX}\u{a0}×\u{a0}{STORE_COVER_EDGE_PX}\u{a0}px (at least {MIN_COVER_EDGE_PX}, at most \
             {MAX_COVER_EDGE_PX}), RGB, {}.",
            up_to(self.max_cover_bytes)
        )
    }
}

/// Formats a limit, as in "up to 1 GB", with spaces that don't break.
fn up_to(bytes: u64) -> String {
    format!("up to {}", format_bytes(bytes)).replace(' ', "\u{a0}")
}

/// Why we refuse a picture as a cover, independent of the stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoverRefusal {
    NotSquare { width_px: u32, height_px: u32 },
    TooSmall { edge_px: u32 },
    TooLarge { edge_px: u32 },
}

/// Validates the size of a picture, in the browser before its upload and on the server after it.
pub fn cover_refusal(width_px: u32, height_px: u32) -> Option<CoverRefusal> {
    let edge_px = width_px.max(height_px);
    if edge_px > MAX_COVER_EDGE_PX.unsigned_abs() {
        Some(CoverRefusal::TooLarge { edge_px })
    } else if width_px != height_px {
        Some(CoverRefusal::NotSquare { width_px, height_px })
    } else if edge_px < MIN_COVER_EDGE_PX.unsigned_abs() {
        Some(CoverRefusal::TooSmall { edge_px })
    } else {
        None
    }
}

impl CoverRefusal {
    pub fn sentence(self) -> String {
        match self {
            Self::NotSquare { width_px, height_px } => {
                format!(
                    "This picture is {width_px}\u{a0}×\u{a0}{height_px}\u{a0}px; a cover has to be square. Crop it and upload it again."
                )
            }
            Self::TooSmall { edge_px } => format!(
                "This picture is {edge_px}\u{a0}×\u{a0}{edge_px}\u{a0}px; a cover needs at least {MIN_COVER_EDGE_PX}, and stores want \
                 {STORE_COVER_EDGE_PX}\u{a0}×\u{a0}{STORE_COVER_EDGE_PX}. Export a larger one."
            ),
            Self::TooLarge { edge_px } => format!(
                "This picture has an edge of {edge_px}\u{a0}px; a cover can have at most {MAX_COVER_EDGE_PX}, and stores want \
                 {STORE_COVER_EDGE_PX}\u{a0}×\u{a0}{STORE_COVER_EDGE_PX}. Export a smaller one."
            ),
        }
    }
}

/// Why we refuse audio as a track, independent of the stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioRefusal {
    Channels(u16),
    SampleRate { hz: u32 },
    BitDepth { bits: u16 },
    NoSound,
    TooLong,
}

/// Validates the header of any kind of audio, in the browser before its upload and on the server after it. `frames` is
/// the number of samples for each channel.
pub fn audio_refusal(
    channels: u16,
    sample_rate_hz: u32,
    bit_depth: Option<u16>,
    frames: Option<u64>,
) -> Option<AudioRefusal> {
    let rates_hz = MIN_SAMPLE_RATE_HZ.unsigned_abs()..=MAX_SAMPLE_RATE_HZ.unsigned_abs();
    let milliseconds = |frames: u64| frames.saturating_mul(1000) / u64::from(sample_rate_hz.max(1));
    if channels == 0 || channels > MAX_CHANNELS.unsigned_abs() {
        Some(AudioRefusal::Channels(channels))
    } else if !rates_hz.contains(&sample_rate_hz) {
        Some(AudioRefusal::SampleRate { hz: sample_rate_hz })
    } else if let Some(bits) = bit_depth.filter(|bits| *bits < MIN_BIT_DEPTH.unsigned_abs()) {
        Some(AudioRefusal::BitDepth { bits })
    } else if frames == Some(0) {
        Some(AudioRefusal::NoSound)
    } else if frames.is_some_and(|frames| milliseconds(frames) > MAX_TRACK_MS.unsigned_abs()) {
        Some(AudioRefusal::TooLong)
    } else {
        None
    }
}

impl AudioRefusal {
    pub fn sentence(self) -> String {
        match self {
            Self::Channels(channels) => {
                format!("This file has {channels} channels; stores take mono and stereo. Export a stereo mix.")
            }
            Self::SampleRate { hz } => format!(
                "This file has {}; stores take 44.1 to 192 kHz. Export it at 44.1 kHz or more.",
                format_sample_rate(i32::try_from(hz).unwrap_or(i32::MAX))
            ),
            Self::BitDepth { bits } => {
                format!("This file has {bits} bit; stores take 16 or 24 bit. Export it again with 16 or 24 bit.")
            }
            Self::NoSound => "There is no sound in this file. Export it again and upload the new file.".into(),
            Self::TooLong => "This file is longer than 6 hours. Split it into several tracks.".into(),
        }
    }
}

/// A property of a track that some store may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum AudioWarning {
    Lossy { codec: AudioCodec },
    TooLoud { lufs: f64 },
    TruePeakTooHigh { dbtp: f64 },
    Clipped { samples: i64 },
    Silent,
    BitDepth { bits: i16 },
    FloatingPoint,
    SampleRate { hz: i32 },
    Extensible,
    TrailingData,
}

pub fn audio_warnings(facts: &AudioFacts) -> Vec<AudioWarning> {
    let mut warnings = Vec::new();
    if facts.codec.is_lossy() {
        warnings.push(AudioWarning::Lossy { codec: facts.codec });
    }
    match facts.integrated_lufs {
        Some(lufs) if lufs > LOUDEST_LUFS => warnings.push(AudioWarning::TooLoud { lufs }),
        Some(_) => {}
        // Loudness is gated, so a very quiet or very short track has a peak and no loudness. It isn't silent.
        None if facts.true_peak_dbtp.is_none() => warnings.push(AudioWarning::Silent),
        None => {}
    }
    if let Some(dbtp) = facts.true_peak_dbtp.filter(|peak| *peak > HIGHEST_TRUE_PEAK_DBTP) {
        warnings.push(AudioWarning::TruePeakTooHigh { dbtp });
    }
    if facts.clipped_samples > 0 {
        warnings.push(AudioWarning::Clipped { samples: facts.clipped_samples });
    }
    let floating_point = facts.packaging.contains(&PackagingNote::FloatingPoint);
    if floating_point {
        warnings.push(AudioWarning::FloatingPoint);
    } else if let Some(bits) = facts.bit_depth.filter(|bits| !USUAL_BIT_DEPTHS.contains(bits)) {
        warnings.push(AudioWarning::BitDepth { bits });
    }
    if !USUAL_SAMPLE_RATES_HZ.contains(&facts.sample_rate_hz) {
        warnings.push(AudioWarning::SampleRate { hz: facts.sample_rate_hz });
    }
    if facts.packaging.contains(&PackagingNote::Extensible) {
        warnings.push(AudioWarning::Extensible);
    }
    if facts.packaging.contains(&PackagingNote::TrailingData) {
        warnings.push(AudioWarning::TrailingData);
    }
    warnings
}

impl AudioWarning {
    pub fn sentence(self) -> String {
        match self {
            Self::Lossy { codec } => {
                format!("{} is compressed with loss; a WAV or FLAC master is better.", codec.label())
            }
            Self::TooLoud { lufs } => format!(
                "{} is louder than {}: streaming services turn the track down.",
                format_loudness(lufs),
                format_loudness(LOUDEST_LUFS)
            ),
            Self::TruePeakTooHigh { dbtp } => format!(
                "Peaks reach {}; above {} the services' encoders may distort.",
                format_peak(dbtp),
                format_peak(HIGHEST_TRUE_PEAK_DBTP)
            ),
            Self::Clipped { samples: 1 } => "1 sample is clipped. Listen for distortion.".to_owned(),
            Self::Clipped { samples } => format!("{samples} samples are clipped. Listen for distortion."),
            Self::Silent => "This file is silent.".to_owned(),
            Self::BitDepth { bits } => format!("{bits} bit is unusual; stores want 16 or 24 bit."),
            Self::FloatingPoint => "The samples are floating point; stores want whole numbers of 16 or 24 bit.".to_owned(),
            Self::SampleRate { hz } => {
                format!("{} is unusual; stores want 44.1, 48, 88.2, 96, 176.4 or 192 kHz.", format_sample_rate(hz))
            }
            Self::Extensible => {
                "This WAV is written as WAVE_FORMAT_EXTENSIBLE, which Spotify does not take. Export it as plain PCM.".to_owned()
            }
            Self::TrailingData => {
                "This WAV has other data after its audio, which Spotify does not take. Export it without tags and markers."
                    .to_owned()
            }
        }
    }
}

/// A property of a cover that some store may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoverWarning {
    Small { edge_px: i32 },
    Large { edge_px: i32 },
    NotRgb { colour: CoverColour },
    BitDepth { bits: i16 },
    Alpha,
}

pub fn cover_warnings(facts: &CoverFacts) -> Vec<CoverWarning> {
    let mut warnings = Vec::new();
    let edge_px = facts.width_px.min(facts.height_px);
    if edge_px < STORE_COVER_EDGE_PX {
        warnings.push(CoverWarning::Small { edge_px });
    } else if edge_px > STORE_MAX_COVER_EDGE_PX {
        warnings.push(CoverWarning::Large { edge_px });
    }
    if facts.colour != CoverColour::Rgb {
        warnings.push(CoverWarning::NotRgb { colour: facts.colour });
    } else if facts.bits_per_channel != 8 {
        warnings.push(CoverWarning::BitDepth { bits: facts.bits_per_channel });
    }
    if facts.has_alpha {
        warnings.push(CoverWarning::Alpha);
    }
    warnings
}

impl CoverWarning {
    pub fn sentence(self) -> String {
        match self {
            Self::Small { edge_px } => {
                format!(
                    "The cover is {edge_px}\u{a0}×\u{a0}{edge_px}\u{a0}px; stores want {STORE_COVER_EDGE_PX}\u{a0}×\u{a0}{STORE_COVER_EDGE_PX}."
                )
            }
            Self::Large { edge_px } => {
                format!(
                    "The cover is {edge_px}\u{a0}×\u{a0}{edge_px}\u{a0}px; some stores refuse more than {STORE_MAX_COVER_EDGE_PX}."
                )
            }
            Self::NotRgb { colour } => {
                let is = match colour {
                    CoverColour::Cmyk => "in CMYK, for printing",
                    CoverColour::Grayscale => "stored in shades of gray",
                    CoverColour::Indexed => "stored with a palette",
                    CoverColour::Rgb => "in RGB",
                };
                format!("The cover is {is}; stores want RGB with 24 bit.")
            }
            Self::BitDepth { bits } => format!("The cover has {bits} bit for each colour; stores want 8."),
            Self::Alpha => "The cover has transparency, which stores fill with white or black.".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::media::{AudioContainer, CoverFormat};

    fn master() -> AudioFacts {
        AudioFacts {
            container: AudioContainer::Wav,
            codec: AudioCodec::Pcm,
            duration_ms: 187_000,
            sample_rate_hz: 44_100,
            bit_depth: Some(24),
            channels: 2,
            integrated_lufs: Some(-14.0),
            true_peak_dbtp: Some(-1.0),
            clipped_samples: 0,
            packaging: vec![],
            has_listening_copy: false,
        }
    }

    fn cover() -> CoverFacts {
        CoverFacts {
            format: CoverFormat::Png,
            width_px: 3000,
            height_px: 3000,
            colour: CoverColour::Rgb,
            bits_per_channel: 8,
            has_alpha: false,
        }
    }

    #[test]
    fn a_master_at_the_edge_of_every_rule_has_no_warning() {
        assert_eq!(audio_warnings(&master()), vec![]);
        assert_eq!(cover_warnings(&cover()), vec![]);
    }

    #[test]
    fn each_deviation_has_its_warning() {
        let facts = AudioFacts {
            codec: AudioCodec::Mp3,
            integrated_lufs: Some(-8.25),
            true_peak_dbtp: Some(0.4),
            clipped_samples: 12,
            bit_depth: Some(20),
            sample_rate_hz: 50_000,
            packaging: vec![PackagingNote::Extensible, PackagingNote::TrailingData],
            has_listening_copy: false,
            ..master()
        };
        let sentences: Vec<String> = audio_warnings(&facts).into_iter().map(AudioWarning::sentence).collect();
        assert_eq!(sentences.len(), 8, "{sentences:#?}");
        assert_eq!(sentences[1], "−8.3 LUFS is louder than −14.0 LUFS: streaming services turn the track down.");
    }

    #[test]
    fn floating_point_is_said_once() {
        let facts = AudioFacts { bit_depth: Some(32), packaging: vec![PackagingNote::FloatingPoint], ..master() };
        assert_eq!(audio_warnings(&facts), vec![AudioWarning::FloatingPoint]);
    }

    #[test]
    fn only_what_has_no_peak_is_silent() {
        let quiet = AudioFacts { integrated_lufs: None, ..master() };
        assert_eq!(audio_warnings(&quiet), vec![]);
        let silent = AudioFacts { true_peak_dbtp: None, ..quiet };
        assert_eq!(audio_warnings(&silent), vec![AudioWarning::Silent]);
    }

    #[test]
    fn a_cover_is_square_and_of_a_size_we_can_work_with() {
        assert_eq!(cover_refusal(640, 640), None);
        assert_eq!(cover_refusal(6000, 6000), None);
        assert_eq!(cover_refusal(639, 639), Some(CoverRefusal::TooSmall { edge_px: 639 }));
        assert_eq!(cover_refusal(65_535, 65_535), Some(CoverRefusal::TooLarge { edge_px: 65_535 }));
        assert_eq!(cover_refusal(3000, 2999), Some(CoverRefusal::NotSquare { width_px: 3000, height_px: 2999 }));
    }

    #[test]
    fn a_cover_below_what_stores_want_is_taken_with_a_warning() {
        let facts =
            CoverFacts { width_px: 1000, height_px: 1000, colour: CoverColour::Cmyk, has_alpha: true, ..cover() };
        assert_eq!(
            cover_warnings(&facts),
            vec![
                CoverWarning::Small { edge_px: 1000 },
                CoverWarning::NotRgb { colour: CoverColour::Cmyk },
                CoverWarning::Alpha
            ]
        );
        assert_eq!(
            cover_warnings(&facts)[0].sentence(),
            "The cover is 1000\u{a0}×\u{a0}1000\u{a0}px; stores want 3000\u{a0}×\u{a0}3000."
        );
    }

    #[test]
    fn limits_are_stated_as_they_are_enforced() {
        assert_eq!(MediaLimits::default(), MediaLimits { max_audio_bytes: 1 << 30, max_cover_bytes: 36 << 20 });
        assert!(MediaLimits::of_mb(200, 5).audio_sentence().contains("up\u{a0}to\u{a0}200\u{a0}MB"));
        assert!(MediaLimits::default().cover_sentence().contains("3000\u{a0}×\u{a0}3000\u{a0}px"));
    }
}
