//! Media of our own making, for tests, the demo and the benchmark: music that is pleasant to hear, covers that are nice to
//! look at, and files that are wrong in every way we know. The same seed makes the same file.

mod bad;
mod cover;
mod jpeg;
mod mp4;
mod song;

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

pub use bad::{animated_png, damaged_in_the_middle, png_declaring, png_with_a_bomb, svg, truncated};
pub use cover::{cover_jpeg, cover_png, picture_png};
use flacenc::{component::BitRepr, error::Verify};
pub use jpeg::{JpegLayout, adobe_segment, exif_segment, icc_segments, jpeg_as, jpeg_segment, ycbcr};
pub use mp4::{
    Fragment, Tables, alac, alac_in_fragments, alac_in_fragments_as, alac_packed, alac_with, edit_list, mp4_box,
    picture_track,
};
use shine_rs::{Mp3EncoderConfig, mp3_encoder::encode_pcm_to_mp3};
use song::Song;

/// The kind of WAV header to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WavFormat {
    /// Format tag 0x0001.
    Plain,
    /// Format tag 0xFFFE, which Spotify does not take.
    Extensible,
}

/// A stereo WAV of 16 or 24 bit.
pub fn wav(seconds: f64, sample_rate_hz: u32, bits: u16, seed: u64) -> Vec<u8> {
    wav_as(WavFormat::Plain, seconds, sample_rate_hz, bits, seed)
}

pub fn wav_as(format: WavFormat, seconds: f64, sample_rate_hz: u32, bits: u16, seed: u64) -> Vec<u8> {
    let samples = Song::compose(seconds, sample_rate_hz, seed).little_endian(bits);
    let size = u32::try_from(samples.len()).expect("a fixture is below 4 GB");
    let mut file = wav_header(format, sample_rate_hz, bits, size);
    file.extend(samples);
    file
}

/// A WAV that says how it is called, in front of its samples.
pub fn wav_with_title(seconds: f64, sample_rate_hz: u32, bits: u16, seed: u64, title: &str) -> Vec<u8> {
    let plain = wav(seconds, sample_rate_hz, bits, seed);
    let mut name = title.as_bytes().to_vec();
    // With its end, and even.
    name.resize(name.len() + 1 + (name.len() + 1) % 2, 0);
    let item = chunk(b"INAM", &name, u32::to_le_bytes);
    let list = chunk(b"LIST", &[b"INFO".as_slice(), &item].concat(), u32::to_le_bytes);
    let riff = [b"WAVE".as_slice(), &list, &plain[12..]].concat();
    chunk(b"RIFF", &riff, u32::to_le_bytes)
}

/// Writes a WAV of (nearly) `bytes_total` bytes, 24 bit, 44.1 kHz, quickly: ten seconds of music over and over.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn wav_to_file(path: &Path, bytes_total: u64) -> io::Result<()> {
    const BITS: u16 = 24;
    const FRAME_BYTES: u64 = 6;
    let music = Song::compose(10.0, 44_100, 7).little_endian(BITS);
    let header_bytes = wav_header(WavFormat::Plain, 44_100, BITS, 0).len() as u64;
    let size = bytes_total.saturating_sub(header_bytes) / FRAME_BYTES * FRAME_BYTES;
    let size_field = u32::try_from(size).map_err(|_| io::Error::other("a WAV is below 4 GB"))?;
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&wav_header(WavFormat::Plain, 44_100, BITS, size_field))?;
    let mut left = size;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(music.len());
        file.write_all(&music[..part])?;
        left -= part as u64;
    }
    file.flush()
}

fn wav_header(format: WavFormat, sample_rate_hz: u32, bits: u16, data_bytes: u32) -> Vec<u8> {
    const CHANNELS: u16 = 2;
    let frame_bytes = CHANNELS * bits / 8;
    let tag: u16 = if format == WavFormat::Plain { 1 } else { 0xFFFE };
    let mut fmt = Vec::new();
    fmt.extend(tag.to_le_bytes());
    fmt.extend(CHANNELS.to_le_bytes());
    fmt.extend(sample_rate_hz.to_le_bytes());
    fmt.extend((sample_rate_hz * u32::from(frame_bytes)).to_le_bytes());
    fmt.extend(frame_bytes.to_le_bytes());
    fmt.extend(bits.to_le_bytes());
    if format == WavFormat::Extensible {
        fmt.extend(22_u16.to_le_bytes());
        fmt.extend(bits.to_le_bytes());
        // Front left and right, then the GUID of PCM.
        fmt.extend(3_u32.to_le_bytes());
        fmt.extend([1, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71]);
    }
    let mut file = b"RIFF".to_vec();
    file.extend((data_bytes + 20 + fmt.len() as u32).to_le_bytes());
    file.extend(b"WAVE");
    file.extend(chunk(b"fmt ", &fmt, u32::to_le_bytes));
    file.extend(b"data");
    file.extend(data_bytes.to_le_bytes());
    file
}

fn chunk(id: &[u8; 4], body: &[u8], size: fn(u32) -> [u8; 4]) -> Vec<u8> {
    let size = size(u32::try_from(body.len()).expect("a fixture is below 4 GB"));
    [id.as_slice(), &size, body].concat()
}

/// A stereo AIFF of 16 or 24 bit.
pub fn aiff(seconds: f64, sample_rate_hz: u32, bits: u16, seed: u64) -> Vec<u8> {
    let song = Song::compose(seconds, sample_rate_hz, seed);
    aiff_of(&song, sample_rate_hz, bits, None, &song.big_endian(bits))
}

/// A stereo AIFF-C of whole bytes for each sample. The samples are as its kind says: little-endian ("sowt", "42ni", "23ni") or big-endian
/// whole numbers.
pub fn aifc(kind: &[u8; 4], seconds: f64, sample_rate_hz: u32, bits: u16, seed: u64) -> Vec<u8> {
    let song = Song::compose(seconds, sample_rate_hz, seed);
    let is_little_endian = [b"sowt", b"42ni", b"23ni"].contains(&kind);
    let samples = if is_little_endian { song.little_endian(bits) } else { song.big_endian(bits) };
    aiff_of(&song, sample_rate_hz, bits, Some(kind), &samples)
}

fn aiff_of(song: &Song, sample_rate_hz: u32, bits: u16, kind: Option<&[u8; 4]>, samples: &[u8]) -> Vec<u8> {
    let mut common = 2_u16.to_be_bytes().to_vec();
    common.extend((song.frames.len() as u32).to_be_bytes());
    common.extend(bits.to_be_bytes());
    // An 80-bit float: exponent, then the number shifted to the left end.
    let shift = u64::from(sample_rate_hz).leading_zeros();
    common.extend((16_383 + 63 - shift as u16).to_be_bytes());
    common.extend((u64::from(sample_rate_hz) << shift).to_be_bytes());
    // A kind has a name, which may be empty.
    common.extend(kind.into_iter().flat_map(|kind| [kind.as_slice(), &[0, 0]].concat()));
    let form_type = if kind.is_some() { b"AIFC" } else { b"AIFF" };
    let sound = [[0; 8].as_slice(), samples].concat();
    let form =
        [form_type.as_slice(), &chunk(b"COMM", &common, u32::to_be_bytes), &chunk(b"SSND", &sound, u32::to_be_bytes)];
    chunk(b"FORM", &form.concat(), u32::to_be_bytes)
}

/// A stereo FLAC with its title, artist, album, track number and ISRC.
pub fn flac(seconds: f64, sample_rate_hz: u32, bits: u16, seed: u64, title: &str) -> Vec<u8> {
    const INFO_END: usize = 42;
    let samples = Song::compose(seconds, sample_rate_hz, seed).integers(bits);
    let source = flacenc::source::MemSource::from_samples(&samples, 2, usize::from(bits), sample_rate_hz as usize);
    let config = flacenc::config::Encoder::default().into_verified().expect("the default configuration is valid");
    let stream =
        flacenc::encode_with_fixed_block_size(&config, source, config.block_size).expect("samples fit their depth");
    let mut sink = flacenc::bitsink::ByteSink::new();
    stream.write(&mut sink).expect("memory takes all");
    let plain = sink.as_slice();

    let comments = [
        format!("TITLE={title}"),
        "ARTIST=Ana Vwaza".to_owned(),
        "ALBUM=Late Lines".to_owned(),
        "TRACKNUMBER=3/9".to_owned(),
        "ISRC=NLA502600017".to_owned(),
    ];
    let mut block = vec![0, 0, 0, 0];
    block.extend((comments.len() as u32).to_le_bytes());
    for comment in comments {
        block.extend((comment.len() as u32).to_le_bytes());
        block.extend(comment.into_bytes());
    }
    let mut file = plain[..INFO_END].to_vec();
    // STREAMINFO is no longer the last block: the comment is.
    file[4] &= 0x7F;
    file.extend((0x8400_0000 | block.len() as u32).to_be_bytes());
    file.extend(block);
    file.extend(&plain[INFO_END..]);
    file
}

/// A file of `testing/cases`: real encoders and editors made or broke it in a way that is hard to make up.
///
/// # Panics
/// If there is no such file.
pub fn case(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Writes a stereo FLAC of any length: ten seconds of music over and over, so that an hour of it is never in memory.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn flac_to_file(path: &Path, seconds: usize, sample_rate_hz: u32, bits: u16) -> io::Result<()> {
    let music = Song::compose(10.0, sample_rate_hz, 7).integers(bits);
    let frames_left = seconds * sample_rate_hz as usize;
    let source = Repeated { music, at: 0, frames_left, sample_rate_hz, bits };
    let config = flacenc::config::Encoder::default().into_verified().expect("the default configuration is valid");
    let stream =
        flacenc::encode_with_fixed_block_size(&config, source, config.block_size).expect("samples fit their depth");
    let mut sink = flacenc::bitsink::ByteSink::new();
    stream.write(&mut sink).expect("memory takes all");
    std::fs::write(path, sink.as_slice())
}

/// Stereo music over and over.
struct Repeated {
    music: Vec<i32>,
    at: usize,
    frames_left: usize,
    sample_rate_hz: u32,
    bits: u16,
}

impl flacenc::source::Source for Repeated {
    fn channels(&self) -> usize {
        2
    }

    fn bits_per_sample(&self) -> usize {
        usize::from(self.bits)
    }

    fn sample_rate(&self) -> usize {
        self.sample_rate_hz as usize
    }

    fn read_samples<F: flacenc::source::Fill>(
        &mut self,
        block_size: usize,
        into: &mut F,
    ) -> Result<usize, flacenc::error::SourceError> {
        let frames = block_size.min(self.frames_left);
        let samples: Vec<i32> = self.music.iter().cycle().skip(self.at).take(frames * 2).copied().collect();
        self.at = (self.at + samples.len()) % self.music.len();
        self.frames_left -= frames;
        into.fill_interleaved(&samples)?;
        Ok(frames)
    }

    fn len_hint(&self) -> Option<usize> {
        Some(self.frames_left)
    }
}

/// A stereo MP3 of 192 kbit/s with its title and artist.
pub fn mp3(seconds: f64, sample_rate_hz: u32, seed: u64, title: &str) -> Vec<u8> {
    let samples: Vec<i16> =
        Song::compose(seconds, sample_rate_hz, seed).integers(16).into_iter().map(|sample| sample as i16).collect();
    let config = Mp3EncoderConfig::new().sample_rate(sample_rate_hz).bitrate(192).channels(2);
    let frames = encode_pcm_to_mp3(config, &samples).expect("the configuration is valid");
    let text = |id: &[u8; 4], value: &str| {
        let body = [&[3], value.as_bytes()].concat();
        [id.as_slice(), &(body.len() as u32).to_be_bytes(), &[0, 0], &body].concat()
    };
    let tag = [text(b"TIT2", title), text(b"TPE1", "Ana Vwaza")].concat();
    let size = tag.len() as u32;
    let synchsafe = [size >> 21, size >> 14, size >> 7, size].map(|part| part as u8 & 0x7F);
    [b"ID3\x03\0\0".as_slice(), &synchsafe, &tag, &frames].concat()
}
