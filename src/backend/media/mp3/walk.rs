//! Walks from frame to frame. An MP3 has no index, so each frame is found behind the one before. A minute of music has
//! 2,300 frames.

use std::{
    mem,
    ops::{Range, RangeInclusive},
};

use memchr::memmem;

use super::{Frame, info::Info, reservoir};
use crate::backend::media::{
    Result, beginning_missing, damaged, incomplete, refused,
    source::Source,
    tags::{APE, ID3V1_BYTES, MAX_PADDING_BYTES},
    tail::{self, Tail},
};
use crate::domain::problem::FileRefusal;

/// Number of bytes that are searched for the first frame. Some tools leave garbage or padding before it.
const SEARCH_BYTES: usize = 64 * 1024;
/// Number of bytes that are read ahead: more than [`FRAMES_IN_A_ROW`] frames of any kind have.
const LOOKAHEAD_BYTES: usize = 16 * 1024;
/// Number of bytes requested at a time where a search may end anywhere. Many such steps take only one read of the disk.
const STEP_BYTES: usize = 1024;
/// Number of frames in a row that make a file an MP3. Two look alike by chance, four do not.
const FRAMES_IN_A_ROW: usize = 4;
/// Number of zeros from which on they may stand in place of sound: a sector of a disk.
const HOLE_BYTES: u64 = 512;
/// Maximum bytes of a Lyrics3 tag, which writes its length with six digits.
const MAX_LYRICS_BYTES: u64 = 1_000_000;

/// A position between two frames, from which the next ones are found.
#[derive(Clone)]
pub(super) struct Walk {
    /// The first frame, whose properties all others share.
    first: Frame,
    offset: u64,
    /// Offset of an ID3v1 tag that ends the file, or the end of the file.
    end: u64,
    /// Number of frames passed since the walk began.
    frames: u64,
    /// Number of frames that a tag declares, if any does.
    declared: Option<u64>,
    /// The frame that was passed last. The frame in front of the first one, if it describes the sound.
    last: Range<u64>,
    /// The frame before that one.
    before_last: Range<u64>,
    /// Lengths of the shortest and of the longest frame that was passed.
    frame_bytes: RangeInclusive<u64>,
    /// From the start of the latest search for the footer of an APE tag to the footer that it found. The end is the
    /// largest number if no footer follows.
    ape_footer: Range<u64>,
}

/// Finds the first frame of an MPEG stream, at most 64 kB behind `from` and the zeros and tags that follow there.
/// Returns its offset and its header.
///
/// # Errors
/// Refused if zeros stand in place of the beginning: there are more than 64 kB of them, or they reach to the first frame
/// and have the length of some frames, or a part of a frame follows them and then a frame that depends on it. An info
/// frame behind the zeros shows that the beginning is there.
pub(super) fn find_first(source: &mut Source, from: u64) -> Result<Option<(u64, Frame)>> {
    let (mut start, mut zeros) = (from, 0);
    let gap = loop {
        let gap = start;
        start = zeros_end(source, gap)?;
        zeros += start - gap;
        match if zeros > 0 { tail::tag_end(source, start)? } else { None } {
            Some(end) if end > start && end < source.length() => start = end,
            _ => break gap,
        }
    };
    let found = search(source, start)?;
    let Some((at, first)) = found.filter(|(_, first)| zeros >= HOLE_BYTES && first.layer == 3) else {
        return Ok(found);
    };
    let Some(bytes) = first.bytes else { return Ok(found) };
    let is_info = source.bytes(at..at + bytes)?.is_some_and(|frame| Info::in_frame(&frame, &first).is_some());
    let is_hole = zeros > SEARCH_BYTES as u64
        || are_frames(start - gap, bytes, &first)
        || are_frames(at - gap, bytes, &first)
        || (at > start && reservoir::borrowed_bytes(source, at, &first)? > 0);
    if is_hole && !is_info { beginning_missing() } else { Ok(found) }
}

fn search(source: &mut Source, from: u64) -> Result<Option<(u64, Frame)>> {
    let there = usize::try_from(sound_end(source)?.saturating_sub(from)).unwrap_or(usize::MAX);
    let count = there.min(SEARCH_BYTES + LOOKAHEAD_BYTES);
    let bytes = source.copy(from, count)?.unwrap_or_default();
    let run = (0..count.min(SEARCH_BYTES)).find_map(|at| {
        let first = frame_in(&bytes, at)?;
        let is_stream = match first.bytes {
            Some(_) => begins_run(&bytes, at, FRAMES_IN_A_ROW, count == there),
            None => begins_free_run(&bytes, at, &first),
        };
        is_stream.then_some((at, first))
    });
    Ok(run.map(|(at, first)| match frame_in(&bytes, 0) {
        // The sound begins at once, even if a tag or a hole follows too soon for frames in a row.
        Some(earlier) if earlier.is_like(&first) && earlier.channels == first.channels => (from, earlier),
        _ => (from + at as u64, first),
    }))
}

fn frame_in(bytes: &[u8], at: usize) -> Option<Frame> {
    bytes.get(at..at + Frame::HEADER_BYTES).and_then(|head| head.try_into().ok()).and_then(Frame::parse)
}

/// Whether `count` frames of one kind stand in a row, or fewer that end where the sound ends.
fn begins_run(bytes: &[u8], at: usize, count: usize, is_whole: bool) -> bool {
    let Some(first) = frame_in(bytes, at) else { return false };
    let mut next = at;
    for seen in 0..count {
        match frame_in(bytes, next) {
            Some(Frame { bytes: Some(length), .. })
                if frame_in(bytes, next).is_some_and(|frame| frame.is_like(&first)) =>
            {
                next = next.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
            }
            _ => return seen > 1 && is_whole && next >= bytes.len(),
        }
    }
    true
}

/// Whether frames in free format stand in a row. Their length is the distance between their headers.
fn begins_free_run(bytes: &[u8], at: usize, first: &Frame) -> bool {
    // In other layers, quiet samples of 24 bits look like frames in free format.
    if first.layer != 3 {
        return false;
    }
    let is_next = |at: usize| frame_in(bytes, at).is_some_and(|frame| frame.is_like(first));
    let nearest = at + usize::try_from(first.head_bytes).unwrap_or(usize::MAX);
    let Some(next) = (nearest..at + LOOKAHEAD_BYTES / FRAMES_IN_A_ROW).find(|next| is_next(*next)) else {
        return false;
    };
    let length = next - at;
    // A frame may have one byte more than another.
    let mut last = next;
    (2..FRAMES_IN_A_ROW).all(|_| {
        let after = (last + length - 1..=last + length + 1).find(|next| is_next(*next));
        last = after.unwrap_or(last);
        after.is_some()
    })
}

/// Returns where the sound must have ended: at an ID3v1 tag that ends the file, or at the end of the file.
fn sound_end(source: &mut Source) -> Result<u64> {
    let tag = source.length().saturating_sub(ID3V1_BYTES);
    Ok(if source.read_array::<3>(tag)? == Some(*b"TAG") { tag } else { source.length() })
}

impl Walk {
    /// Begins behind `info`, the frame that describes the sound, or where it would be. The first frame is like `first`.
    pub(super) fn new(source: &mut Source, info: Range<u64>, first: Frame, declared: Option<u64>) -> Result<Self> {
        let (offset, bytes) = (info.end, info.end - info.start);
        Ok(Self {
            first,
            offset,
            end: sound_end(source)?,
            frames: 0,
            declared,
            last: info,
            before_last: offset..offset,
            frame_bytes: bytes..=bytes,
            ape_footer: offset..offset,
        })
    }

    pub(super) fn first(&self) -> &Frame {
        &self.first
    }

    /// Returns the number of frames that were passed.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Returns the position of the next frame in the sound, as "1:23".
    pub(super) fn position(&self) -> String {
        self.first.position(self.frames * self.first.samples)
    }

    /// Returns the range of the next frame, or None behind the last one. Tags between frames are skipped.
    ///
    /// # Errors
    /// Refused where something other than sound and tags lies between frames, where frames of another kind begin, and
    /// where the last frame is cut off.
    pub(super) fn next(&mut self, source: &mut Source) -> Result<Option<Range<u64>>> {
        while self.offset < self.end {
            let found = source.read_array(self.offset)?.and_then(Frame::parse);
            if let Some(bytes) = found.and_then(|frame| self.bytes_of(&frame)) {
                let range = self.offset..self.offset + bytes;
                if range.end > self.end {
                    return incomplete();
                }
                self.pass(range.clone());
                return Ok(Some(range));
            }
            if found.is_some() && begins_run(source.read_up_to(self.offset, LOOKAHEAD_BYTES)?, 0, 2, false) {
                return refused(
                    FileRefusal::OutsideLimits,
                    format!(
                        "At {} the sample rate or the channels of this file change, as if two files were joined. \
                         Export it again as one piece and upload the new file.",
                        self.position()
                    ),
                );
            }
            let zeros = self.offset..zeros_end(source, self.offset)?.min(self.end);
            let only_zeros_follow = !zeros.is_empty() && zeros.end == self.end;
            let tag_end = if only_zeros_follow { None } else { self.tag_end(source, self.offset)? };
            let next = match tag_end {
                Some(end) => Some(end),
                None => self.padding_end(source, zeros)?,
            };
            match next {
                Some(end) if end > source.length() => return incomplete(),
                Some(end) => self.offset = end,
                None => self.finish(source)?,
            }
        }
        Ok(None)
    }

    fn pass(&mut self, frame: Range<u64>) {
        let bytes = frame.end - frame.start;
        self.frame_bytes = match self.frames {
            0 => bytes..=bytes,
            _ => bytes.min(*self.frame_bytes.start())..=bytes.max(*self.frame_bytes.end()),
        };
        self.offset = frame.end;
        self.frames += 1;
        self.before_last = mem::replace(&mut self.last, frame);
    }

    /// Returns the length of a frame of this stream in bytes. None if the frame belongs to another stream.
    fn bytes_of(&self, frame: &Frame) -> Option<u64> {
        frame.bytes.filter(|_| frame.is_like(&self.first) && frame.channels == self.first.channels)
    }

    /// Returns the end of zeros if they were put between frames. None if sound may have stood in their place.
    ///
    /// A hole begins and ends anywhere in a frame. Padding begins behind a whole frame, and ends in front of a frame or
    /// of a tag. Zeros that have the length of some frames may have replaced these frames.
    fn padding_end(&mut self, source: &mut Source, zeros: Range<u64>) -> Result<Option<u64>> {
        let (end, count) = (zeros.end, zeros.end - zeros.start);
        if zeros.is_empty() || end == self.end {
            return Ok(None);
        }
        let next = source.read_array(end)?.and_then(Frame::parse).filter(|frame| self.bytes_of(frame).is_some());
        let is_whole = match next {
            Some(next) => {
                let there = usize::try_from(self.end - end).unwrap_or(usize::MAX);
                let bytes = source.read_up_to(end, LOOKAHEAD_BYTES.min(there))?;
                let is_all = bytes.len() == there;
                begins_sound(bytes, 0, &self.first, is_all)
                    && !self.are_frames(count)
                    && reservoir::is_whole_before(source, &self.last, (end, &next), self.is_constant())?
            }
            None => self.tag_end(source, end)?.is_some() && self.end_in_padding(source, count)?,
        };
        Ok(is_whole.then_some(end))
    }

    /// Whether this many zeros behind the last frame are padding, if no frame follows them.
    ///
    /// Frames of a variable bit rate have any length, and so has a tag that was overwritten. So only the declared number
    /// of frames shows that more than [`MAX_PADDING_BYTES`] are padding.
    fn end_in_padding(&self, source: &mut Source, zeros: u64) -> Result<bool> {
        if self.is_counted() {
            return Ok(true);
        }
        let were_frames = self.are_frames(zeros) || self.are_frames(zeros.saturating_sub(ID3V1_BYTES));
        let filled = self.is_constant().then_some(&self.before_last);
        Ok(zeros <= MAX_PADDING_BYTES && !were_frames && reservoir::is_whole_at_end(source, &self.last, filled)?)
    }

    /// Whether the declared number of frames was passed. Some tags count their own frame.
    fn is_counted(&self) -> bool {
        self.declared.is_some_and(|frames| (self.frames..=self.frames + 1).contains(&frames))
    }

    /// Whether all frames so far have the same bit rate.
    fn is_constant(&self) -> bool {
        self.frame_bytes.end() - self.frame_bytes.start() <= 1
    }

    /// Whether `bytes` may be the length of some frames like the last one.
    fn are_frames(&self, bytes: u64) -> bool {
        are_frames(bytes, self.last.end - self.last.start, &self.first)
    }

    /// Returns the end of the tag that begins at `offset`, which may be in the middle of the file. None if no tag begins
    /// there.
    fn tag_end(&mut self, source: &mut Source, offset: u64) -> Result<Option<u64>> {
        if let Some(end) = tail::tag_end(source, offset)? {
            return Ok(Some(end));
        }
        if source.read_up_to(offset, 11)? == b"LYRICSBEGIN" {
            return lyrics_end(source, offset);
        }
        self.headless_ape_end(source, offset)
    }

    /// Returns the end of an APE tag that begins at `offset` and has only a footer. Searches each part of the file once
    /// for footers, however many offsets are asked for.
    fn headless_ape_end(&mut self, source: &mut Source, offset: u64) -> Result<Option<u64>> {
        if !(self.ape_footer.start..=self.ape_footer.end).contains(&offset) || self.ape_footer.is_empty() {
            self.ape_footer = offset..find(source, APE, offset, u64::MAX)?.unwrap_or(u64::MAX);
        }
        let footer = self.ape_footer.end;
        if footer == u64::MAX {
            return Ok(None);
        }
        let tag = tail::headless_ape(source, footer)?;
        Ok(tag.filter(|tag| tag.start == offset).map(|tag| tag.end))
    }

    /// Ends the walk at bytes that are neither a frame nor a tag. Such bytes are harmless behind the last frame, unless
    /// sound was destroyed there or never written.
    fn finish(&mut self, source: &mut Source) -> Result<()> {
        let left = self.end - self.offset;
        let zeros = zeros_end(source, self.offset)?.min(self.end) - self.offset;
        if left < Frame::HEADER_BYTES as u64 && source.read_up_to(self.offset, 1)? == [0xFF] {
            return incomplete();
        }
        let is_short = self.first.bytes.is_some_and(|bytes| left < bytes);
        let tail = match self.sound_follows(source)? {
            true => Tail::Other,
            false if self.is_counted() || is_short => Tail::Harmless,
            false => match Tail::read(source, self.offset)? {
                Tail::Harmless if zeros >= *self.frame_bytes.start() && !self.end_in_padding(source, zeros)? => {
                    Tail::Zeros
                }
                tail => tail,
            },
        };
        match tail {
            Tail::Harmless => self.offset = self.end,
            Tail::Zeros => return incomplete(),
            Tail::Other => return damaged(&format!("at {} there is data that is not sound", self.position())),
        }
        Ok(())
    }

    /// Whether frames of any sound begin anywhere from here on.
    fn sound_follows(&self, source: &mut Source) -> Result<bool> {
        let mut at = self.offset;
        while at < self.end {
            let there = usize::try_from(self.end - at).unwrap_or(usize::MAX);
            let count = there.min(SEARCH_BYTES + LOOKAHEAD_BYTES);
            let bytes = source.copy(at, count)?.unwrap_or_default();
            if (0..count.min(SEARCH_BYTES)).any(|at| begins_sound(&bytes, at, &self.first, count == there)) {
                return Ok(true);
            }
            at += count.min(SEARCH_BYTES) as u64;
        }
        Ok(false)
    }
}

/// Whether `bytes` may be the length of some frames of a constant bit rate, of which one has `frame` bytes. Encoders add
/// padding bytes to keep the bit rate, or to no frame, or to all.
fn are_frames(bytes: u64, frame: u64, first: &Frame) -> bool {
    /// All bit rates are multiples of this.
    const STEP_BITS: u64 = 8000;
    let rate = u64::from(first.sample_rate_hz);
    // Bytes of a second of sound are an eighth of its bits.
    let bytes_per_bit_rate = first.samples / 8;
    // A frame with its padding byte is at most one byte longer than the bit rate asks for.
    let bit_rate = (frame.saturating_sub(1) * rate).div_ceil(bytes_per_bit_rate).next_multiple_of(STEP_BITS);
    let unpadded = (bytes_per_bit_rate * bit_rate / rate).max(1);
    // In units of 1 / rate bytes.
    let (whole, one) = (bytes * rate, bytes_per_bit_rate * bit_rate);
    let rest = whole % one.max(1);
    bytes >= unpadded
        && (rest <= rate || one - rest <= rate || bytes.is_multiple_of(unpadded) || bytes.is_multiple_of(unpadded + 1))
}

/// Whether two frames of any sound begin here, or one like `first` that ends the sound.
fn begins_sound(bytes: &[u8], at: usize, first: &Frame, is_whole: bool) -> bool {
    let Some(frame) = frame_in(bytes, at).filter(|frame| frame.layer == 3) else { return false };
    let end = frame.bytes.map(|length| at as u64 + length);
    (is_whole && frame.is_like(first) && end == Some(bytes.len() as u64)) || begins_run(bytes, at, 2, false)
}

/// Returns where the zeros that begin at `offset` end.
fn zeros_end(source: &mut Source, offset: u64) -> Result<u64> {
    let mut at = offset;
    loop {
        let bytes = source.read_up_to(at, STEP_BYTES)?;
        match bytes.iter().position(|byte| *byte != 0) {
            Some(count) => return Ok(at + count as u64),
            None if bytes.is_empty() => return Ok(at),
            None => at += bytes.len() as u64,
        }
    }
}

/// Returns the end of the Lyrics3 tag at `offset`: behind "LYRICSEND" or "LYRICS200", depending on its version.
fn lyrics_end(source: &mut Source, offset: u64) -> Result<Option<u64>> {
    const MARK: &[u8] = b"LYRICS";
    let within = offset + MAX_LYRICS_BYTES;
    let mut from = offset + 1;
    while let Some(mark) = find(source, MARK, from, within)? {
        from = mark + MARK.len() as u64;
        if matches!(source.read_up_to(from, 3)?, b"END" | b"200") {
            return Ok(Some(from + 3));
        }
    }
    Ok(None)
}

/// Finds `mark` at or behind `from`, completely before `end`.
fn find(source: &mut Source, mark: &[u8], from: u64, end: u64) -> Result<Option<u64>> {
    let mut at = from;
    while at + mark.len() as u64 <= end.min(source.length()) {
        let bytes = source.read_up_to(at, STEP_BYTES)?;
        if let Some(found) = memmem::find(bytes, mark) {
            return Ok(Some(at + found as u64));
        }
        at += (bytes.len() - mark.len() + 1) as u64;
    }
    Ok(None)
}
