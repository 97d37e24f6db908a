//! Reads and decodes MP3 files. The length is counted and never taken from a tag, and the counted frames are the ones
//! that are decoded and heard.

mod info;
mod reservoir;
mod walk;

use std::{ops::Range, path::Path};

use nanomp3_core::{DecodeError, Decoder, MAX_SAMPLES_PER_FRAME};

use self::{info::Info, walk::Walk};
use super::{Deadline, Result, damaged, header::Header, incomplete, refused, source::Source, too_long};
use crate::domain::{
    media::{AudioCodec, AudioContainer, MAX_TRACK_MS, MpegFrame as Frame, Tags},
    problem::FileRefusal,
};

/// Number of frames at the beginning that may fail to decode. Some tools write a frame there that holds data of their
/// own.
const FORGIVEN_FRAMES: u64 = 2;

/// Location of the sound in the file, and the part of it that is heard.
pub(super) struct FrameLayout {
    start: Walk,
    /// Samples (for each channel) that are heard: all that the frames decode to, except the encoder's delay and
    /// padding.
    heard: Range<u64>,
}

/// Reads the header of an MP3. Returns None if there are no MPEG audio frames where they should be.
pub(super) fn header(source: &mut Source, id3_end: u64, tags: Tags) -> Result<Option<Header<FrameLayout>>> {
    let Some((offset, first)) = walk::find_first(source, id3_end)? else { return Ok(None) };
    if first.layer != 3 {
        return refused(
            FileRefusal::WrongKind,
            "This is an MPEG file of layer I or II. Upload a WAV, FLAC or MP3 file.",
        );
    }
    let Some(first_bytes) = first.bytes else {
        return refused(
            FileRefusal::WrongKind,
            "This is an MP3 in free format, which hardly any player knows. \
             Export it with a bit rate of up to 320 kbit/s, or upload a WAV or FLAC file.",
        );
    };
    let Some(first_frame) = source.bytes(offset..offset + first_bytes)? else { return incomplete() };
    // ffmpeg and Chromium read the tag only in a frame at the very beginning. Behind other bytes they play that frame.
    let info = if offset == id3_end { Info::in_frame(&first_frame, &first) } else { None };
    let start = if info.is_some() { offset + first_bytes } else { offset };
    let info = info.unwrap_or_default();
    let start = Walk::new(source, offset..start, first, info.frames)?;
    let mut walk = start.clone();
    let max_frames = u64::from(first.sample_rate_hz) * MAX_TRACK_MS.unsigned_abs() / 1000 / first.samples + 1;
    let mut sound_end = offset;
    while let Some(frame) = walk.next(source)? {
        sound_end = frame.end;
        if walk.frames() > max_frames {
            return too_long();
        }
    }
    // Either number alone may be wrong in a complete file. Some tags count themselves. A part of a file may be followed
    // by zeros that were never overwritten, by a server's error message, or by a tag that was written later.
    if info.frames.is_some_and(|frames| frames > walk.frames() + 1)
        && info.bytes.is_some_and(|bytes| bytes > sound_end - offset)
    {
        return incomplete();
    }
    let heard = info.heard(walk.frames(), first.samples);
    Ok(Some(Header {
        container: AudioContainer::Mp3,
        codec: AudioCodec::Mp3,
        sample_rate_hz: first.sample_rate_hz,
        channels: first.channels,
        bit_depth: None,
        frames: Some(heard.end - heard.start),
        packaging: vec![],
        tags,
        samples: FrameLayout { start, heard },
    }))
}

impl FrameLayout {
    /// Passes all samples that are heard to `on_samples`, interleaved, full scale at ±1.
    pub(super) fn decode(
        &self,
        path: &Path,
        deadline: &Deadline,
        mut on_samples: impl FnMut(&[f32]) -> Result<()>,
    ) -> Result<()> {
        let mut source = Source::open(path, deadline)?;
        let mut walk = self.start.clone();
        let mut decoder = Box::new(Decoder::new());
        let mut samples = [0.0_f32; MAX_SAMPLES_PER_FRAME];
        let first = *walk.first();
        let channels = usize::from(first.channels);
        let mut first_sample = 0;
        let mut end = 0;
        // Whether the bytes that frames borrow from earlier frames are there: a frame since the last joint was decoded.
        let mut is_settled = false;
        while let Some(range) = walk.next(&mut source)? {
            is_settled &= range.start == end;
            end = range.end;
            // A frame has at most 1,441 bytes.
            let Some(frame) = source.bytes(range)? else { return incomplete() };
            match decoder.decode(&frame, &mut samples).1 {
                Ok(_) => is_settled = true,
                // A piece that was cut out of an MP3 may begin with frames that depend on missing bytes. Every player
                // plays them as silence.
                Err(DecodeError::ReservoirUnavailable(_)) if !is_settled => samples.fill(0.0),
                // In the middle, some players play silence for such a frame, and others play noise.
                Err(DecodeError::ReservoirUnavailable(_)) => {
                    return damaged(&format!("a part of the sound is missing at {}", first.position(first_sample)));
                }
                // The decoder has dropped the bytes before.
                Err(_) if first_sample < FORGIVEN_FRAMES * first.samples => {
                    is_settled = false;
                    samples.fill(0.0);
                }
                Err(_) => return damaged(&format!("the sound at {} cannot be decoded", first.position(first_sample))),
            }
            let within = |sample: u64| sample.saturating_sub(first_sample).min(first.samples) as usize * channels;
            let heard = within(self.heard.start)..within(self.heard.end);
            if !heard.is_empty() {
                on_samples(&samples[heard])?;
            }
            first_sample += first.samples;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
