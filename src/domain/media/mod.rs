//! Audio and covers: the kinds that we accept, what the examination measures, and how it is shown. Browser and server
//! share this code, so a page states a limit exactly as the server enforces it.

mod flac;
mod format;
mod kinds;
pub mod mp4_description;
mod mpeg;
mod precheck;
mod rules;
mod tags;

use serde::{Deserialize, Serialize};

use self::format::format_hundredths;
pub use flac::{FlacChannels, FlacFrame};
pub use format::{
    format_bytes, format_duration, format_loudness, format_peak, format_sample_peak, format_sample_rate, too_large,
    waveform_path,
};
pub use kinds::{
    UNKNOWN_AUDIO, behind_id3_tag, other_audio, other_codec_in_aiff, other_codec_in_wav, other_picture, other_stream,
};
pub use mpeg::MpegFrame;
pub use precheck::{PartialFile, Precheck, precheck};
pub use rules::{
    AudioRefusal, AudioWarning, CoverRefusal, CoverWarning, MAX_CHANNELS, MAX_COVER_EDGE_PX, MAX_SAMPLE_RATE_HZ,
    MAX_TRACK_MS, MIN_BIT_DEPTH, MIN_COVER_EDGE_PX, MIN_SAMPLE_RATE_HZ, MediaLimits, STORE_COVER_EDGE_PX,
    audio_refusal, audio_warnings, cover_refusal, cover_warnings,
};
pub use tags::Tags;

/// The `accept` attribute of the file input: a hint for the file dialog. Files are validated later.
pub const ACCEPT_AUDIO: &str = ".wav,.wave,.flac,.aif,.aiff,.aifc,.m4a,.mp4,.mov,.mp3,\
     audio/wav,audio/x-wav,audio/flac,audio/aiff,audio/x-aiff,audio/mp4,audio/x-m4a,audio/mpeg";
/// The `accept` attribute of the file input: a hint for the file dialog. Files are validated later.
pub const ACCEPT_COVER: &str = ".jpg,.jpeg,.png,image/jpeg,image/png";

/// The version of the examination. Raise it whenever the examination measures or shows something else than before: the
/// worker then examines files of an older version again, in the background. Version 2 counts lengths, follows edit
/// lists and converts colours to sRGB. Version 3 measures sample peaks and does not round the loudness of blocks, accepts
/// more padding, and notices that the last fragments of an MP4 are missing.
pub const EXAMINATION_VERSION: i32 = 3;

/// The edges of the thumbnails of every cover, in pixels. A smaller cover is never scaled up.
pub const THUMBNAIL_EDGES_PX: [i32; 3] = [160, 640, 1600];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioContainer {
    Wav,
    Aiff,
    Flac,
    Mp3,
    Mp4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioCodec {
    /// Uncompressed samples, as integers or in floating point.
    Pcm,
    Flac,
    Alac,
    Mp3,
    Aac,
}

impl AudioContainer {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/wav",
            Self::Aiff => "audio/aiff",
            Self::Flac => "audio/flac",
            Self::Mp3 => "audio/mpeg",
            Self::Mp4 => "audio/mp4",
        }
    }

    /// What people call a file of this container. For MP4, that depends on the codec.
    pub fn label(self, codec: AudioCodec) -> &'static str {
        match (self, codec) {
            (Self::Wav, _) => "WAV",
            (Self::Aiff, _) => "AIFF",
            (Self::Mp4, codec) => codec.label(),
            (Self::Flac, _) => "FLAC",
            (Self::Mp3, _) => "MP3",
        }
    }
}

impl AudioCodec {
    pub fn label(self) -> &'static str {
        match self {
            Self::Pcm => "PCM",
            Self::Flac => "FLAC",
            Self::Alac => "ALAC",
            Self::Mp3 => "MP3",
            Self::Aac => "AAC",
        }
    }

    pub fn is_lossy(self) -> bool {
        matches!(self, Self::Mp3 | Self::Aac)
    }
}

/// A property of a file's packaging that some store may refuse although the file plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackagingNote {
    /// A WAV with format tag 0xFFFE (WAVE_FORMAT_EXTENSIBLE).
    Extensible,
    /// A WAV with other data after its samples.
    TrailingData,
    /// The samples are in floating point.
    FloatingPoint,
}

/// The facts about a track's audio, found by decoding it from its first sample to its last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioFacts {
    pub container: AudioContainer,
    pub codec: AudioCodec,
    pub duration_ms: i64,
    pub sample_rate_hz: i32,
    /// `None` where a depth means nothing, as in MP3 and AAC.
    pub bit_depth: Option<i16>,
    pub channels: i16,
    /// Integrated loudness by EBU R 128, in LUFS. `None` for silence, and for sound too quiet or too short to have a
    /// loudness.
    pub integrated_lufs: Option<f64>,
    /// The highest true peak of all channels, in dBTP. `None` for silence.
    pub true_peak_dbtp: Option<f64>,
    /// The highest amplitude of a sample, in dB relative to full scale. `None` for silence, and for files that an
    /// examination before version 3 measured.
    #[serde(default)]
    pub sample_peak_dbfs: Option<f64>,
    /// The number of samples in runs of three or more at full scale. A limiter leaves shorter runs; clipping leaves
    /// longer ones.
    pub clipped_samples: i64,
    #[serde(default)]
    pub packaging: Vec<PackagingNote>,
    /// Whether players get a copy (FLAC with up to 24 bits), because not every browser plays this kind of file.
    #[serde(default)]
    pub has_listening_copy: bool,
}

impl AudioFacts {
    /// Whether an examination found other facts than another one. Differences of up to 0.05 dB don't count, because
    /// decoders and meters round. Levels are compared as [`Self::full_summary`] shows them. A sample peak that one of
    /// the two did not measure doesn't count either.
    pub fn differs_from(&self, other: &Self) -> bool {
        const MAX_HUNDREDTHS: f64 = 5.0;
        let is_equal = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => (hundredths(one) - hundredths(other)).abs() <= MAX_HUNDREDTHS,
            (one, other) => one.is_none() && other.is_none(),
        };
        let without_levels = |facts: &Self| Self {
            integrated_lufs: None,
            true_peak_dbtp: None,
            sample_peak_dbfs: None,
            ..facts.clone()
        };
        let sample_peaks = self.sample_peak_dbfs.zip(other.sample_peak_dbfs);
        without_levels(self) != without_levels(other)
            || !is_equal(self.integrated_lufs, other.integrated_lufs)
            || !is_equal(self.true_peak_dbtp, other.true_peak_dbtp)
            || sample_peaks.is_some_and(|(one, other)| !is_equal(Some(one), Some(other)))
    }

    /// The content type of the file that players get.
    pub fn played_as(&self) -> &'static str {
        if self.has_listening_copy { AudioContainer::Flac.content_type() } else { self.container.content_type() }
    }

    /// The facts in one line: "WAV · 24 bit · 48 kHz · stereo · 3:20 · −9.12 LUFS · −0.30 dBTP · −0.42 dBFS · clipped
    /// samples: 12".
    pub fn full_summary(&self) -> String {
        let mut parts = vec![self.summary(), format_duration(self.duration_ms)];
        let levels = [(self.integrated_lufs, "LUFS"), (self.true_peak_dbtp, "dBTP"), (self.sample_peak_dbfs, "dBFS")];
        let known = levels.into_iter().filter_map(|(level, unit)| Some((level?, unit)));
        parts.extend(known.map(|(level, unit)| format!("{} {unit}", format_hundredths(hundredths(level)))));
        parts.push(format!("clipped samples: {}", self.clipped_samples));
        parts.join(" · ")
    }

    /// The format in one line: "WAV · 24 bit · 48 kHz · stereo".
    pub fn summary(&self) -> String {
        let mut parts = vec![self.container.label(self.codec).to_owned()];
        if let Some(bits) = self.bit_depth {
            parts.push(format!("{bits} bit"));
        }
        parts.push(format_sample_rate(self.sample_rate_hz));
        parts.push(if self.channels == 1 { "mono" } else { "stereo" }.to_owned());
        parts.join(" · ")
    }
}

/// Rounds a level to hundredths of its unit.
fn hundredths(level: f64) -> f64 {
    (level * 100.0).round()
}

/// The waveform: the highest amplitude (0 to 255) in each of up to [`Peaks::BUCKETS`] equal stretches of a track.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Peaks(pub Vec<u8>);

impl Peaks {
    pub const BUCKETS: usize = 800;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoverFormat {
    Jpeg,
    Png,
}

impl CoverFormat {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoverColour {
    Rgb,
    /// A palette of up to 256 colours.
    Indexed,
    Grayscale,
    Cmyk,
}

/// The facts about a cover, from its header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverFacts {
    pub format: CoverFormat,
    pub width_px: i32,
    pub height_px: i32,
    pub colour: CoverColour,
    pub bits_per_channel: i16,
    pub has_alpha: bool,
}

impl CoverFacts {
    /// The facts in one line: "JPEG · 3000 × 3000 px".
    pub fn summary(&self) -> String {
        format!("{} · {}\u{a0}×\u{a0}{}\u{a0}px", self.format.label(), self.width_px, self.height_px)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_peak_that_was_not_measured_before_is_no_difference() {
        let old = r#"{"container":"wav","codec":"pcm","duration_ms":1000,"sample_rate_hz":44100,"bit_depth":16,
            "channels":2,"integrated_lufs":-14.0,"true_peak_dbtp":-1.0,"clipped_samples":0}"#;
        let old: AudioFacts = serde_json::from_str(old).unwrap();
        let with = |sample_peak_dbfs| AudioFacts { sample_peak_dbfs, ..old.clone() };
        assert_eq!(old.sample_peak_dbfs, None);
        assert!(!with(Some(-1.2)).differs_from(&old));
        assert!(!with(Some(-1.2)).differs_from(&with(Some(-1.24))));
        assert!(with(Some(-1.2)).differs_from(&with(Some(-1.3))));
    }

    #[test]
    fn facts_that_differ_are_shown_in_different_words() {
        let old = r#"{"container":"wav","codec":"pcm","duration_ms":200000,"sample_rate_hz":48000,"bit_depth":24,
            "channels":2,"integrated_lufs":-9.12,"true_peak_dbtp":-0.3,"sample_peak_dbfs":-0.42,"clipped_samples":12}"#;
        let old: AudioFacts = serde_json::from_str(old).unwrap();
        let said = "WAV · 24 bit · 48 kHz · stereo · 3:20 · −9.12 LUFS · −0.30 dBTP · −0.42 dBFS · clipped samples: 12";
        assert_eq!(old.full_summary(), said);
        let differs = |steps: f64, change: fn(&mut AudioFacts, f64)| {
            let mut new = old.clone();
            change(&mut new, steps);
            assert!(!new.differs_from(&old) || new.full_summary() != said, "{new:?}");
            new.differs_from(&old)
        };
        let changes: [fn(&mut AudioFacts, f64); 3] = [
            |facts, by| facts.integrated_lufs = facts.integrated_lufs.map(|level| level + by),
            |facts, by| facts.true_peak_dbtp = facts.true_peak_dbtp.map(|level| level + by),
            |facts, by| facts.sample_peak_dbfs = facts.sample_peak_dbfs.map(|level| level + by),
        ];
        for change in changes {
            for by in [0.04, 0.05, -0.05] {
                assert!(!differs(by, change), "{by}");
            }
            for by in [0.06, -0.06, 0.3] {
                assert!(differs(by, change), "{by}");
            }
        }
    }
}
