//! MP3: a few frames that stand in a row say at which rate all of them sound.

use super::{Look, PartialFile, READ_BYTES, Stop, UNKNOWN_AUDIO, refused, rules};

/// Bytes of a frame's header. A file that ends before them is incomplete.
const HEADER_BYTES: usize = 4;
/// Two frames look alike by chance, four do not.
const FRAMES_IN_A_ROW: usize = 4;

/// The parts of a frame's header that are the same in all of a stream, and its length in bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Frame {
    hz: u32,
    layer: u8,
    is_mono: bool,
    bytes: u64,
}

pub(super) fn check(file: &PartialFile, start: u64) -> Look {
    let bytes = file.upto(start, READ_BYTES)?;
    if bytes.len() < HEADER_BYTES {
        return Err(Stop::LeftToServer);
    }
    if !bytes.windows(2).any(|pair| pair[0] == 0xFF && pair[1] & 0xE0 == 0xE0) {
        return refused(UNKNOWN_AUDIO);
    }
    let first = frame(file, start)?;
    let mut next = start;
    for _ in 0..FRAMES_IN_A_ROW {
        let found = frame(file, next)?;
        if (found.hz, found.layer) != (first.hz, first.layer) {
            return Err(Stop::LeftToServer);
        }
        next += found.bytes;
    }
    if first.layer != 3 {
        return refused("This is an MPEG file of layer I or II. Upload a WAV, FLAC or MP3 file.");
    }
    rules(if first.is_mono { 1 } else { 2 }, first.hz, None, None)
}

/// ISO 11172-3 and 13818-3, without free format.
fn frame(file: &PartialFile, offset: u64) -> Look<Frame> {
    /// kbit/s by index: MPEG-1 layers I, II and III, then layer I, and layers II and III, of its successors.
    const BITRATES: [[u16; 14]; 5] = [
        [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
        [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    let [sync, kind, rates, mode] = file.array(offset)?;
    let (version, layer) = (kind >> 3 & 3, 4 - (kind >> 1 & 3));
    let (divisor, table) = match (version, layer) {
        (3, 1..=3) => (1, usize::from(layer) - 1),
        (2, 1..=3) => (2, if layer == 1 { 3 } else { 4 }),
        (0, 1..=3) => (4, if layer == 1 { 3 } else { 4 }),
        _ => return Err(Stop::LeftToServer),
    };
    let hz = [44_100, 48_000, 32_000].get(usize::from(rates >> 2 & 3)).map(|hz| hz / divisor);
    let kbits = usize::from(rates >> 4).checked_sub(1).and_then(|index| BITRATES[table].get(index));
    let (0xFF, 0xE0, Some(hz), Some(kbits)) = (sync, kind & 0xE0, hz, kbits) else { return Err(Stop::LeftToServer) };
    let (bits_per_second, padding) = (u32::from(*kbits) * 1000, u32::from(rates >> 1 & 1));
    let bytes = match layer {
        1 => (12 * bits_per_second / hz + padding) * 4,
        3 if divisor > 1 => 72 * bits_per_second / hz + padding,
        _ => 144 * bits_per_second / hz + padding,
    };
    Ok(Frame { hz, layer, is_mono: mode >> 6 == 3, bytes: bytes.into() })
}
