//! Reads which bytes of a frame hold its sound. A frame may borrow bytes from the frames before it, so its sound may
//! begin there and end before the frame does (ISO/IEC 11172-3, 2.4.1.7). What is left belongs to the next frame, or is
//! filled up.

use std::ops::Range;

use super::Frame;
use crate::backend::media::{Result, source::Source};

/// Maximum zeros at the end of a part that holds sound. The codes of silence are ones, so sound has no long runs of
/// zeros.
const MAX_ZEROS: usize = 3;
/// Bits of the numbers of a granule of one channel, which begin with the length of its sound.
const GRANULE_BITS: usize = 59;
const GRANULES: usize = 2;
const LENGTH_BITS: usize = 12;

/// The numbers behind the header of a frame that say where its sound lies.
struct SideInformation {
    /// Number of bytes that the sound begins before the frame does.
    borrowed: usize,
    /// Number of bytes of the sound.
    sound: usize,
}

impl SideInformation {
    /// Reads the numbers of a frame of MPEG-1, layer III. Returns None if the frame is too short.
    fn read(frame: &[u8], header: &Frame) -> Option<Self> {
        let channels = usize::from(header.channels);
        // Private bits and the sharing of scale factors stand in front of the granules.
        let (bytes, granules_at) = if channels == 1 { (17, 9 + 5 + 4) } else { (32, 9 + 3 + 8) };
        let head_bytes = usize::try_from(header.head_bytes).ok()?;
        let side = frame.get(head_bytes.checked_sub(bytes)?..head_bytes)?;
        let number = |at: usize, bits: usize| {
            (at..at + bits).fold(0, |sum, at| sum << 1 | usize::from(side[at / 8] >> (7 - at % 8) & 1))
        };
        let lengths = (0..GRANULES * channels).map(|granule| number(granules_at + granule * GRANULE_BITS, LENGTH_BITS));
        Some(Self { borrowed: number(0, 9), sound: lengths.sum::<usize>().div_ceil(8) })
    }
}

/// Returns how many bytes of earlier frames the frame at `offset` needs.
pub(super) fn borrowed_bytes(source: &mut Source, offset: u64, header: &Frame) -> Result<usize> {
    let frame = source.read_up_to(offset, usize::try_from(header.head_bytes).unwrap_or_default())?;
    Ok(SideInformation::read(frame, header).map_or(0, |side| side.borrowed))
}

/// Whether the frame in `range` is whole, if zeros follow it and then `next`, which may borrow bytes of it.
///
/// A hole may begin in the unused bytes of a frame. So these may be zeros only if all frames have the same bit rate
/// (`is_constant`), where the length of the hole shows it.
pub(super) fn is_whole_before(
    source: &mut Source,
    range: &Range<u64>,
    next: (u64, &Frame),
    is_constant: bool,
) -> Result<bool> {
    let borrowed = borrowed_bytes(source, next.0, next.1)?;
    Ok(LastFrame::read(source, range)?.is_some_and(|frame| {
        let fill = if borrowed == 0 && is_constant { frame.free } else { 0 };
        borrowed <= frame.free && frame.zeros <= MAX_ZEROS + fill
    }))
}

/// Whether the frame in `range` is whole, if zeros follow it and no other frame.
///
/// A hole may begin in the unused bytes of a frame, and these may have been lent to a frame that is missing. So they may
/// be zeros only in a stream that lends nothing, and if the frame before (`filled`) ends in zeros as well.
pub(super) fn is_whole_at_end(source: &mut Source, range: &Range<u64>, filled: Option<&Range<u64>>) -> Result<bool> {
    let is_filled = match filled {
        Some(before) => LastFrame::read(source, before)?.is_some_and(|frame| frame.zeros > MAX_ZEROS),
        None => false,
    };
    Ok(LastFrame::read(source, range)?.is_some_and(|frame| {
        let fill = if frame.borrowed == 0 && is_filled { frame.free } else { 0 };
        frame.zeros <= MAX_ZEROS + fill
    }))
}

/// A frame in front of zeros.
struct LastFrame {
    borrowed: usize,
    /// Number of bytes behind its sound.
    free: usize,
    /// Number of zeros at its end, behind its header and side information.
    zeros: usize,
}

impl LastFrame {
    /// Returns None if there is no such frame, or if its numbers are wrong.
    fn read(source: &mut Source, range: &Range<u64>) -> Result<Option<Self>> {
        let Some(frame) = source.bytes(range.clone())? else { return Ok(None) };
        let Some(header) = frame.first_chunk().copied().and_then(Frame::parse) else { return Ok(None) };
        let Some(side) = SideInformation::read(&frame, &header) else { return Ok(None) };
        let payload = usize::try_from(header.head_bytes).ok().and_then(|head| frame.get(head..)).unwrap_or_default();
        let zeros = payload.iter().rev().take_while(|byte| **byte == 0).count();
        let free = (side.borrowed + payload.len()).checked_sub(side.sound);
        Ok(free.map(|free| Self { borrowed: side.borrowed, free, zeros }))
    }
}
