//! Walks from frame to frame. A FLAC has no index and its frames declare no length, so a frame ends where the next one
//! begins and the checksum matches.

use symphonia::core::{checksum::Crc16Ansi, io::Monitor};

use super::{FlacLayout, exact::FrameFault, frame::Stream};
use crate::{
    backend::media::{
        Result, damaged, incomplete,
        source::Source,
        tail::{self, Tail},
    },
    domain::media::{FlacFrame, format_duration},
};

/// Maximum bytes of a frame. 65,535 samples of 32 bit for 2 channels are half of it.
pub(super) const MAX_FRAME_BYTES: usize = 1024 * 1024;
const READ_BYTES: usize = 256 * 1024;

/// A position between two frames.
pub(super) struct Frames<'a> {
    source: &'a mut Source,
    stream: &'a Stream,
    /// Samples (for each channel) in the frames so far.
    samples: u64,
    /// Number that the next frame must have.
    number: u64,
    /// Offset of the next frame in the file, in bytes.
    offset: u64,
    /// Bytes of the file. Those behind the first `passed` begin at `offset`.
    buffer: Vec<u8>,
    passed: usize,
}

impl<'a> Frames<'a> {
    pub(super) fn of(layout: &'a FlacLayout, source: &'a mut Source) -> Self {
        let FlacLayout { stream, start } = layout;
        Self {
            source,
            stream,
            samples: 0,
            number: stream.first_number(),
            offset: *start,
            buffer: Vec::new(),
            passed: 0,
        }
    }

    /// Returns the position of the next frame in the sound, as "1:23".
    pub(super) fn position(&self) -> String {
        let milliseconds = self.samples.saturating_mul(1000) / u64::from(self.stream.sample_rate_hz.max(1));
        format_duration(i64::try_from(milliseconds).unwrap_or(i64::MAX))
    }

    /// Returns the next frame and its number of samples, or None behind the last one.
    ///
    /// # Errors
    /// Refused where a frame is cut off or damaged, where it does not follow the one before, and where something other
    /// than tags, text and padding lies behind the last frame. A file that declares its length may have any bytes there
    /// except frames.
    pub(super) fn next(&mut self) -> Result<Option<(&[u8], u64)>> {
        self.read_on(FlacFrame::MAX_HEADER_BYTES)?;
        let header = self.stream.header(self.rest());
        let is_whole = self.stream.frames.is_some_and(|declared| self.samples >= declared);
        if header.is_some_and(|header| header.is_alike && header.number > self.number && !is_whole) {
            return damaged(&format!("a part of the sound is missing at {}", self.position()));
        }
        let Some(header) = header.filter(|header| header.number == self.number) else {
            self.validate_tail()?;
            return Ok(None);
        };
        if !header.is_alike {
            return damaged(&format!("its sample rate, its channels or its bits change at {}", self.position()));
        }
        let samples = self.samples + header.samples;
        if self.stream.frames.is_some_and(|declared| samples > declared) {
            return damaged(&format!("there is more sound in it than its header says, from {} on", self.position()));
        }
        let bytes = self.frame_bytes()?;
        self.samples = samples;
        self.number = self.stream.number_after(&header);
        self.offset += bytes as u64;
        self.passed += bytes;
        Ok(self.buffer.get(self.passed - bytes..self.passed).map(|frame| (frame, header.samples)))
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.passed..]
    }

    /// Reads until `count` bytes are buffered, or all bytes that are left.
    fn read_on(&mut self, count: usize) -> Result<()> {
        let read = self.offset + self.rest().len() as u64;
        if self.rest().len() >= count || read == self.source.length() {
            return Ok(());
        }
        self.buffer.drain(..self.passed);
        self.passed = 0;
        let left = usize::try_from(self.source.length() - read).unwrap_or(usize::MAX);
        let wanted = READ_BYTES.max(count - self.buffer.len());
        self.source.append(read, left.min(wanted), &mut self.buffer)?;
        Ok(())
    }

    /// Returns the length of the frame that begins here, in bytes.
    fn frame_bytes(&mut self) -> Result<usize> {
        let mut checksum = Crc16Ansi::new(0);
        let mut checked = 0;
        let mut at = 2;
        loop {
            let rest = self.rest();
            let is_all = self.offset + rest.len() as u64 == self.source.length();
            let end = if is_all { rest.len() } else { rest.len().saturating_sub(FlacFrame::MAX_HEADER_BYTES) };
            while let Some(sync) = rest.get(at..end).and_then(|bytes| memchr::memchr(0xFF, bytes)) {
                at += sync;
                // The caller checks whether this frame is the one that follows.
                if self.stream.header(&rest[at..]).is_some() {
                    checksum.process_buf_bytes(&rest[checked..at]);
                    checked = at;
                    // The checksum of a frame together with its own checksum is 0.
                    if checksum.crc() == 0 {
                        return Ok(at);
                    }
                }
                at += 1;
            }
            at = at.max(end);
            if is_all || rest.len() >= MAX_FRAME_BYTES {
                return self.last_frame_bytes(is_all);
            }
            let more = rest.len() + 1;
            self.read_on(more)?;
        }
    }

    /// Returns the length of the frame that begins here and is followed by none, in bytes.
    fn last_frame_bytes(&self, is_all: bool) -> Result<usize> {
        match self.stream.frame_bytes(self.rest()) {
            Ok(bytes) => Ok(bytes),
            Err(FrameFault::Cut) if is_all => incomplete(),
            Err(_) => damaged(&format!("the sound at {} cannot be decoded", self.position())),
        }
    }

    /// Refuses the file if sound is missing, or if the bytes behind its last frame are sound that is damaged or belongs
    /// to another file.
    fn validate_tail(&mut self) -> Result<()> {
        let declared = self.stream.frames;
        let is_short = declared.is_some_and(|declared| self.samples < declared);
        let left = self.source.length() - self.offset;
        let is_cut_header = left < FlacFrame::MAX_HEADER_BYTES as u64 && self.rest().starts_with(&[0xFF]);
        if (left == 0 && is_short) || (is_cut_header && declared.is_none_or(|_| is_short)) {
            return incomplete();
        }
        let position = self.position();
        let tail = if is_short { Tail::Other } else { Tail::read(self.source, self.offset)? };
        match tail {
            // The checksum of the last frame shows that it is whole, so no hole began in it.
            Tail::Harmless | Tail::Zeros => Ok(()),
            // "fLaC" shows that another stream follows, because frames behind a hole do not have this header.
            Tail::Other if declared.is_none() && self.begins_flac()? => damaged(&joined_files_message(&position)),
            Tail::Other if is_short || declared.is_none() => {
                damaged(&format!("at {position} there is data that is not sound"))
            }
            Tail::Other if self.begins_sound(self.offset)? => damaged(&joined_files_message(&position)),
            Tail::Other => Ok(()),
        }
    }

    /// Whether a FLAC begins here, perhaps behind tags.
    fn begins_flac(&mut self) -> Result<bool> {
        let mut at = self.offset;
        while let Some(end) = tail::tag_end(self.source, at)?.filter(|end| *end > at) {
            at = end;
        }
        Ok(self.source.read_up_to(at, 4)? == b"fLaC")
    }

    /// Whether a FLAC or a frame like those of this one begins somewhere from `offset` on.
    fn begins_sound(&mut self, offset: u64) -> Result<bool> {
        let mut at = offset;
        while at < self.source.length() {
            let bytes = self.source.read_up_to(at, READ_BYTES)?;
            let begins = |at: usize| {
                let bytes = &bytes[at..];
                bytes.starts_with(b"fLaC") || self.stream.header(bytes).is_some_and(|header| header.is_alike)
            };
            if memchr::memchr2_iter(0xFF, b'f', bytes).any(begins) {
                return Ok(true);
            }
            at += bytes.len().saturating_sub(FlacFrame::MAX_HEADER_BYTES - 1).max(1) as u64;
        }
        Ok(false)
    }
}

fn joined_files_message(position: &str) -> String {
    format!("after its end at {position} other sound begins, as if two files were joined")
}
