//! Reads the header of a FLAC's frame and finds the end of the frame (RFC 9639, 9).

use symphonia::core::{checksum::Crc8Ccitt, io::Monitor};

use super::exact;
use crate::backend::media::source::{be16, be32};

/// Two bytes sync, two of codes, a number of up to seven, block size, sample rate, checksum.
pub(super) const MAX_HEADER_BYTES: usize = 16;
const INFO_BYTES: usize = 34;
/// The largest block that there can be; decoders refuse a frame with more samples than STREAMINFO says.
const BLOCK_SIZES: [u8; 4] = [0, 16, 0xFF, 0xFF];

/// The properties that all frames of a file have in common.
#[derive(Clone)]
pub(super) struct Stream {
    pub(super) sample_rate_hz: u32,
    pub(super) channels: u16,
    pub(super) bit_depth: u16,
    /// Samples for each channel, as STREAMINFO declares. None if the encoder did not know.
    pub(super) frames: Option<u64>,
    /// STREAMINFO as decoders get it.
    pub(super) info: [u8; INFO_BYTES],
    /// Sync and blocking strategy: the second byte of each frame.
    sync: u8,
    /// Frames are numbered from this number on: live streams do not begin at 0.
    first_number: u64,
    /// Samples in the first frame, and in all but the last one if frames of one size count themselves.
    first_samples: u64,
}

/// A frame's header, compared with its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) number: u64,
    pub(super) samples: u64,
    /// Whether its rate, channels and bits are those of the stream.
    pub(super) is_alike: bool,
}

/// Why a frame does not end where it should.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FrameFault {
    /// The bytes end before.
    Cut,
    Damaged,
}

/// How the channels of a frame are coded.
#[derive(Clone, Copy)]
pub(super) enum Channels {
    Independent(usize),
    LeftSide,
    SideRight,
    MidSide,
}

/// A frame's header, compared with nothing yet.
pub(super) struct Codes {
    sync: u8,
    number: u64,
    pub(super) samples: u64,
    /// None if the rate is that of STREAMINFO.
    sample_rate_hz: Option<u32>,
    pub(super) channels: Channels,
    pub(super) bit_depth: Option<u16>,
    /// Length of the header with its checksum.
    pub(super) header_bytes: usize,
}

impl Channels {
    pub(super) fn count(self) -> usize {
        match self {
            Self::Independent(count) => count,
            _ => 2,
        }
    }
}

impl Stream {
    /// None if no frame begins with `first_frame`.
    pub(super) fn beginning_with(mut info: [u8; INFO_BYTES], first_frame: &[u8]) -> Option<Self> {
        let packed = u64::from(be32(&info, 10)) << 32 | u64::from(be32(&info, 14));
        // 20 bits rate, 3 bits channels less one, 5 bits depth less one, 36 bits frames; all masked to fit.
        let frames = packed & 0xF_FFFF_FFFF;
        let first = Codes::read(first_frame)?;
        // Encoders disagree on whether a short last block counts. The numbers of the frames tell where we are.
        info[..4].copy_from_slice(&BLOCK_SIZES);
        Some(Self {
            sample_rate_hz: (packed >> 44) as u32,
            channels: (packed >> 41 & 0x7) as u16 + 1,
            bit_depth: (packed >> 36 & 0x1F) as u16 + 1,
            frames: (frames > 0).then_some(frames),
            info,
            sync: first.sync,
            first_number: first.number,
            first_samples: first.samples,
        })
    }

    pub(super) fn first_number(&self) -> u64 {
        self.first_number
    }

    /// The number of the frame that follows. Frames of one size count themselves, others their samples.
    pub(super) fn number_after(&self, header: &Header) -> u64 {
        header.number.saturating_add(if self.counts_samples() { header.samples } else { 1 })
    }

    /// How many samples there are up to the end of this frame.
    pub(super) fn samples_until_end_of(&self, header: &Header) -> u64 {
        let step = if self.counts_samples() { 1 } else { self.first_samples };
        header.number.saturating_sub(self.first_number).saturating_mul(step).saturating_add(header.samples)
    }

    fn counts_samples(&self) -> bool {
        self.sync & 1 == 1
    }

    /// The header of the frame of this stream that begins here; None if none does.
    pub(super) fn header(&self, bytes: &[u8]) -> Option<Header> {
        if bytes.get(1) != Some(&self.sync) {
            return None;
        }
        let codes = Codes::read(bytes)?;
        let is_alike = codes.channels.count() == usize::from(self.channels)
            && codes.sample_rate_hz.is_none_or(|rate| rate == self.sample_rate_hz)
            && codes.bit_depth.is_none_or(|bits| bits == self.bit_depth);
        Some(Header { number: codes.number, samples: codes.samples, is_alike })
    }

    /// How many bytes the frame has that begins here: it is read bit by bit, so this is for few frames.
    pub(super) fn frame_bytes(&self, bytes: &[u8]) -> Result<usize, FrameFault> {
        exact::decode(bytes, self.bit_depth).map(|(_, bytes)| bytes)
    }
}

impl Codes {
    /// None if no frame begins here: sync, reserved values and the checksum of the header tell.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let &[0xFF, sync @ (0xF8 | 0xF9), sizes, layout, ..] = bytes else { return None };
        if layout & 1 != 0 {
            return None;
        }
        let (number, mut at) = coded_number(bytes, 4)?;
        let mut extra = |width: usize| {
            let start = at;
            at += width;
            start
        };
        let samples = match sizes >> 4 {
            0 => return None,
            1 => 192,
            code @ 2..=5 => 576 << (code - 2),
            6 => u64::from(*bytes.get(extra(1))?) + 1,
            7 => u64::from(be16(bytes, extra(2))) + 1,
            code => 256 << (code - 8),
        };
        let sample_rate_hz = match sizes & 0x0F {
            0 => None,
            code @ 1..=11 => {
                const RATES_HZ: [u32; 11] =
                    [88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000];
                Some(RATES_HZ[usize::from(code) - 1])
            }
            12 => Some(u32::from(*bytes.get(extra(1))?) * 1000),
            13 => Some(u32::from(be16(bytes, extra(2)))),
            14 => Some(u32::from(be16(bytes, extra(2))) * 10),
            _ => return None,
        };
        let channels = match layout >> 4 {
            count @ 0..=7 => Channels::Independent(usize::from(count) + 1),
            8 => Channels::LeftSide,
            9 => Channels::SideRight,
            10 => Channels::MidSide,
            _ => return None,
        };
        let bit_depth = match layout >> 1 & 7 {
            0 => None,
            1 => Some(8),
            2 => Some(12),
            4 => Some(16),
            5 => Some(20),
            6 => Some(24),
            7 => Some(32),
            _ => return None,
        };
        let mut checksum = Crc8Ccitt::new(0);
        checksum.process_buf_bytes(bytes.get(..at)?);
        let header_bytes = at + 1;
        (checksum.crc() == *bytes.get(at)?).then_some(Self {
            sync,
            number,
            samples,
            sample_rate_hz,
            channels,
            bit_depth,
            header_bytes,
        })
    }
}

/// A number coded like a UTF-8 character of up to seven bytes, and where it ends.
fn coded_number(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = *bytes.get(at)?;
    let length = first.leading_ones() as usize;
    if length == 0 {
        return Some((u64::from(first), at + 1));
    }
    if length == 1 || length > 7 {
        return None;
    }
    let mut number = u64::from(first & (0x7F_u8 >> length));
    for byte in bytes.get(at + 1..at + length)? {
        number = number << 6 | u64::from(byte & 0x3F);
    }
    Some((number, at + length))
}
