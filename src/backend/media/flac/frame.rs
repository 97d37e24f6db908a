//! Compares the header of a FLAC frame with its stream, and finds the end of the frame (RFC 9639, 9).

use super::exact::{self, FrameFault};
use crate::{backend::media::source::be32, domain::media::FlacFrame};

const INFO_BYTES: usize = 34;
/// Smallest and largest block size of the format. Decoders refuse a frame with more samples than STREAMINFO says.
const BLOCK_SIZES: [u8; 4] = [0, 16, 0xFF, 0xFF];

/// The properties that all frames of a file have in common.
#[derive(Clone)]
pub(super) struct Stream {
    pub(super) sample_rate_hz: u32,
    pub(super) channels: u16,
    pub(super) bit_depth: u16,
    /// Number of samples for each channel, as STREAMINFO declares it. None if the encoder did not know it.
    pub(super) frames: Option<u64>,
    /// STREAMINFO as it is passed to decoders.
    pub(super) info: [u8; INFO_BYTES],
    /// Second byte of each frame: sync and blocking strategy.
    sync: u8,
    /// Number of the first frame. Live streams do not begin at 0.
    first_number: u64,
    /// Number of samples in the first frame. If frames of one size count themselves, all but the last have as many.
    first_samples: u64,
}

/// The header of a frame, compared with its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) number: u64,
    pub(super) samples: u64,
    /// Whether the rate, the channels and the bits are those of the stream.
    pub(super) is_alike: bool,
}

impl Stream {
    /// Reads STREAMINFO and the header of the first frame. Returns None if `first_frame` does not begin with a frame.
    pub(super) fn beginning_with(mut info: [u8; INFO_BYTES], first_frame: &[u8]) -> Option<Self> {
        let packed = u64::from(be32(&info, 10)) << 32 | u64::from(be32(&info, 14));
        // 20 bits rate, 3 bits channels less one, 5 bits depth less one, 36 bits frames; all masked to fit.
        let frames = packed & 0xF_FFFF_FFFF;
        let first = FlacFrame::parse(first_frame)?;
        // Encoders disagree on whether a short last block counts, so the block sizes are overwritten. The numbers of
        // the frames give the position.
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

    /// Returns the number of the frame that follows. Frames of one size count themselves, others count their samples.
    pub(super) fn number_after(&self, header: &Header) -> u64 {
        header.number.saturating_add(if self.counts_samples() { header.samples } else { 1 })
    }

    /// Returns how many samples there are up to the end of this frame.
    pub(super) fn samples_until_end_of(&self, header: &Header) -> u64 {
        let step = if self.counts_samples() { 1 } else { self.first_samples };
        header.number.saturating_sub(self.first_number).saturating_mul(step).saturating_add(header.samples)
    }

    fn counts_samples(&self) -> bool {
        self.sync & 1 == 1
    }

    /// Returns the header of the frame that begins here, or None if no frame of this stream does.
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

    /// Returns how many bytes the frame that begins here has. The frame is read bit by bit, so this is only for few
    /// frames.
    pub(super) fn frame_bytes(&self, bytes: &[u8]) -> Result<usize, FrameFault> {
        exact::decode(bytes, self.bit_depth).map(|(_, bytes)| bytes)
    }
}
