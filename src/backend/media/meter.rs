//! Measures a stream of sound: loudness, peaks, clipping and the waveform. The loudness takes 80 bytes for each second,
//! 1.7 MB for the longest track. Nothing else grows with the duration.

use ebur128::{EbuR128, Mode};

use super::{Result, clipping::Clipping, damaged, too_long, true_peak::TruePeak};
use crate::domain::media::{MAX_TRACK_MS, Peaks};

/// Number of stretches that are kept while the duration is unknown: a multiple of two, well above the number that is
/// shown.
const WAVEFORM_CELLS: usize = 8 * 1024;

/// Highest true peak of decoded sound that is plausible. The loudest masters decode to about +3 dBTP, and a faulty
/// decoder was seen at +47 dBTP.
const MAX_DECODED_DBTP: f64 = 12.0;
/// Highest loudness of decoded sound that is plausible. A square wave at full scale in both channels is about +3 LUFS.
const MAX_DECODED_LUFS: f64 = 6.0;
/// Highest amplitude that is plausible: +24 dBFS, full scale at 1. Floating-point samples may exceed full scale, and
/// mixes do by some dB. Samples that were scaled as whole numbers exceed it by 90 dB and more.
const MAX_SAMPLE: f32 = 16.0;
/// Highest loudness of floating-point samples that is plausible. A square wave at [`MAX_SAMPLE`] is about +27 LUFS.
const MAX_LUFS: f64 = 29.9;

pub(super) struct Meter {
    loudness: EbuR128,
    sample_rate_hz: u32,
    channels: usize,
    true_peak: TruePeak,
    frames: u64,
    max_frames: u64,
    highest_sample: f32,
    clipping: Clipping,
    waveform: Waveform,
}

/// The measurements of a file.
pub(super) struct Measured {
    pub(super) duration_ms: i64,
    pub(super) integrated_lufs: Option<f64>,
    pub(super) true_peak_dbtp: Option<f64>,
    pub(super) sample_peak_dbfs: Option<f64>,
    pub(super) clipped_samples: i64,
    pub(super) peaks: Peaks,
    /// Highest amplitude, full scale at 1.
    highest_sample: f32,
}

impl Meter {
    pub(super) fn new(sample_rate_hz: u32, channels: u16) -> Result<Self> {
        // The histogram of this crate would take less memory, but it rounds each block to 0.1 LU. That moves blocks across
        // the gate, and the result by up to 0.2 LU.
        let Ok(loudness) = EbuR128::new(u32::from(channels), sample_rate_hz, Mode::I) else {
            return damaged("its sample rate and channels cannot be measured");
        };
        Ok(Self {
            loudness,
            sample_rate_hz,
            channels: usize::from(channels),
            // For sound that is loud up to half its rate, the interpolation of the `ebur128` crate reads up to 1.9 dB
            // less than ffmpeg's.
            true_peak: TruePeak::new(sample_rate_hz, usize::from(channels)),
            frames: 0,
            max_frames: u64::from(sample_rate_hz) * MAX_TRACK_MS.unsigned_abs() / 1000,
            highest_sample: 0.0,
            clipping: Clipping::new(usize::from(channels)),
            waveform: Waveform::default(),
        })
    }

    /// Measures interleaved samples, full scale at ±1. Refuses sound that is too long, and samples that are not finite
    /// numbers.
    pub(super) fn add(&mut self, samples: &[f32]) -> Result<()> {
        self.frames += (samples.len() / self.channels) as u64;
        if self.frames > self.max_frames {
            return too_long();
        }
        for frame in samples.chunks_exact(self.channels) {
            let mut highest = 0.0_f32;
            for (channel, sample) in frame.iter().enumerate() {
                let amplitude = sample.abs();
                if !amplitude.is_finite() {
                    return damaged("some of its samples are not numbers");
                }
                highest = highest.max(amplitude);
                self.clipping.add(channel, *sample);
            }
            self.highest_sample = self.highest_sample.max(highest);
            self.waveform.add(highest);
        }
        self.true_peak.add(samples);
        match self.loudness.add_frames_f32(samples) {
            Ok(()) => Ok(()),
            Err(_) => damaged("it cannot be measured"),
        }
    }

    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    fn milliseconds(&self) -> i64 {
        i64::try_from(self.frames * 1000 / u64::from(self.sample_rate_hz.max(1))).unwrap_or(i64::MAX)
    }

    pub(super) fn finish(self) -> Measured {
        let duration_ms = self.milliseconds();
        let true_peak = f64::from(self.true_peak.finish());
        let hundredths = |value: f64| value.is_finite().then(|| (value * 100.0).round() / 100.0);
        Measured {
            duration_ms,
            integrated_lufs: self.loudness.loudness_global().ok().and_then(hundredths),
            true_peak_dbtp: hundredths(20.0 * true_peak.log10()),
            sample_peak_dbfs: hundredths(20.0 * f64::from(self.highest_sample).log10()),
            clipped_samples: self.clipping.samples(),
            peaks: self.waveform.finish(),
            highest_sample: self.highest_sample,
        }
    }
}

impl Measured {
    /// Whether a lossy decoder must have failed. Nobody masters music this loud, and faults of decoders are louder.
    pub(super) fn is_implausible(&self) -> bool {
        self.true_peak_dbtp.is_some_and(|peak| peak > MAX_DECODED_DBTP)
            || self.integrated_lufs.is_some_and(|loudness| loudness > MAX_DECODED_LUFS)
    }

    /// Returns how many times full scale the samples are, if that is far above any intended level.
    pub(super) fn excess_over_full_scale(&self) -> Option<f32> {
        let is_absurd =
            self.highest_sample > MAX_SAMPLE || self.integrated_lufs.is_some_and(|loudness| loudness > MAX_LUFS);
        is_absurd.then_some(self.highest_sample)
    }
}

/// The highest amplitudes in equal stretches of a stream of unknown duration. When all cells are full, neighbours are
/// merged, and each cell then stands for twice as many frames.
struct Waveform {
    cells: Vec<f32>,
    frames_per_cell: u64,
    frames_in_last: u64,
}

impl Default for Waveform {
    fn default() -> Self {
        Self { cells: Vec::with_capacity(WAVEFORM_CELLS), frames_per_cell: 1, frames_in_last: 1 }
    }
}

impl Waveform {
    fn add(&mut self, amplitude: f32) {
        if self.frames_in_last < self.frames_per_cell
            && let Some(last) = self.cells.last_mut()
        {
            *last = last.max(amplitude);
            self.frames_in_last += 1;
            return;
        }
        if self.cells.len() == WAVEFORM_CELLS {
            self.cells = self.cells.chunks(2).map(|pair| pair.iter().copied().fold(0.0, f32::max)).collect();
            self.cells.reserve(WAVEFORM_CELLS / 2);
            self.frames_per_cell *= 2;
        }
        self.cells.push(amplitude);
        self.frames_in_last = 1;
    }

    fn finish(self) -> Peaks {
        let buckets = Peaks::BUCKETS.min(self.cells.len());
        let bucket = |index: usize| {
            let cells = &self.cells[index * self.cells.len() / buckets..(index + 1) * self.cells.len() / buckets];
            let highest = cells.iter().copied().fold(0.0, f32::max).min(1.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 255")]
            let peak = (highest * 255.0).round() as u8;
            peak
        };
        Peaks((0..buckets).map(bucket).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(samples: &[f32]) -> Measured {
        let mut meter = Meter::new(48_000, 1).unwrap();
        meter.add(samples).unwrap();
        meter.finish()
    }

    #[test]
    fn a_sine_measures_as_theory_says() {
        // EBU Tech 3341: a 1 kHz sine of −23 dBFS in both channels is −23 LUFS; in one channel 3 LU less.
        let amplitude = 10_f32.powf(-23.0 / 20.0);
        let sine: Vec<f32> =
            (0..480_000).map(|n| (n as f32 / 48.0 * std::f32::consts::TAU).sin() * amplitude).collect();
        let measured = measure(&sine);
        assert!((measured.integrated_lufs.unwrap() + 26.0).abs() < 0.2, "{:?}", measured.integrated_lufs);
        assert!((measured.true_peak_dbtp.unwrap() + 23.0).abs() < 0.1, "{:?}", measured.true_peak_dbtp);
        assert_eq!(measured.sample_peak_dbfs, Some(-23.0));
        assert_eq!((measured.duration_ms, measured.clipped_samples), (10_000, 0));
    }

    #[test]
    fn blocks_at_the_gate_count_as_the_standard_says() {
        // All of this is −22.43 LUFS, so blocks of less than −32.43 LUFS are left out (ITU-R BS.1770).
        let tone = |lufs: f32, frames: usize| -> Vec<f32> {
            let amplitude = 10_f32.powf((lufs + 3.0) / 20.0);
            (0..frames).map(|n| (n as f32 / 48.0 * std::f32::consts::TAU).sin() * amplitude).collect()
        };
        for (quieter, expected) in [(-32.41, -22.43), (-32.48, -20.0)] {
            let sound = [tone(-20.0, 48_000 * 24), tone(quieter, 48_000 * 20)].concat();
            let measured = measure(&sound).integrated_lufs.unwrap();
            assert!((measured - expected).abs() < 0.05, "{quieter}: {measured}");
        }
    }

    #[test]
    fn silence_has_neither_loudness_nor_peak() {
        let measured = measure(&[0.0; 48_000]);
        assert_eq!((measured.integrated_lufs, measured.true_peak_dbtp, measured.sample_peak_dbfs), (None, None, None));
        assert!(measured.peaks.0.iter().all(|peak| *peak == 0));
    }

    #[test]
    fn the_sample_peak_lies_below_the_true_peak() {
        // A sine at a quarter of the rate has all its samples 3 dB below its crests.
        let samples: Vec<f32> = [0.5, 0.5, -0.5, -0.5].repeat(12_000);
        let measured = measure(&samples);
        assert_eq!(measured.sample_peak_dbfs, Some(-6.02));
        assert!(measured.true_peak_dbtp.unwrap() > -3.1, "{:?}", measured.true_peak_dbtp);
        // Full scale is that of floats, so the highest 16-bit sample is a little below it.
        assert_eq!(measure(&[0.0, 32_767.0 / 32_768.0, 0.0]).sample_peak_dbfs, Some(0.0));
        assert_eq!(measure(&[0.0, 2.0, -4.0]).sample_peak_dbfs, Some(12.04));
    }

    #[test]
    fn only_runs_at_full_scale_are_clipped() {
        let top = 32_767.0 / 32_768.0;
        assert_eq!(measure(&[0.0, top, top, 0.0, -1.0, 0.0]).clipped_samples, 0);
        assert_eq!(measure(&[top, top, top, 0.0, -1.0, -1.0, -1.0, -1.0, 0.0]).clipped_samples, 7);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let mut meter = Meter::new(48_000, 1).unwrap();
        assert!(meter.add(&[0.0, f32::NAN]).is_err());
    }

    #[test]
    fn a_waveform_keeps_its_shape_at_any_length() {
        for frames in [1_usize, 10, 799, 801, 8192, 100_000] {
            let mut waveform = Waveform::default();
            for frame in 0..frames {
                waveform.add(if frame < frames / 2 { 0.0 } else { 1.0 });
            }
            let Peaks(peaks) = waveform.finish();
            assert_eq!(peaks.len(), frames.min(Peaks::BUCKETS));
            assert_eq!(peaks.last(), Some(&255));
            assert!(frames == 1 || peaks[0] == 0);
            let loud = peaks.iter().filter(|peak| **peak == 255).count();
            assert!(loud.abs_diff(peaks.len().div_ceil(2)) <= 1, "{frames}: {loud} of {}", peaks.len());
        }
    }
}
