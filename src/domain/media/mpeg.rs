//! The header of every MPEG audio frame (ISO/IEC 11172-3 and 13818-3).

use super::format_duration;

/// A frame header, as browser and server both read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MpegFrame {
    pub sample_rate_hz: u32,
    pub channels: u16,
    /// Layer 1, 2 or 3.
    pub layer: u8,
    /// Samples for each channel: 1152, or 384 in layer I, or 576 in layer III of MPEG-2 and MPEG-2.5.
    pub samples: u64,
    /// The length of the frame in bytes, including its header. `None` in free format, whose header doesn't give it.
    pub bytes: Option<u64>,
    /// The length in bytes of the header, its checksum and the side information that a decoder needs before the sound.
    pub head_bytes: u64,
}

impl MpegFrame {
    /// The length of the header itself.
    pub const HEADER_BYTES: usize = 4;

    /// Parses a header. `None` if no frame begins with these bytes.
    pub fn parse(head: [u8; Self::HEADER_BYTES]) -> Option<Self> {
        /// Bit rates in kbit/s by index: MPEG-1 layers I, II and III, then MPEG-2 layer I, then MPEG-2 layers II and
        /// III.
        const BITRATES: [[u32; 14]; 5] = [
            [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
            [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
            [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
            [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
            [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
        ];
        if head[0] != 0xFF || head[1] & 0xE0 != 0xE0 {
            return None;
        }
        let (version, layer) = (head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3));
        let mpeg1 = version == 3;
        let table = match (mpeg1, layer) {
            (_, 4) => return None,
            (true, _) => usize::from(layer) - 1,
            (false, 1) => 3,
            (false, _) => 4,
        };
        let rate_divisor = match version {
            3 => 1,
            2 => 2,
            0 => 4,
            _ => return None,
        };
        let sample_rate_hz = [44_100, 48_000, 32_000].get(usize::from(head[2] >> 2 & 3))? / rate_divisor;
        let padding = u32::from(head[2] >> 1 & 1);
        let channels = if head[3] >> 6 == 3 { 1 } else { 2 };
        let samples = match layer {
            1 => 384,
            3 if !mpeg1 => 576,
            _ => 1152,
        };
        let bytes = match usize::from(head[2] >> 4).checked_sub(1) {
            None => None,
            Some(index) => {
                let bits_per_second = BITRATES[table].get(index)? * 1000;
                Some(match layer {
                    1 => (12 * bits_per_second / sample_rate_hz + padding) * 4,
                    _ => samples / 8 * bits_per_second / sample_rate_hz + padding,
                })
            }
        };
        let checksum_bytes = if head[1] & 1 == 0 { 2 } else { 0 };
        let side_bytes = match (mpeg1, channels) {
            (true, 2) => 32,
            (true, _) | (false, 2) => 17,
            (false, _) => 9,
        };
        Some(Self {
            sample_rate_hz,
            channels,
            layer,
            samples: u64::from(samples),
            bytes: bytes.map(u64::from),
            head_bytes: Self::HEADER_BYTES as u64 + checksum_bytes + side_bytes,
        })
    }

    /// The position of `sample` in a stream of such frames, as "1:23".
    pub fn position(&self, sample: u64) -> String {
        format_duration(i64::try_from(sample * 1000 / u64::from(self.sample_rate_hz)).unwrap_or(i64::MAX))
    }

    /// Whether both frames may belong to one stream: everything but channels and bit rate is equal.
    pub fn is_like(&self, other: &Self) -> bool {
        (self.sample_rate_hz, self.layer, self.samples, self.bytes.is_none())
            == (other.sample_rate_hz, other.layer, other.samples, other.bytes.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_a_common_file_is_understood() {
        let frame = MpegFrame::parse([0xFF, 0xFB, 0x92, 0x64]).unwrap();
        let expected = MpegFrame {
            sample_rate_hz: 44_100,
            channels: 2,
            layer: 3,
            samples: 1152,
            bytes: Some(418),
            head_bytes: 36,
        };
        assert_eq!(frame, expected);
        let with_checksum = MpegFrame::parse([0xFF, 0xFA, 0x92, 0xC4]).unwrap();
        assert_eq!(with_checksum, MpegFrame { channels: 1, head_bytes: 23, ..expected });
        // In order: 22.05 kHz, 64 kbit/s; 11.025 kHz, 8 kbit/s; layer II, 192 kbit/s; layer I, 32 kbit/s.
        for (head, rate_hz, layer, samples, bytes) in [
            ([0xFF, 0xF3, 0x80, 0x64], 22_050, 3, 576, 208),
            ([0xFF, 0xE3, 0x10, 0x64], 11_025, 3, 576, 52),
            ([0xFF, 0xFD, 0xA0, 0x64], 44_100, 2, 1152, 626),
            ([0xFF, 0xFF, 0x10, 0x64], 44_100, 1, 384, 32),
        ] {
            let frame = MpegFrame::parse(head).unwrap();
            let got = (frame.sample_rate_hz, frame.layer, frame.samples, frame.bytes);
            assert_eq!(got, (rate_hz, layer, samples, Some(bytes)));
        }
    }

    #[test]
    fn what_no_decoder_takes_is_no_frame() {
        assert!(MpegFrame::parse([0xFF, 0xFB, 0xF2, 0x64]).is_none(), "bad bit rate");
        assert!(MpegFrame::parse([0xFF, 0xFB, 0x9E, 0x64]).is_none(), "reserved sample rate");
        assert!(MpegFrame::parse([0xFF, 0xF9, 0x92, 0x64]).is_none(), "reserved layer");
        assert!(MpegFrame::parse([0xFF, 0xEB, 0x92, 0x64]).is_none(), "reserved version");
        assert_eq!(MpegFrame::parse([0xFF, 0xFB, 0x02, 0x64]).unwrap().bytes, None, "free format");
    }
}
