//! Defines the description of an audio file that every parser returns.

use crate::domain::media::{AudioCodec, AudioContainer, PackagingNote, Tags};

/// The description of an audio file by its header. `S` is the parser's own description of where the sound lies.
pub(super) struct Header<S> {
    pub(super) container: AudioContainer,
    pub(super) codec: AudioCodec,
    pub(super) sample_rate_hz: u32,
    pub(super) channels: u16,
    pub(super) bit_depth: Option<u16>,
    /// Sample frames (one sample for each channel) as declared or counted.
    pub(super) frames: Option<u64>,
    pub(super) packaging: Vec<PackagingNote>,
    pub(super) tags: Tags,
    /// Location and layout of the sound in the file.
    pub(super) samples: S,
}

impl<S> Header<S> {
    /// Returns the duration in milliseconds, as declared or counted. None if the header does not declare it.
    pub(super) fn duration_ms(&self) -> Option<i64> {
        let milliseconds = u128::from(self.frames?) * 1000 / u128::from(self.sample_rate_hz.max(1));
        Some(i64::try_from(milliseconds).unwrap_or(i64::MAX))
    }

    /// Converts the description of where the sound lies.
    pub(super) fn map_samples<T>(self, map: impl FnOnce(S) -> T) -> Header<T> {
        let Self { container, codec, sample_rate_hz, channels, bit_depth, frames, packaging, tags, samples } = self;
        let samples = map(samples);
        Header { container, codec, sample_rate_hz, channels, bit_depth, frames, packaging, tags, samples }
    }
}
