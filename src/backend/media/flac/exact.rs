//! Decodes one frame bit by bit (RFC 9639, 9.2). This finds the end of a frame, and decodes sound of 32 bit: its side
//! channel has 33 bits, which fast decoders do not support.

use symphonia::core::{checksum::Crc16Ansi, io::Monitor};

use crate::domain::media::{FlacChannels, FlacFrame};

/// The reason why a frame does not end where it should.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FrameFault {
    /// The bytes end before the frame does.
    Cut,
    Damaged,
}

const FIXED_COEFFICIENTS: [&[i64]; 5] = [&[], &[1], &[2, -1], &[3, -3, 1], &[4, -6, 4, -1]];
const CHECKSUM_BYTES: usize = 2;

/// Decodes the frame that begins `bytes`. Returns its interleaved samples, and the number of its bytes.
pub(super) fn decode(bytes: &[u8], stream_bit_depth: u16) -> Result<(Vec<i32>, usize), FrameFault> {
    let frame = FlacFrame::parse(bytes).ok_or(FrameFault::Damaged)?;
    let bit_depth = u32::from(frame.bit_depth.unwrap_or(stream_bit_depth));
    let block = usize::try_from(frame.samples).map_err(|_| FrameFault::Damaged)?;
    let mut bits = Bits { bytes, at: frame.header_bytes * 8 };
    let mut channels = Vec::with_capacity(frame.channels.count());
    for channel in 0..frame.channels.count() {
        channels.push(subframe(&mut bits, block, bit_depth + u32::from(frame.channels.is_side(channel)))?);
    }
    let end = bits.at.div_ceil(8) + CHECKSUM_BYTES;
    let mut checksum = Crc16Ansi::new(0);
    checksum.process_buf_bytes(bytes.get(..end).ok_or(FrameFault::Cut)?);
    if checksum.crc() != 0 {
        return Err(FrameFault::Damaged);
    }
    if let [first, second] = channels.as_mut_slice() {
        for (first, second) in first.iter_mut().zip(second) {
            (*first, *second) = frame.channels.restored(*first, *second);
        }
    }
    // A frame that is no real sound may decode to sums that are larger than any sample.
    #[expect(clippy::cast_possible_truncation, reason = "samples have at most 32 bit")]
    let sample = |at: usize, channel: &Vec<i64>| channel[at] as i32;
    let samples = (0..block).flat_map(|at| channels.iter().map(move |channel| sample(at, channel))).collect();
    Ok((samples, end))
}

fn subframe(bits: &mut Bits, block: usize, bit_depth: u32) -> Result<Vec<i64>, FrameFault> {
    if bits.unsigned(1)? != 0 {
        return Err(FrameFault::Damaged);
    }
    let kind = bits.unsigned(6)? as usize;
    let wasted = if bits.unsigned(1)? == 1 { bits.zeros()?.saturating_add(1) } else { 0 };
    let width = bit_depth.checked_sub(wasted).filter(|width| *width > 0).ok_or(FrameFault::Damaged)?;
    let mut samples = vec![0; block];
    match kind {
        0 => samples.fill(bits.signed(width)?),
        1 => bits.fill(&mut samples, width)?,
        8..=12 => {
            warm_up(bits, &mut samples, kind - 8, width)?;
            residual(bits, &mut samples, kind - 8)?;
            predict(&mut samples, FIXED_COEFFICIENTS[kind - 8], 0);
        }
        32.. => {
            let order = kind - 31;
            warm_up(bits, &mut samples, order, width)?;
            let precision = bits.unsigned(4)? as u32 + 1;
            let shift = u32::try_from(bits.signed(5)?).map_err(|_| FrameFault::Damaged)?;
            if precision == 16 {
                return Err(FrameFault::Damaged);
            }
            let mut coefficients = vec![0; order];
            bits.fill(&mut coefficients, precision)?;
            residual(bits, &mut samples, order)?;
            predict(&mut samples, &coefficients, shift);
        }
        _ => return Err(FrameFault::Damaged),
    }
    samples.iter_mut().for_each(|sample| *sample <<= wasted);
    Ok(samples)
}

fn warm_up(bits: &mut Bits, samples: &mut [i64], order: usize, width: u32) -> Result<(), FrameFault> {
    bits.fill(samples.get_mut(..order).ok_or(FrameFault::Damaged)?, width)
}

/// Reads the residuals of all samples behind the first `order`.
fn residual(bits: &mut Bits, samples: &mut [i64], order: usize) -> Result<(), FrameFault> {
    let parameter_width = match bits.unsigned(2)? {
        0 => 4,
        1 => 5,
        _ => return Err(FrameFault::Damaged),
    };
    let escape = (1 << parameter_width) - 1;
    let partitions = 1 << bits.unsigned(4)?;
    let length = samples.len() / partitions;
    if length * partitions != samples.len() || length < order.max(1) {
        return Err(FrameFault::Damaged);
    }
    for (number, partition) in samples.chunks_exact_mut(length).enumerate() {
        let partition = if number == 0 { &mut partition[order..] } else { partition };
        match bits.unsigned(parameter_width)? {
            parameter if parameter == escape => {
                let width = bits.unsigned(5)? as u32;
                bits.fill(partition, width)?;
            }
            parameter => {
                for sample in partition {
                    let folded = u64::from(bits.zeros()?) << parameter | bits.unsigned(parameter as u32)?;
                    *sample = (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed();
                }
            }
        }
    }
    Ok(())
}

/// Turns residuals into samples. The sums of a frame that is no real sound may exceed 64 bit, and wrap around.
fn predict(samples: &mut [i64], coefficients: &[i64], shift: u32) {
    for at in coefficients.len()..samples.len() {
        let (past, rest) = samples.split_at_mut(at);
        let products = coefficients.iter().zip(past.iter().rev()).map(|(factor, sample)| factor.wrapping_mul(*sample));
        rest[0] = rest[0].wrapping_add(products.fold(0_i64, i64::wrapping_add) >> shift);
    }
}

impl FlacChannels {
    /// Whether `channel` is the difference of both channels, which takes one bit more.
    fn is_side(self, channel: usize) -> bool {
        match self {
            Self::Independent(_) => false,
            Self::LeftSide | Self::MidSide => channel == 1,
            Self::SideRight => channel == 0,
        }
    }

    /// Returns the samples of the left and the right channel.
    fn restored(self, first: i64, second: i64) -> (i64, i64) {
        match self {
            Self::Independent(_) => (first, second),
            Self::LeftSide => (first, first.wrapping_sub(second)),
            Self::SideRight => (first.wrapping_add(second), second),
            Self::MidSide => {
                // The lowest bit of the sum equals that of the difference.
                let sum = first.wrapping_shl(1) | (second & 1);
                (sum.wrapping_add(second) >> 1, sum.wrapping_sub(second) >> 1)
            }
        }
    }
}

/// Reads the bits of bytes, the most significant bit first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// Reads a number of at most 33 bits.
    fn unsigned(&mut self, count: u32) -> Result<u64, FrameFault> {
        let (first, skipped) = (self.at / 8, (self.at % 8) as u32);
        let needed = ((skipped + count).div_ceil(8)) as usize;
        let window = self.bytes.get(first..first + needed).ok_or(FrameFault::Cut)?;
        let number = window.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        self.at += count as usize;
        let unused = needed as u32 * 8 - skipped - count;
        Ok(number >> unused & ((1 << count) - 1))
    }

    fn signed(&mut self, count: u32) -> Result<i64, FrameFault> {
        let number = self.unsigned(count)?;
        let shift = 64 - count;
        Ok(if count == 0 { 0 } else { (number << shift).cast_signed() >> shift })
    }

    fn fill(&mut self, numbers: &mut [i64], width: u32) -> Result<(), FrameFault> {
        for number in numbers {
            *number = self.signed(width)?;
        }
        Ok(())
    }

    /// Returns the number of zeros in front of the next 1, and skips both.
    fn zeros(&mut self) -> Result<u32, FrameFault> {
        let mut zeros = 0_u32;
        loop {
            let byte = *self.bytes.get(self.at / 8).ok_or(FrameFault::Cut)?;
            let rest = byte << (self.at % 8);
            if rest != 0 {
                self.at += rest.leading_zeros() as usize + 1;
                return Ok(zeros.saturating_add(rest.leading_zeros()));
            }
            let passed = 8 - self.at % 8;
            zeros = zeros.saturating_add(passed as u32);
            self.at += passed;
        }
    }
}
