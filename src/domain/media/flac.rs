//! The header of every FLAC frame (RFC 9639, 9.1).

/// A frame header, as browser and server both read it.
#[derive(Clone, Copy, Debug)]
pub struct FlacFrame {
    /// The second byte: the end of the sync code, and the blocking strategy.
    pub sync: u8,
    /// The number of the frame if all blocks have one size, else the number of its first sample.
    pub number: u64,
    /// Samples for each channel.
    pub samples: u64,
    /// `None` if the rate is the one in STREAMINFO.
    pub sample_rate_hz: Option<u32>,
    pub channels: FlacChannels,
    /// `None` if the depth is the one in STREAMINFO.
    pub bit_depth: Option<u16>,
    /// The length of the header, including its checksum.
    pub header_bytes: usize,
}

/// How the channels of a frame are coded.
#[derive(Clone, Copy, Debug)]
pub enum FlacChannels {
    Independent(usize),
    LeftSide,
    SideRight,
    MidSide,
}

impl FlacChannels {
    pub fn count(self) -> usize {
        match self {
            Self::Independent(count) => count,
            _ => 2,
        }
    }
}

impl FlacFrame {
    /// The longest header, in bytes: 2 for sync, 2 for codes, up to 7 for the number, 2 for the block size, 2 for the
    /// sample rate, 1 for the checksum.
    pub const MAX_HEADER_BYTES: usize = 16;

    /// Parses a header. `None` if no frame begins here, which the sync code, reserved values and the checksum show.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
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
            7 => u64::from(pair(bytes, extra(2))?) + 1,
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
            13 => Some(u32::from(pair(bytes, extra(2))?)),
            14 => Some(u32::from(pair(bytes, extra(2))?) * 10),
            _ => return None,
        };
        let channels = match layout >> 4 {
            count @ 0..=7 => FlacChannels::Independent(usize::from(count) + 1),
            8 => FlacChannels::LeftSide,
            9 => FlacChannels::SideRight,
            10 => FlacChannels::MidSide,
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
        (checksum(bytes.get(..at)?) == *bytes.get(at)?).then_some(Self {
            sync,
            number,
            samples,
            sample_rate_hz,
            channels,
            bit_depth,
            header_bytes: at + 1,
        })
    }
}

/// The CRC-8 of a header, with the polynomial x⁸ + x² + x + 1.
fn checksum(header: &[u8]) -> u8 {
    let shift = |crc: u8| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x07 };
    header.iter().fold(0, |crc, byte| (0..8).fold(crc ^ byte, |crc, _| shift(crc)))
}

fn pair(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).and_then(|pair| pair.try_into().ok()).map(u16::from_be_bytes)
}

/// Reads a number that is coded like a UTF-8 character of up to seven bytes. Returns it and the index after it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_with_all_that_may_stand_in_it() {
        // First header: 4096 samples, 44.1 kHz, stereo, 16 bit. Second: 1000 samples, 50 kHz, mid-side, depth of the
        // stream, number 300.
        let plain = FlacFrame::parse(&[0xFF, 0xF8, 0xC9, 0x18, 0, 0xC2]).unwrap();
        let got = (plain.number, plain.samples, plain.sample_rate_hz, plain.channels.count(), plain.bit_depth);
        assert_eq!((got, plain.header_bytes), ((0, 4096, Some(44_100), 2, Some(16)), 6));
        let mut long = vec![0xFF, 0xF9, 0x7C, 0xA0, 0xC4, 0xAC, 0x03, 0xE7, 50];
        long.push(checksum(&long));
        let long = FlacFrame::parse(&long).unwrap();
        assert_eq!((long.number, long.samples, long.sample_rate_hz, long.bit_depth), (300, 1000, Some(50_000), None));
        assert!(matches!(long.channels, FlacChannels::MidSide));
    }

    #[test]
    fn what_is_no_header_is_told_by_its_sync_its_codes_or_its_checksum() {
        for (at, byte) in
            [(0, 0xFE), (1, 0xFA), (2, 0x09), (2, 0xCF), (3, 0xB8), (3, 0x16), (3, 0x19), (4, 0x80), (5, 0)]
        {
            let mut header = [0xFF, 0xF8, 0xC9, 0x18, 0, 0xC2];
            header[at] = byte;
            if at < 5 {
                header[5] = checksum(&header[..5]);
            }
            assert!(FlacFrame::parse(&header).is_none(), "{at}: {byte:#x}");
        }
        assert!(FlacFrame::parse(&[0xFF, 0xF8, 0xC9, 0x18, 0]).is_none());
    }
}
