//! Measures the true peak: the highest level that the sound reaches, including between its samples.
//!
//! ITU-R BS.1770-5 (annex 2) oversamples to 192 kHz and leaves the filter open. This module uses the filter of ffmpeg's
//! meter (`ebur128=peak=true`, libswresample), because people compare our number with ffmpeg's. The filter is a sinc of
//! 32 samples under a Kaiser window. A longer filter would read up to 1 dB more of white noise than ffmpeg does.

use std::f64::consts::PI;

/// Rate to which sound is interpolated. Sound that already has this rate is not interpolated.
const RATE_HZ: u32 = 192_000;
/// Number of samples that make an interpolated one.
const TAPS: usize = 32;
/// Number of those samples up to the instant of the interpolated sample.
const TAPS_BEFORE: usize = TAPS / 2;
/// The β of the Kaiser window.
const BETA: f64 = 9.0;
/// Maximum number of instants between two samples that have a filter. 44.1 kHz needs 640.
const MAX_PHASES: u32 = 1024;
/// Number of frames that are measured or skipped together. An interpolated sample needs only its own group and the two
/// beside it.
const GROUP: usize = TAPS_BEFORE;
/// Number of frames that are collected before they are measured.
const BLOCK: usize = 64 * GROUP;

pub(super) struct TruePeak {
    filters: Filters,
    /// Samples of each channel: a group that was measured already, groups to measure, and a group that is only read as
    /// a neighbour.
    channels: Vec<Vec<f32>>,
    /// Number of the first frame to measure.
    first_frame: u64,
    levels: Vec<Level>,
    highest: f32,
}

impl TruePeak {
    pub(super) fn new(sample_rate_hz: u32, channels: usize) -> Self {
        Self {
            filters: Filters::new(sample_rate_hz),
            channels: vec![vec![0.0; GROUP]; channels],
            first_frame: 0,
            levels: Vec::new(),
            highest: 0.0,
        }
    }

    /// Measures interleaved samples.
    pub(super) fn add(&mut self, mut samples: &[f32]) {
        let count = self.channels.len();
        while let Some(room) = self.channels.first().map(|channel| GROUP + BLOCK + GROUP - channel.len())
            && !samples.is_empty()
        {
            let (now, later) = samples.split_at(samples.len().min(room * count));
            for (number, channel) in self.channels.iter_mut().enumerate() {
                channel.extend(now.chunks_exact(count).map(|frame| frame[number]));
            }
            samples = later;
            if now.len() == room * count {
                self.measure(GROUP + BLOCK);
                for channel in &mut self.channels {
                    channel.drain(..BLOCK);
                }
                self.first_frame += BLOCK as u64;
            }
        }
    }

    /// Returns the highest level, full scale at 1. It is at least the level of the highest sample. As in ffmpeg,
    /// nothing is interpolated from samples behind the end: silence there would make a track ring that ends in the
    /// middle of a wave.
    pub(super) fn finish(mut self) -> f32 {
        let end = self.channels.first().map_or(0, Vec::len);
        for channel in &mut self.channels {
            channel.resize(end.next_multiple_of(GROUP) + GROUP, 0.0);
        }
        self.measure(end.saturating_sub(GROUP));
        self.highest
    }

    /// Puts the mirror image of the sound in front of it, as ffmpeg does. Silence there would make a track ring that
    /// begins in the middle of a wave, for example one that was cut out of a mix.
    fn mirror_start(&mut self) {
        if self.first_frame == 0 {
            for channel in &mut self.channels {
                for distance in 1..GROUP {
                    channel[GROUP - distance] = channel.get(GROUP + distance).copied().unwrap_or_default();
                }
            }
        }
    }

    /// Measures the frames before `end`, which is an index into the buffers.
    fn measure(&mut self, end: usize) {
        self.mirror_start();
        let Self { filters, channels, first_frame, levels, highest } = self;
        for samples in channels {
            levels.clear();
            levels.extend((0..samples.len() / GROUP).map(|group| Level::of(samples, group * GROUP)));
            *highest = levels.iter().fold(*highest, |highest, level| highest.max(level.peak));
            for (group, around) in levels.windows(3).enumerate() {
                if filters.bound(around) > *highest {
                    let start = (group + 1) * GROUP;
                    let frame = *first_frame + (group * GROUP) as u64;
                    *highest = highest.max(filters.highest(samples, start..end.min(start + GROUP), frame));
                }
            }
        }
    }
}

/// The numbers of a group of samples that bound the sound between them.
struct Level {
    peak: f32,
    /// The highest second difference (`x[n - 1] - 2 x[n] + x[n + 1]`).
    bend: f32,
}

impl Level {
    fn of(samples: &[f32], start: usize) -> Self {
        // The outermost samples of the buffer have only one neighbour. Their second differences belong to no
        // interpolated sample.
        let bent = start.clamp(1, samples.len() - GROUP - 1) - 1;
        let (Some(own), Some(near)) = (samples[start..].first_chunk(), samples[bent..].first_chunk::<{ GROUP + 2 }>())
        else {
            return Self { peak: 0.0, bend: 0.0 };
        };
        let bend = std::array::from_fn(|n| near[n] - 2.0 * near[n + 1] + near[n + 2]);
        Self { peak: highest_of(own), bend: highest_of(&bend) }
    }
}

/// Returns the highest amplitude. Compilers turn these steps into instructions for several numbers at once.
fn highest_of(samples: &[f32; GROUP]) -> f32 {
    let higher = |one: f32, other: f32| if one > other { one } else { other };
    let eight: [f32; GROUP / 2] = std::array::from_fn(|n| higher(samples[n].abs(), samples[n + GROUP / 2].abs()));
    let four: [f32; GROUP / 4] = std::array::from_fn(|n| higher(eight[n], eight[n + GROUP / 4]));
    four.into_iter().fold(0.0, higher)
}

/// The filters for all instants between two samples, beginning with the instant of the first sample.
struct Filters {
    phases: Vec<[f32; TAPS]>,
    /// Number of phases from one interpolated sample to the next.
    step: usize,
    /// Upper bound: no interpolated sample is higher than the peak around it times this gain.
    gain: f32,
    /// Upper bound: no interpolated sample is higher than the peak times this gain plus the bend times `bend_gain`.
    /// Straight lines between samples are as high as samples, and sound above the lines is bent. This is the closer
    /// bound for almost all music.
    line_gain: f32,
    bend_gain: f32,
}

impl Filters {
    fn new(sample_rate_hz: u32) -> Self {
        let divisor = greatest_common_divisor(sample_rate_hz, RATE_HZ);
        // Unusual rates are interpolated to slightly more or less than [`RATE_HZ`].
        let phases = (RATE_HZ / divisor).min(MAX_PHASES);
        let step = u64::from(sample_rate_hz) * u64::from(phases) / u64::from(RATE_HZ);
        let mut filters =
            Self { phases: Vec::new(), step: step.max(1) as usize, gain: 1.0, line_gain: 1.0, bend_gain: 0.0 };
        for phase in 0..phases {
            filters.push(f64::from(phase) / f64::from(phases));
        }
        filters
    }

    /// Adds the filter for the instant `at`, counted in samples behind the one at `TAPS_BEFORE - 1`.
    fn push(&mut self, at: f64) {
        let mut taps: [f64; TAPS] = std::array::from_fn(|tap| {
            let distance = tap as f64 - (TAPS_BEFORE - 1) as f64 - at;
            let sinc = if distance == 0.0 { 1.0 } else { (PI * distance).sin() / (PI * distance) };
            let inside = 1.0 - (distance / TAPS_BEFORE as f64).powi(2);
            sinc * bessel(BETA * inside.max(0.0).sqrt())
        });
        let sum: f64 = taps.iter().sum();
        taps = taps.map(|tap| tap / sum);
        // The filter is a straight line between two samples, plus a sum over second differences for the rest. The taps
        // of that sum are the taps of the filter without the line, summed up twice. The last of them belongs to the
        // first difference at the end.
        let mut bends = taps;
        bends[TAPS_BEFORE - 1] -= 1.0 - at;
        bends[TAPS_BEFORE] -= at;
        for _ in 0..2 {
            bends.iter_mut().fold(0.0, |sum, tap| {
                *tap += sum;
                *tap
            });
        }
        let amount = |taps: &[f64]| taps.iter().map(|tap| tap.abs()).sum::<f64>() as f32;
        self.gain = self.gain.max(amount(&taps));
        self.line_gain = self.line_gain.max(1.0 + 2.0 * amount(&bends[TAPS - 2..TAPS - 1]));
        self.bend_gain = self.bend_gain.max(amount(&bends[..TAPS - 2]));
        self.phases.push(taps.map(|tap| tap as f32));
    }

    /// Returns an upper bound of the interpolated samples of the group in the middle.
    fn bound(&self, around: &[Level]) -> f32 {
        let highest = |of: fn(&Level) -> f32| around.iter().map(of).fold(0.0, f32::max);
        let (peak, bend) = (highest(|level| level.peak), highest(|level| level.bend));
        (self.gain * peak).min(self.line_gain * peak + self.bend_gain * bend)
    }

    /// Returns the highest interpolated sample in `range`, whose first frame has the number `frame`.
    fn highest(&self, samples: &[f32], range: std::ops::Range<usize>, frame: u64) -> f32 {
        let (phases, step) = (self.phases.len(), self.step);
        // The search begins at the first instant behind the frame.
        let late = frame * phases as u64 % step as u64;
        let mut phase = if late == 0 { 0 } else { step - late as usize };
        let mut at = range.start;
        let mut highest = 0.0_f32;
        loop {
            at += phase / phases;
            phase %= phases;
            if at >= range.end {
                return highest;
            }
            // Phase 0 is a sample of the sound itself.
            if phase > 0
                && let Some((near, _)) = samples[at + 1 - TAPS_BEFORE..].split_first_chunk()
            {
                highest = highest.max(sum_of_products(near, &self.phases[phase]).abs());
            }
            phase += step;
        }
    }
}

/// Sums the products in eight separate sums, which compilers turn into instructions for several numbers at once.
fn sum_of_products(samples: &[f32; TAPS], taps: &[f32; TAPS]) -> f32 {
    let mut sums = [0.0_f32; 8];
    for (samples, taps) in samples.chunks_exact(8).zip(taps.chunks_exact(8)) {
        for ((sum, sample), tap) in sums.iter_mut().zip(samples).zip(taps) {
            *sum += sample * tap;
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + e) + (b + f)) + ((c + g) + (d + h))
}

/// The modified Bessel function of the first kind, order 0, for numbers up to [`BETA`].
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for n in 1..40 {
        term *= (x / f64::from(2 * n)).powi(2);
        sum += term;
    }
    sum
}

fn greatest_common_divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    const RATES_HZ: [u32; 6] = [44_100, 48_000, 88_200, 96_000, 176_400, 192_000];

    /// White noise between ±1.
    fn noise(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f64 / 8_388_608.0 - 1.0
        }
    }

    /// Makes a fifth of a second of a signal.
    fn signal(name: &str, rate_hz: u32) -> Vec<f32> {
        let rate = f64::from(rate_hz);
        let count = rate_hz / 5;
        let mut white = noise(0x1234_5678_90AB_CDEF);
        let mut slow = [0.0; 3];
        let sample = |at: u32| {
            let frame = f64::from(at);
            match name {
                "white noise" => white() * 0.9,
                "clipped noise" => (white() * 8.0).clamp(-1.0, 1.0),
                "a quarter of the rate, between its peaks" => (TAU * (frame / 4.0 + 0.125)).sin(),
                "0.45 of the rate" => (TAU * 0.45 * frame).sin(),
                "20 kHz" => (TAU * 20_000.0 * frame / rate).sin(),
                "square wave" => 0.99_f64.copysign(0.5 - (frame * 997.0 / rate).fract()),
                "in the middle of a wave" => 0.9 * (TAU * 50.0 * frame / rate).cos(),
                "pink noise" => {
                    let white = white();
                    for (slow, share) in slow.iter_mut().zip([0.005, 0.05, 0.4]) {
                        *slow += share * (white - *slow);
                    }
                    4.0 * slow[0] + slow[1] + 0.3 * slow[2] + 0.03 * white
                }
                _ => f64::from(u8::from(at == count / 2 + 3)),
            }
        };
        (0..count).map(sample).map(|sample| sample as f32).collect()
    }

    fn dbtp(rate_hz: u32, channels: usize, samples: &[f32], frames_at_once: usize) -> f64 {
        let mut meter = TruePeak::new(rate_hz, channels);
        samples.chunks(frames_at_once * channels).for_each(|some| meter.add(some));
        20.0 * f64::from(meter.finish()).log10()
    }

    #[test]
    fn it_is_what_ffmpeg_measures() {
        // Measured by ffmpeg 5.1 (`ffmpeg -af ebur128=peak=true`) from the same samples, at each of the rates.
        let measured = [
            ("white noise", [3.7, 3.7, 3.6, 3.8, 3.6, -0.9]),
            ("clipped noise", [7.2, 7.2, 7.2, 7.2, 6.9, 0.0]),
            ("a quarter of the rate, between its peaks", [0.6, 0.6, 0.1, 0.6, 0.1, -3.0]),
            ("0.45 of the rate", [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
            ("20 kHz", [0.0, 0.7, 0.5, 0.4, 0.0, 0.0]),
            ("square wave", [2.0, 2.0, 2.0, 2.0, 2.0, -0.1]),
            ("in the middle of a wave", [-0.9, -0.9, -0.9, -0.9, -0.9, -0.9]),
            ("pink noise", [-1.4, -1.4, -0.9, -1.1, -0.9, -1.2]),
        ];
        for (name, peaks) in measured {
            for (rate_hz, peak) in RATES_HZ.into_iter().zip(peaks) {
                // The other channel is quieter.
                let samples: Vec<f32> =
                    signal(name, rate_hz).into_iter().flat_map(|sample| [sample * 0.7, sample]).collect();
                let ours = dbtp(rate_hz, 2, &samples, 1000);
                assert!((ours - peak).abs() < 0.1, "{name} at {rate_hz} Hz: {ours} dBTP instead of {peak}");
            }
        }
    }

    #[test]
    fn a_sample_counts_between_those_that_ffmpeg_looks_at() {
        // ffmpeg reads −0.7 at 88.2 kHz and −0.9 at 176.4 kHz.
        for rate_hz in RATES_HZ {
            assert_eq!(dbtp(rate_hz, 1, &signal("one sample", rate_hz), 4096), 0.0, "{rate_hz}");
        }
    }

    /// Computes the true peak by its definition: the highest of all interpolated samples.
    fn slowly(rate_hz: u32, samples: &[f32]) -> f64 {
        let filters = Filters::new(rate_hz);
        let mut highest = samples.iter().fold(0.0_f64, |highest, sample| highest.max(f64::from(sample.abs())));
        for number in 0.. {
            let place = number * filters.step;
            let (at, phase) = (place / filters.phases.len(), place % filters.phases.len());
            if at + TAPS_BEFORE >= samples.len() {
                return 20.0 * highest.log10();
            }
            let tapped = filters.phases[phase].iter().enumerate().map(|(tap, factor)| {
                let sample = samples[(at + tap).abs_diff(TAPS_BEFORE - 1)];
                f64::from(sample * factor)
            });
            highest = highest.max(tapped.sum::<f64>().abs());
        }
        unreachable!("samples have an end")
    }

    #[test]
    fn nothing_that_is_passed_over_would_have_counted() {
        let mut dice = noise(1);
        for rate_hz in RATES_HZ.into_iter().chain([44_099, 64_000, 191_999]) {
            for length in [0, 1, 16, 17, 33, 1039, 1040, 1041, 5000] {
                // Tones in noise, both with changing levels.
                let pitch = dice().abs() * 0.5;
                let mut white = noise(length + 7);
                let tone = |at: u64| (TAU * pitch * at as f64).sin() * (at as f64 / 300.0).sin();
                let samples: Vec<f32> =
                    (0..length).map(|at| (tone(at) + white() * (at as f64 / 700.0).cos()) as f32).collect();
                let (ours, expected) = (dbtp(rate_hz, 1, &samples, 777), slowly(rate_hz, &samples));
                assert!(
                    ours == expected || (ours - expected).abs() < 0.001,
                    "{length} at {rate_hz} Hz: {ours} instead of {expected}"
                );
            }
        }
    }
}
