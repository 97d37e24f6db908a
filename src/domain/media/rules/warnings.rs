//! Warns about audio and covers that some store may refuse.

use serde::{Deserialize, Serialize};

use super::STORE_COVER_EDGE_PX;
use crate::domain::media::{
    AudioCodec, AudioFacts, CoverColour, CoverFacts, PackagingNote, format_loudness, format_peak, format_sample_rate,
};

/// The largest edge that all stores accept, in pixels (a convention).
const STORE_MAX_COVER_EDGE_PX: i32 = 5000;

/// The loudest track and the highest true peak without a warning. Above them, a streaming service turns the track down
/// or its encoder distorts. Source: Spotify's advice to artists.
const LOUDEST_LUFS: f64 = -14.0;
const HIGHEST_TRUE_PEAK_DBTP: f64 = -1.0;

/// The sample rates that stores list.
const USUAL_SAMPLE_RATES_HZ: [i32; 6] = [44_100, 48_000, 88_200, 96_000, 176_400, 192_000];
const USUAL_BIT_DEPTHS: [i16; 2] = [16, 24];

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
                "{} is louder than {}: streaming services make the track quieter.",
                format_loudness(lufs),
                format_loudness(LOUDEST_LUFS)
            ),
            Self::TruePeakTooHigh { dbtp } => format!(
                "Peaks reach {}; above {}, the encoders of streaming services may distort the sound.",
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
                    CoverColour::Grayscale => "stored in shades of grey",
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
