//! Refuses audio and covers that break a rule, and says what to do.

use serde::{Deserialize, Serialize};

use super::{
    MAX_CHANNELS, MAX_COVER_EDGE_PX, MAX_SAMPLE_RATE_HZ, MAX_TRACK_MS, MIN_BIT_DEPTH, MIN_COVER_EDGE_PX,
    MIN_SAMPLE_RATE_HZ, STORE_COVER_EDGE_PX,
};
use crate::domain::media::format_sample_rate;

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
