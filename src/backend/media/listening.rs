//! Encodes the listening copy of a track. The copy is FLAC, which every browser plays, and is made for files that some
//! browsers cannot play.

use std::{
    fmt::Display,
    fs::File,
    io::{self, BufWriter, Seek, SeekFrom, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use flacenc::{
    bitsink::ByteSink,
    component::{BitRepr, Frame, FrameHeader, FrameOffset, Stream, StreamInfo},
    config::Encoder,
    encode_fixed_size_frame,
    error::{Verified, Verify},
    source::{Context, Fill, FrameBuf},
};

use super::validate::{AudioHeader, Samples};
use crate::domain::media::{AudioCodec, AudioContainer};

/// Content type of every listening copy, whatever its original is.
pub const LISTENING_TYPE: &str = "audio/flac";
/// Highest bit depth that browsers decode. Samples with more bits are rounded to it, which keeps everything audible.
const BITS_MAX: u16 = 24;
/// Highest sample rate that the encoder accepts. Higher rates are written into the headers afterwards.
const ENCODER_RATE_MAX_HZ: u32 = 96_000;
/// Length of "fLaC", the head of the only metadata block, and the block itself.
const HEADER_BYTES: u64 = 42;
/// Offset of the 20 bits of the sample rate in these bytes.
const RATE_OFFSET: usize = 18;

/// Upper bound of what a block needs besides its samples, in bits: its header, the headers of its two channels, one bit
/// for each sample of a side channel, and its checksum.
const FRAME_OVERHEAD_BITS: usize = 8192;

pub(super) struct ListeningCopy {
    file: BufWriter<File>,
    encoder: Verified<Encoder>,
    /// Encodes samples without compression.
    verbatim: Verified<Encoder>,
    info: StreamInfo,
    block: (FrameBuf, Context),
    sample_rate_hz: u32,
    channels: usize,
    bits: u16,
    /// Interleaved samples that do not fill a block yet.
    waiting: Vec<i32>,
    blocks: u32,
}

impl ListeningCopy {
    /// Whether some browsers cannot play files of this kind.
    pub(super) fn is_needed(header: &AudioHeader) -> bool {
        match (header.container, header.codec, &header.samples) {
            (AudioContainer::Aiff, ..) | (_, AudioCodec::Alac, _) => true,
            (AudioContainer::Wav, _, Samples::Plain(layout)) => layout.bytes_per_sample > 4,
            (AudioContainer::Flac, ..) => header.bit_depth.is_some_and(|bits| bits > BITS_MAX),
            (AudioContainer::Mp4, _, Samples::Packets(layout)) => layout.is_rearranged(),
            _ => false,
        }
    }

    pub(super) fn create(path: &Path, header: &AudioHeader) -> io::Result<Self> {
        let bits = header.bit_depth.map_or(BITS_MAX, |bits| if bits <= 16 { 16 } else { BITS_MAX });
        let channels = usize::from(header.channels);
        let verified = |encoder: Encoder| encoder.into_verified().map_err(|(_, error)| io_error(error));
        let encoder = verified(Encoder::default())?;
        let mut verbatim = Encoder::default();
        (verbatim.subframe_coding.use_fixed, verbatim.subframe_coding.use_lpc) = (false, false);
        let verbatim = verified(verbatim)?;
        let rate = header.sample_rate_hz.min(ENCODER_RATE_MAX_HZ);
        let info = StreamInfo::new(rate as usize, channels, usize::from(bits)).map_err(io_error)?;
        let buffer = FrameBuf::with_size(channels, encoder.block_size).map_err(io_error)?;
        let mut file = BufWriter::new(File::create(path)?);
        // The lengths and the checksum in the header are known only at the end, so the header is written last.
        file.seek(SeekFrom::Start(HEADER_BYTES))?;
        Ok(Self {
            file,
            encoder,
            verbatim,
            info,
            block: (buffer, Context::new(usize::from(bits), channels)),
            sample_rate_hz: header.sample_rate_hz,
            channels,
            bits,
            waiting: Vec::new(),
            blocks: 0,
        })
    }

    /// Encodes interleaved samples, full scale at ±1. Samples above full scale are clipped.
    ///
    /// # Errors
    /// Returns an error of the operating system if the disk fails, and another error if the encoder fails.
    pub(super) fn add(&mut self, samples: &[f32]) -> io::Result<()> {
        let full_scale = 2_f32.powi(i32::from(self.bits) - 1);
        #[expect(clippy::cast_possible_truncation, reason = "within 24 bits")]
        let whole = |sample: &f32| (sample * full_scale).round().clamp(-full_scale, full_scale - 1.0) as i32;
        self.waiting.extend(samples.iter().map(whole));
        let block = self.encoder.block_size * self.channels;
        // Packets may be tiny, so the waiting samples are not moved for each of them.
        if self.waiting.len() < block {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let mut blocks = waiting.chunks_exact(block);
        for samples in &mut blocks {
            self.write(samples)?;
        }
        self.waiting.extend(blocks.remainder());
        Ok(())
    }

    /// Writes the remaining samples and the header.
    ///
    /// # Errors
    /// Fails as [`add`](Self::add) does.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.waiting);
        if !rest.is_empty() {
            self.write(&rest)?;
        }
        // The last block does not count, because it may be shorter.
        self.info.set_block_sizes(self.encoder.block_size, self.encoder.block_size).map_err(io_error)?;
        self.info.set_md5_digest(&self.block.1.md5_digest());
        let mut header = bytes_of(&Stream::with_stream_info(self.info))?;
        let rate = self.sample_rate_hz << 12;
        for (byte, (rate, mask)) in
            header[RATE_OFFSET..].iter_mut().zip(rate.to_be_bytes().into_iter().zip([0xFF, 0xFF, 0xF0]))
        {
            *byte = *byte & !mask | rate & mask;
        }
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        self.file.flush()
    }

    fn write(&mut self, samples: &[i32]) -> io::Result<()> {
        // flacenc is a young library, and a panic in it says nothing about the file that is copied.
        let encoded = catch_unwind(AssertUnwindSafe(|| self.encode(samples)));
        let frame = encoded.unwrap_or_else(|_| Err(io::Error::other("the encoder panicked")))?;
        self.file.write_all(&frame)
    }

    fn encode(&mut self, samples: &[i32]) -> io::Result<Vec<u8>> {
        self.block.fill_interleaved(samples).map_err(io_error)?;
        let encode = |encoder| {
            encode_fixed_size_frame(encoder, &self.block.0, self.blocks as usize, &self.info).map_err(io_error)
        };
        let mut frame = encode(&self.encoder)?;
        // flacenc 0.5.1 adds up its estimates in 32 bits, which overflow for loud sound of 24 bits. The encoding that
        // it then takes for the shortest may be a thousand times as long as the block.
        if frame.count_bits() > samples.len() * usize::from(self.bits) + FRAME_OVERHEAD_BITS {
            frame = encode(&self.verbatim)?;
        }
        let (header, channels) = frame.into_parts();
        let header = FrameHeader::new(
            header.block_size(),
            header.channel_assignment().clone(),
            usize::from(self.bits),
            self.sample_rate_hz as usize,
            FrameOffset::Frame(self.blocks),
        )
        .map_err(io_error)?;
        let frame = Frame::new(header, channels.into_iter()).map_err(io_error)?;
        self.info.update_frame_info(&frame);
        self.blocks += 1;
        bytes_of(&frame)
    }
}

fn bytes_of(component: &impl BitRepr) -> io::Result<Vec<u8>> {
    let mut sink = ByteSink::new();
    component.write(&mut sink).map_err(io_error)?;
    Ok(sink.into_inner())
}

/// Converts an error of the encoder by its text, because the error itself cannot be sent to another thread.
fn io_error(error: impl Display) -> io::Error {
    io::Error::other(error.to_string())
}
