//! Reads the frame in which encoders describe the sound. It stands in front of the first frame with sound.

use std::ops::Range;

use super::Frame;
use crate::backend::media::source::{be16, be32};

/// Number of samples by which every decoder is late (Xing/LAME "Info tag", revision 1, and what decoders do).
const DECODER_DELAY: u64 = 529;
/// Encoders whose delay and padding ffmpeg and Chromium trust.
const KNOWN_ENCODERS: [&[u8]; 3] = [b"LAME", b"Lavc", b"Lavf"];

/// Hints about the sound. Editors that cut or join files leave all of them unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    /// Number of frames that follow.
    pub(super) frames: Option<u64>,
    /// Number of bytes of this frame and of those that follow.
    pub(super) bytes: Option<u64>,
    /// Samples that the encoder added before and behind the sound.
    gaps: Option<(u64, u64)>,
}

impl Info {
    /// Reads the hints from a frame. Returns None if `bytes` are a frame with sound.
    pub(super) fn in_frame(bytes: &[u8], frame: &Frame) -> Option<Self> {
        let head_bytes = usize::try_from(frame.head_bytes).ok()?;
        // Some encoders leave out the two bytes of the checksum.
        [head_bytes, head_bytes - 2]
            .into_iter()
            .find_map(|at| Self::xing(bytes.get(at..)?))
            .or_else(|| Self::vbri(bytes.get(Frame::HEADER_BYTES + 32..)?))
    }

    /// Reads a tag with the name "Xing" (changing bit rate) or "Info" (constant bit rate).
    fn xing(tag: &[u8]) -> Option<Self> {
        if !tag.starts_with(b"Xing") && !tag.starts_with(b"Info") {
            return None;
        }
        let flags = be32(tag, 4);
        let mut at = 8;
        let mut field = |bit: u32, bytes: usize| {
            let start = at;
            at += if flags & bit == 0 { 0 } else { bytes };
            (flags & bit != 0).then_some(start)
        };
        let number = |at: usize| u64::from(be32(tag, at));
        let (frames, bytes) = (field(1, 4).map(number), field(2, 4).map(number));
        // These fields are a table for seeking, and the quality.
        let (_, _) = (field(4, 100), field(8, 4));
        let gaps = tag.get(at..).filter(|encoder| KNOWN_ENCODERS.iter().any(|known| encoder.starts_with(known)));
        let gaps = gaps.and_then(|encoder| encoder.get(21..24)).map(|both| {
            // Each of the two numbers has twelve bits.
            let both = u64::from(be16(both, 0)) << 8 | u64::from(both[2]);
            (both >> 12, both & 0xFFF)
        });
        Some(Self { frames, bytes, gaps })
    }

    /// Reads the tag of Fraunhofer's encoders.
    fn vbri(tag: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from(be32(tag, at)));
        tag.starts_with(b"VBRI").then(|| Self { frames: number(14), bytes: number(10), gaps: None })
    }

    /// Returns which samples are heard, out of those that `frames` frames of `samples` each decode to.
    pub(super) fn heard(&self, frames: u64, samples: u64) -> Range<u64> {
        let all = frames * samples;
        let Some((delay, padding)) = self.gaps else { return 0..all };
        // If the count is wrong, the padding is not at the end either.
        let padding = if self.frames == Some(frames) { padding.saturating_sub(DECODER_DELAY) } else { 0 };
        let end = all.saturating_sub(padding);
        (delay + DECODER_DELAY).min(end)..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(flags: u32, frames: u32, bytes: u32, encoder: &[u8], gaps: u32) -> Vec<u8> {
        let mut tag = [b"Xing".as_slice(), &flags.to_be_bytes()].concat();
        for (bit, field) in
            [(1, frames.to_be_bytes().to_vec()), (2, bytes.to_be_bytes().to_vec()), (4, vec![7; 100]), (8, vec![0; 4])]
        {
            if flags & bit != 0 {
                tag.extend(field);
            }
        }
        tag.extend(encoder);
        tag.resize(tag.len() + 21 - encoder.len(), 0);
        tag.extend(&gaps.to_be_bytes()[1..]);
        tag
    }

    #[test]
    fn each_field_is_found_behind_those_that_are_there() {
        for flags in 0..16 {
            let info = Info::xing(&tag(flags, 1000, 400_000, b"LAME3.100", 576 << 12 | 1105)).unwrap();
            assert_eq!(info.frames, (flags & 1 != 0).then_some(1000));
            assert_eq!(info.bytes, (flags & 2 != 0).then_some(400_000));
            assert_eq!(info.gaps, Some((576, 1105)));
            assert_eq!(Info::xing(&tag(flags, 1, 1, b"GOGO3.13", u32::MAX)).unwrap().gaps, None);
        }
        assert_eq!(Info::xing(b"Xing").unwrap(), Info::default());
        assert_eq!(Info::xing(b"Xin"), None);
    }

    #[test]
    fn delay_and_padding_are_left_out_where_they_are() {
        let info = |frames| Info { frames, bytes: None, gaps: Some((576, 1105)) };
        assert_eq!(info(Some(10)).heard(10, 1152), 1105..11_520 - 576);
        for wrong in [None, Some(0), Some(9), Some(11)] {
            assert_eq!(info(wrong).heard(10, 1152), 1105..11_520);
        }
        // The padding is shorter than the delay of decoders.
        let short = Info { gaps: Some((0, 100)), ..info(Some(10)) };
        assert_eq!(short.heard(10, 1152), 529..11_520);
        let absurd = Info { gaps: Some((4095, 4095)), ..info(Some(1)) };
        assert!(absurd.heard(1, 1152).is_empty());
        assert_eq!(Info::default().heard(10, 1152), 0..11_520);
    }
}
