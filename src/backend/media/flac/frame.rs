//! Compares the header of a FLAC's frame with its stream, and finds the end of the frame (RFC 9639, 9).

use super::exact;
use crate::{backend::media::source::be32, domain::media::FlacFrame};

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

impl Stream {
    /// None if no frame begins with `first_frame`.
    pub(super) fn beginning_with(mut info: [u8; INFO_BYTES], first_frame: &[u8]) -> Option<Self> {
        let packed = u64::from(be32(&info, 10)) << 32 | u64::from(be32(&info, 14));
        // 20 bits rate, 3 bits channels less one, 5 bits depth less one, 36 bits frames; all masked to fit.
        let frames = packed & 0xF_FFFF_FFFF;
        let first = FlacFrame::parse(first_frame)?;
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
        let frame = FlacFrame::parse(bytes)?;
        let is_alike = frame.channels.count() == usize::from(self.channels)
            && frame.sample_rate_hz.is_none_or(|rate| rate == self.sample_rate_hz)
            && frame.bit_depth.is_none_or(|bits| bits == self.bit_depth);
        Some(Header { number: frame.number, samples: frame.samples, is_alike })
    }

    /// How many bytes the frame has that begins here: it is read bit by bit, so this is for few frames.
    pub(super) fn frame_bytes(&self, bytes: &[u8]) -> Result<usize, FrameFault> {
        exact::decode(bytes, self.bit_depth).map(|(_, bytes)| bytes)
    }
}
