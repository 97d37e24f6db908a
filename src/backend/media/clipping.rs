//! Counts clipped samples: runs at the highest and at the lowest level that the sound reaches, close to full scale.
//!
//! Where full scale lies depends on the sound and not on its container. 16-bit samples in 24 bits end at 0x7FFF00,
//! floats that were 16-bit samples end at 0.99997, and some encoders end at −0x7FFF. So each side of each channel has
//! its own highest level, which is known only at the end. Samples less than a step below full scale count as well, so
//! that a single sample one step higher does not hide a run.

/// Number of adjacent samples at one level that count as clipping. The output of a limiter rarely stays at its ceiling
/// for three.
const CLIPPED_RUN: u32 = 3;
/// Lowest amplitude that may be full scale. The highest level of 8-bit samples is 127/128 (−0.07 dBFS), and no other
/// depth ends lower. Ceilings of −0.1 dBFS and less are intended.
const LOWEST_FULL_SCALE: f32 = 0.992;
/// Lowest amplitudes that count as full scale: one and a half steps below 1, in 16 and in 24 bit. The largest positive
/// value is one step below 1.
const FULL_SCALE_16: f32 = 1.0 - 1.5 / 32_768.0;
const FULL_SCALE_24: f32 = 1.0 - 1.5 / 8_388_608.0;
const STEPS_16: f32 = 32_768.0;

pub(super) struct Clipping {
    channels: Vec<Channel>,
    /// Whether no sample so far needs more than 16 bit.
    is_16_bit: bool,
}

#[derive(Clone, Default)]
struct Channel {
    above_zero: Side,
    below_zero: Side,
    /// Whether the last sample may be part of a run. Few samples are, so the others cost nothing.
    is_close: bool,
}

/// The samples of a channel above zero, or those below.
#[derive(Clone, Default)]
struct Side {
    /// The highest amplitude so far.
    level: f32,
    at_level: Runs,
    at_full_scale_16: Runs,
    at_full_scale_24: Runs,
}

#[derive(Clone, Default)]
struct Runs {
    /// Number of samples in the current run.
    length: u32,
    clipped: i64,
}

impl Runs {
    fn add(&mut self, is_in: bool) {
        self.length = if is_in { self.length.saturating_add(1) } else { 0 };
        self.clipped += match self.length {
            length if length > CLIPPED_RUN => 1,
            CLIPPED_RUN => i64::from(CLIPPED_RUN),
            _ => 0,
        };
    }
}

impl Side {
    /// `amplitude` is at least [`LOWEST_FULL_SCALE`].
    fn add(&mut self, amplitude: f32) {
        if amplitude > self.level {
            self.level = amplitude;
            self.at_level = Runs::default();
        }
        self.at_level.add(amplitude >= self.level);
        self.at_full_scale_16.add(amplitude >= FULL_SCALE_16);
        self.at_full_scale_24.add(amplitude >= FULL_SCALE_24);
    }

    fn leave(&mut self) {
        for runs in [&mut self.at_level, &mut self.at_full_scale_16, &mut self.at_full_scale_24] {
            runs.length = 0;
        }
    }

    fn clipped(&self, is_16_bit: bool) -> i64 {
        let at_full_scale = if is_16_bit { &self.at_full_scale_16 } else { &self.at_full_scale_24 };
        at_full_scale.clipped.max(self.at_level.clipped)
    }
}

impl Clipping {
    pub(super) fn new(channels: usize) -> Self {
        Self { channels: vec![Channel::default(); channels], is_16_bit: true }
    }

    /// Counts the next sample of a channel, full scale at ±1.
    pub(super) fn add(&mut self, channel: usize, sample: f32) {
        #[expect(clippy::cast_possible_truncation, reason = "the comparison detects the truncated bits")]
        let is_16_bit = |sample: f32| (sample * STEPS_16) as i32 as f32 == sample * STEPS_16;
        self.is_16_bit = self.is_16_bit && is_16_bit(sample);
        let Some(Channel { above_zero, below_zero, is_close }) = self.channels.get_mut(channel) else { return };
        let was_close = std::mem::replace(is_close, sample.abs() >= LOWEST_FULL_SCALE);
        if *is_close {
            let (side, other) = if sample > 0.0 { (above_zero, below_zero) } else { (below_zero, above_zero) };
            other.leave();
            side.add(sample.abs());
        } else if was_close {
            above_zero.leave();
            below_zero.leave();
        }
    }

    /// Number of samples in runs of three and more.
    pub(super) fn samples(&self) -> i64 {
        let sides = self.channels.iter().flat_map(|channel| [&channel.above_zero, &channel.below_zero]);
        sides.map(|side| side.clipped(self.is_16_bit)).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::media::{Deadline, examine_audio};

    fn clipped(samples: &[f32]) -> i64 {
        let mut clipping = Clipping::new(1);
        samples.iter().for_each(|sample| clipping.add(0, *sample));
        clipping.samples()
    }

    /// Decodes whole numbers of `bits` bits, as from any container that holds them.
    fn of_bits(bits: u32, samples: &[i32]) -> Vec<f32> {
        samples.iter().map(|sample| *sample as f32 / 2_f32.powi(bits.cast_signed() - 1)).collect()
    }

    #[test]
    fn both_sides_are_seen_at_every_depth() {
        for bits in [8, 12, 16, 20, 24] {
            let (top, bottom) = ((1 << (bits - 1)) - 1, -(1 << (bits - 1)));
            for (samples, expected) in [
                (vec![0, top, top, 0, bottom, bottom, 0], 0),
                (vec![0, top, top, top, 0, 1, bottom, bottom, bottom, bottom, 0], 7),
                // Some converters clip symmetrically.
                (vec![top, top, top, 0, -top, -top, -top, -top, 0], 7),
                (vec![0, 1, bottom, bottom, bottom, 0], 3),
                // Samples that jump from one end to the other are no run.
                (vec![top, bottom, top, bottom, top, bottom], 0),
            ] {
                assert_eq!(clipped(&of_bits(bits, &samples)), expected, "{bits}: {samples:?}");
            }
        }
    }

    #[test]
    fn one_sample_above_does_not_hide_what_is_clipped() {
        let samples = |bottom: i32| [-32_768, 0, bottom, bottom, bottom, bottom, 0, 32_766, 32_767, 0];
        assert_eq!(clipped(&of_bits(16, &samples(-32_767))), 4);
        assert_eq!(clipped(&of_bits(16, &samples(-32_766))), 0);
    }

    #[test]
    fn a_level_below_full_scale_is_an_intention() {
        for level in [0.5_f32, 0.9, 0.988_553] {
            assert_eq!(clipped(&[0.0, level, level, level, level, -level, -level, -level, -level, 0.0]), 0);
        }
        assert_eq!(clipped(&[0.0; 100]), 0);
    }

    #[test]
    fn floats_are_clipped_where_they_end() {
        assert_eq!(clipped(&[1.0, 1.0, 1.0, 0.123_456_7]), 3);
        // Players clip the overshoots of an encoder.
        assert_eq!(clipped(&[1.1, 1.2, 1.15, 0.123_456_7, -1.01, -1.02]), 3);
        assert_eq!(clipped(&[0.999, 0.999, 0.999, 0.998, 0.123_456_7]), 3);
    }

    #[test]
    fn the_handed_cases_have_200_clipped_samples_each() {
        for name in ["wav_clipped_16_in_24.wav", "wav_clipped_16bit_reference.wav"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("upload");
            std::fs::write(&path, testing::fixtures::case(name)).unwrap();
            let (facts, _) = examine_audio(&path, &folder.path().join("copy"), &Deadline::never()).unwrap();
            assert_eq!(facts.clipped_samples, 200, "{name}");
        }
    }

    proptest! {
        #[test]
        fn the_container_makes_no_difference(samples in prop::collection::vec(
            prop_oneof![Just(32_767), Just(-32_768), Just(-32_767), any::<i16>().prop_map(i32::from)], 0..200,
        )) {
            let wide: Vec<i32> = samples.iter().map(|sample| sample << 8).collect();
            prop_assert_eq!(clipped(&of_bits(24, &wide)), clipped(&of_bits(16, &samples)));
        }
    }
}
