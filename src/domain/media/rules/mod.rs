//! The rules for media: what is refused, and what is accepted with a warning because some store may refuse it.

mod refusals;
mod warnings;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::format_bytes;

pub use refusals::{AudioRefusal, CoverRefusal, audio_refusal, cover_refusal};
pub use warnings::{AudioWarning, CoverWarning, audio_warnings, cover_warnings};

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
/// The largest edge of a cover, in pixels. It bounds the memory that decoding needs.
pub const MAX_COVER_EDGE_PX: i32 = 6000;

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
