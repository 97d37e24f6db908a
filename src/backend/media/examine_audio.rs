//! Examines a track's file: decodes and measures every sample, and encodes a listening copy if some browsers cannot
//! play the file. This is the second of the two steps.

use std::{io, path::Path};

use super::{
    Deadline, Result, catch_decoder_panic, damaged,
    listening::ListeningCopy,
    meter::Meter,
    refused,
    source::Source,
    undecodable,
    validate::{self, Samples},
};
use crate::domain::{
    media::{AudioFacts, MediaLimits, Peaks},
    problem::FileRefusal,
};

/// The size was validated when the file arrived. The limits may have become smaller since.
const NO_LIMITS: MediaLimits = MediaLimits { max_audio_bytes: u64::MAX, max_cover_bytes: u64::MAX };

/// Decodes a track's file to its end. Ten minutes of music take about a second, and memory is constant. If some
/// browsers cannot play this kind of file, a listening copy is written to `copy`, which takes some seconds more.
///
/// # Errors
/// Refused with 422 if the file cannot be decoded completely, or as [`validate_audio`](super::validate_audio) refuses
/// it. Out of time at the first packet after the deadline. Otherwise I/O.
pub fn examine_audio(path: &Path, copy: &Path, deadline: &Deadline) -> Result<(AudioFacts, Peaks)> {
    let header = validate::audio_of(&mut Source::open(path, deadline)?, &NO_LIMITS)?;
    let meter = Meter::new(header.sample_rate_hz, header.channels)?;
    let mut sink = SampleSink { meter, copy: None, deadline: deadline.clone() };
    if ListeningCopy::is_needed(&header) {
        sink.copy = ListeningCopy::create(copy, &header).map(Some).or_else(SampleSink::without_copy)?;
    }
    let is_verified = match &header.samples {
        Samples::Plain(layout) => {
            layout.decode(path, |samples| sink.on_samples(samples))?;
            true
        }
        Samples::Frames(layout) => {
            catch_decoder_panic(|| layout.decode(path, deadline, |samples| sink.on_samples(samples)))
                .unwrap_or_else(decoder_failed)?;
            false
        }
        Samples::Flac(layout) => {
            catch_decoder_panic(|| layout.decode(path, deadline, |samples| sink.on_samples(samples)))
                .unwrap_or_else(decoder_failed)?
        }
        Samples::Packets(layout) => {
            catch_decoder_panic(|| layout.decode(path, deadline, |samples| sink.on_samples(samples)))
                .unwrap_or_else(decoder_failed)?
        }
    };
    if sink.meter.frames() == 0 {
        return damaged("there is no sound in it");
    }
    let has_listening_copy = match sink.copy {
        Some(copy) => copy.finish().map(Some).or_else(SampleSink::without_copy)?.is_some(),
        None => false,
    };
    let measured = sink.meter.finish();
    if !is_verified && measured.is_implausible() {
        return undecodable("the decoded sound is louder than music can be");
    }
    if let Some(times) = measured.excess_over_full_scale() {
        return beyond_full_scale(times);
    }
    let facts = AudioFacts {
        container: header.container,
        codec: header.codec,
        duration_ms: measured.duration_ms,
        // `validate::audio_of` bounds these three numbers, so the conversions keep their values.
        sample_rate_hz: header.sample_rate_hz.cast_signed(),
        bit_depth: header.bit_depth.map(u16::cast_signed),
        channels: header.channels.cast_signed(),
        integrated_lufs: measured.integrated_lufs,
        true_peak_dbtp: measured.true_peak_dbtp,
        sample_peak_dbfs: measured.sample_peak_dbfs,
        clipped_samples: measured.clipped_samples,
        packaging: header.packaging,
        has_listening_copy,
    };
    Ok((facts, measured.peaks))
}

/// Refuses floating-point samples that were scaled as whole numbers.
fn beyond_full_scale<T>(times: f32) -> Result<T> {
    let times = if times < 1e6 { format!("{times:.0}") } else { "more than a million".to_owned() };
    refused(
        FileRefusal::OutsideLimits,
        format!(
            "The samples of this file go up to {times} times full scale. Export it with full scale at 1.0 and upload the new file."
        ),
    )
}

fn decoder_failed<T>() -> Result<T> {
    undecodable("our decoder fails on it")
}

/// Receives all decoded samples.
struct SampleSink {
    meter: Meter,
    copy: Option<ListeningCopy>,
    deadline: Deadline,
}

impl SampleSink {
    /// Measures and copies the sound of one packet, or of one block of plain samples.
    fn on_samples(&mut self, samples: &[f32]) -> Result<()> {
        fail::fail_point!("packet-decoded");
        self.deadline.check()?;
        self.meter.add(samples)?;
        if let Some(copy) = &mut self.copy
            && let Err(error) = copy.add(samples)
        {
            self.copy = Self::without_copy(error)?;
        }
        Ok(())
    }

    /// Decides what a failed listening copy means. The track does without one if the encoder failed: a listener whose
    /// browser cannot play the file may still open it. An error of the system, such as a full disk, is a reason to try
    /// again.
    fn without_copy<T>(error: io::Error) -> Result<Option<T>> {
        if error.raw_os_error().is_some() {
            return Err(error.into());
        }
        tracing::warn!(error = ?error, "encoding a listening copy failed; the track gets none");
        Ok(None)
    }
}
