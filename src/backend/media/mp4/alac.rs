//! Checks whether a packet of ALAC is undamaged. ALAC has no checksums, and decoders make sound of any bytes.
//!
//! The check reads a packet bit by bit as a decoder does, without computing a sample (Apple's `ALACDecoder.cpp` and
//! `ag_dec.c`). A packet whose bits were changed does not end at its END tag, except where only the value of a sample
//! was changed.

use crate::backend::media::source::be32;

/// Kinds of elements (`ALACBitUtilities.h`).
mod element {
    pub(super) const SINGLE: u32 = 0;
    pub(super) const PAIR: u32 = 1;
    pub(super) const LOW_FREQUENCY: u32 = 3;
    pub(super) const DATA: u32 = 4;
    pub(super) const FILL: u32 = 6;
    pub(super) const END: u32 = 7;
}

/// Number of ones in front of a code after which the number itself follows.
const MAX_PREFIX: u32 = 9;
/// Maximum bits of the length of a run of zeros.
const RUN_BITS: u32 = 16;
const MEAN_MAX: u32 = 0xFFFF;
/// Below this mean, the length of a run of zeros follows.
const MEAN_OF_RUNS: u32 = 128;
/// The modes of prediction that exist: one pass or two.
const MODES: [u32; 2] = [0, 15];

/// The numbers of the magic cookie that define how packets are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketShape {
    /// Number of samples (for each channel) of every packet that does not declare fewer.
    packet_samples: u32,
    bit_depth: u32,
    channels: u32,
    mean_factor: u32,
    first_mean: u32,
    max_code_bits: u32,
}

impl PacketShape {
    /// Reads the magic cookie, which has at least 24 bytes.
    pub(super) fn read(cookie: &[u8]) -> Self {
        let byte = |at: usize| u32::from(cookie.get(at).copied().unwrap_or_default());
        Self {
            packet_samples: be32(cookie, 0),
            bit_depth: byte(5),
            mean_factor: byte(6),
            first_mean: byte(7),
            max_code_bits: byte(8),
            channels: byte(9),
        }
    }

    /// Returns the number of samples (for each channel) of a packet. None if the packet is damaged. A packet with fewer
    /// samples may stand anywhere: files that were joined have one at each joint.
    pub(super) fn samples(&self, packet: &[u8]) -> Option<u32> {
        let mut bits = Bits { bytes: packet, at: 0 };
        let mut channels = 0;
        let mut samples = None;
        loop {
            // Some packets of Apple Music have no END tag. Apple's decoder stops when all channels are decoded, and so
            // the elements must fill the packet.
            if channels == self.channels && bits.is_at_last_zeros() {
                bits.at = packet.len() * 8;
                break;
            }
            match bits.read(3)? {
                element::END => break,
                kind @ (element::SINGLE | element::PAIR | element::LOW_FREQUENCY) => {
                    let own = if kind == element::PAIR { 2 } else { 1 };
                    channels += own;
                    let count = (channels <= self.channels).then(|| self.element(&mut bits, own))??;
                    if samples.is_some_and(|samples| samples != count) {
                        return None;
                    }
                    samples = Some(count);
                }
                element::DATA => {
                    let _instance = bits.read(4)?;
                    let is_aligned = bits.read(1)? == 1;
                    let bytes = match bits.read(8)? {
                        255 => 255 + bits.read(8)?,
                        bytes => bytes,
                    };
                    if is_aligned {
                        bits.at = bits.at.next_multiple_of(8);
                    }
                    bits.skip(u64::from(bytes) * 8)?;
                }
                element::FILL => {
                    let bytes = match bits.read(4)? {
                        15 => 14 + bits.read(8)?,
                        bytes => bytes,
                    };
                    bits.skip(u64::from(bytes) * 8)?;
                }
                _ => return None,
            }
        }
        // Only padding, which is zeros, may follow.
        let rest = packet.get(bits.at.div_ceil(8)..)?;
        samples.filter(|_| channels == self.channels && rest.iter().all(|byte| *byte == 0))
    }

    /// Skips an element of one or two channels, and returns the number of its samples.
    fn element(&self, bits: &mut Bits, channels: u32) -> Option<u32> {
        let (_instance, unused) = (bits.read(4)?, bits.read(12)?);
        let is_partial = bits.read(1)? == 1;
        let low_bits = bits.read(2)? * 8;
        let is_verbatim = bits.read(1)? == 1;
        let samples = if is_partial { bits.read(32)? } else { self.packet_samples };
        // The difference of two channels has one bit more than each channel.
        let width = self.bit_depth.checked_sub(low_bits).filter(|width| *width > 0)? + channels - 1;
        if unused != 0 || samples == 0 || samples > self.packet_samples || low_bits > 16 {
            return None;
        }
        if is_verbatim {
            bits.skip(u64::from(samples) * u64::from(channels * self.bit_depth))?;
            return Some(samples);
        }
        if width > 32 {
            return None;
        }
        let _mix = bits.read(16)?;
        let mut factors = [0; 2];
        for factor in factors.iter_mut().take(channels as usize) {
            let (mode, _shift) = (bits.read(4)?, bits.read(4)?);
            *factor = bits.read(3)? * self.mean_factor / 4;
            let coefficients = bits.read(5)?;
            bits.skip(u64::from(coefficients) * 16)?;
            if !MODES.contains(&mode) {
                return None;
            }
        }
        bits.skip(u64::from(samples) * u64::from(channels * low_bits))?;
        for factor in factors.iter().take(channels as usize) {
            self.residuals(bits, samples, *factor, width)?;
        }
        Some(samples)
    }

    /// Skips the residuals of all samples of a channel.
    fn residuals(&self, bits: &mut Bits, samples: u32, factor: u32, width: u32) -> Option<()> {
        let mut mean = self.first_mean;
        let mut after_run = 0;
        let mut at = 0;
        while at < samples {
            let code_bits = ((mean >> 9) + 3).ilog2().min(self.max_code_bits);
            let code = bits.code(code_bits, width)?;
            let number = code.wrapping_add(after_run);
            after_run = 0;
            at += 1;
            mean = if code > MEAN_MAX {
                MEAN_MAX
            } else {
                mean.wrapping_sub(factor.wrapping_mul(mean) >> 9).wrapping_add(factor.wrapping_mul(number))
            };
            if mean < MEAN_OF_RUNS && at < samples {
                let code_bits = mean.leading_zeros() - 24 + ((mean + 16) >> 6);
                let zeros = bits.code(code_bits.min(self.max_code_bits), RUN_BITS)?;
                if zeros > samples - at {
                    return None;
                }
                at += zeros;
                after_run = u32::from(zeros < MEAN_MAX);
                mean = 0;
            }
        }
        Some(())
    }
}

/// Reads the bits of a packet, the most significant bit first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// Returns at least the next 57 bits, left-justified. Bits behind the end are zeros.
    fn window(&self) -> u64 {
        let first = self.at / 8;
        let bytes = match self.bytes.get(first..first + 8) {
            Some(bytes) => bytes.try_into().unwrap_or_default(),
            None => {
                let rest = self.bytes.get(first..).unwrap_or_default();
                let mut bytes = [0; 8];
                bytes.iter_mut().zip(rest).for_each(|(byte, from)| *byte = *from);
                bytes
            }
        };
        u64::from_be_bytes(bytes) << (self.at % 8)
    }

    /// Whether no byte follows, and all bits that are left of the last one are zeros.
    fn is_at_last_zeros(&self) -> bool {
        let left = (self.bytes.len() * 8).saturating_sub(self.at);
        left < 8 && self.window() == 0
    }

    /// Reads up to 32 bits. Returns None if there are fewer.
    fn read(&mut self, count: u32) -> Option<u32> {
        let number = if count == 0 { 0 } else { self.window() >> (64 - count) };
        self.skip(u64::from(count))?;
        u32::try_from(number).ok()
    }

    fn skip(&mut self, count: u64) -> Option<()> {
        self.at = self.at.checked_add(usize::try_from(count).ok()?)?;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// Reads a number. It is written as ones, a zero and its last `code_bits` bits, or as nine ones and all of its
    /// `width` bits.
    fn code(&mut self, code_bits: u32, width: u32) -> Option<u32> {
        let ones = self.window().leading_ones();
        if ones >= MAX_PREFIX {
            self.skip(u64::from(MAX_PREFIX))?;
            return self.read(width);
        }
        self.skip(u64::from(ones) + 1)?;
        match code_bits {
            0 => Some(0),
            1 => Some(ones),
            // A last part below 2 is written with one bit less.
            _ => {
                let base = ones * ((1 << code_bits) - 1);
                let last = (self.window() >> (64 - code_bits)) as u32;
                self.skip(u64::from(if last > 1 { code_bits } else { code_bits - 1 }))?;
                Some(base + last.saturating_sub(1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONO: PacketShape = PacketShape {
        packet_samples: 4,
        bit_depth: 16,
        channels: 1,
        mean_factor: 40,
        first_mean: 10,
        max_code_bits: 14,
    };

    /// Builds a packet from bits that are written as text, filled up with zeros.
    fn packet(parts: &[&str]) -> Vec<u8> {
        let bits: Vec<u8> = parts.concat().bytes().filter(|bit| *bit != b' ').map(|bit| bit - b'0').collect();
        bits.chunks(8).map(|bits| (0..8).fold(0, |byte, at| byte << 1 | bits.get(at).copied().unwrap_or(0))).collect()
    }

    const VERBATIM: &str = "000 0000 000000000000 0 00 1";
    const FOUR_SAMPLES: &str = "0000000000000001 0000000000000010 0000000000000011 0000000000000100";
    const END: &str = "111";

    #[test]
    fn a_packet_ends_where_its_elements_do() {
        let whole = packet(&[VERBATIM, FOUR_SAMPLES, END]);
        assert_eq!(MONO.samples(&whole), Some(4));
        assert_eq!(MONO.samples(&[whole.as_slice(), &[0; 5]].concat()), Some(4), "padding");
        assert_eq!(MONO.samples(&[whole.as_slice(), &[0, 1]].concat()), None, "something else");
        assert_eq!(MONO.samples(&whole[..whole.len() - 1]), None);
        // Data and fill elements beside the sound.
        let data = "100 0000 0 00000010 1010101010101010";
        let fill = "110 0001 11111111";
        assert_eq!(MONO.samples(&packet(&[fill, VERBATIM, FOUR_SAMPLES, data, END])), Some(4));
        let aligned = "100 0000 1 00000001";
        assert_eq!(MONO.samples(&packet(&[aligned, "11111111", VERBATIM, FOUR_SAMPLES, END])), Some(4));
        let short = "000 0000 000000000000 1 00 1 00000000000000000000000000000010";
        assert_eq!(MONO.samples(&packet(&[short, &FOUR_SAMPLES[..33], END])), Some(2));
        for (what, parts) in [
            ("two channels instead of one", vec![VERBATIM, FOUR_SAMPLES, VERBATIM, FOUR_SAMPLES, END]),
            ("no channel", vec![END]),
            ("an element that ALAC does not have", vec!["101", VERBATIM, FOUR_SAMPLES, END]),
            ("zeros instead of the end", vec![VERBATIM, FOUR_SAMPLES, "000 000000"]),
            ("something else instead of the end", vec![VERBATIM, FOUR_SAMPLES, "1"]),
            ("a sample less", vec![VERBATIM, &FOUR_SAMPLES[..50], END]),
        ] {
            assert_eq!(MONO.samples(&packet(&parts)), None, "{what}");
        }
        // Some encoders leave out the END tag. The sound must fill the packet.
        assert_eq!(MONO.samples(&packet(&[VERBATIM, FOUR_SAMPLES])), Some(4));
        assert_eq!(MONO.samples(&[packet(&[VERBATIM, FOUR_SAMPLES]), vec![0]].concat()), None);
        let stereo = PacketShape { channels: 2, ..MONO };
        assert_eq!(stereo.samples(&whole), None);
        assert_eq!(stereo.samples(&packet(&[VERBATIM, FOUR_SAMPLES, VERBATIM, FOUR_SAMPLES, END])), Some(4));
        assert_eq!(stereo.samples(&packet(&[VERBATIM, FOUR_SAMPLES, short, &FOUR_SAMPLES[..33], END])), None);
    }

    #[test]
    fn the_largest_number_behind_a_run_raises_the_mean() {
        let head = "000 0000 000000000000 0 00 0 0000000000000000 0000 0000 100 00000";
        let (zero, run_of_one, largest) = ("0", "0 0010", "111111111 1111111111111111");
        // The mean is 40 × 65,536, so the next number has 12 bits behind its zero, and a zero has 11.
        assert_eq!(MONO.samples(&packet(&[head, zero, run_of_one, largest, "0 00000000000", END])), Some(4));
    }

    #[test]
    fn a_run_of_zeros_ends_with_its_packet() {
        // Compressed, without mixing or coefficients. A zero makes the mean small.
        let head = "000 0000 000000000000 0 00 0 0000000000000000 0000 0000 100 00000";
        let run = |code: &str| MONO.samples(&packet(&[head, "0", code, END]));
        // The mean is 10, so 4 bits follow the ones and the zero, and 3 zeros are written as 4.
        assert_eq!(run("0 0100"), Some(4));
        assert_eq!(run("0 0101"), None);
    }
}
