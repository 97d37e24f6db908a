//! Decodes the sound of an MP4 as players do: packet by packet, and only the parts that its edit list plays.

use std::{ops::Range, path::Path};

use symphonia::{
    core::{
        codecs::audio::{
            AudioCodecParameters, AudioDecoder, AudioDecoderOptions,
            well_known::{CODEC_ID_AAC, CODEC_ID_ALAC},
        },
        errors::Error as SymphoniaError,
        packet::PacketRef,
        units::{Duration, Timestamp},
    },
    default::get_codecs,
};

use super::{Packets, PlayedPart, Sound, alac::PacketShape, edits::TOO_COMPLICATED};
use crate::{
    backend::media::{Deadline, Result, damaged, incomplete, source::Source, undecodable},
    domain::media::{AudioCodec, format_duration},
};

/// Maximum number of parts that lead back. A part that begins before the packet decoded last is decoded from the
/// beginning of the file again, so this bounds the work.
const MAX_WAYS_BACK: usize = 16;
/// Number of samples of silence that are passed on at a time.
const SILENCE_SAMPLES: u64 = 4096;

/// Location of the sound in the file, and the parts of it that are heard.
pub(in crate::backend::media) struct PacketLayout {
    pub(super) sound: Sound,
    pub(in crate::backend::media) packets: Packets,
    pub(super) parts: Vec<PlayedPart>,
}

impl PacketLayout {
    /// Whether players have to do more than cut off the ends of the sound. Not every browser does.
    pub(in crate::backend::media) fn is_rearranged(&self) -> bool {
        !matches!(self.parts.as_slice(), [PlayedPart::Sound(_)])
    }

    /// Passes all samples that are heard to `on_samples`, interleaved, full scale at ±1. Returns true if the codec is
    /// lossless.
    ///
    /// # Errors
    /// Refused with the position if a packet cannot be decoded. Fails as well if `on_samples` fails.
    pub(in crate::backend::media) fn decode(
        &self,
        path: &Path,
        deadline: &Deadline,
        mut on_samples: impl FnMut(&[f32]) -> Result<()>,
    ) -> Result<bool> {
        let channels = usize::from(self.sound.channels);
        let mut decoded = PacketDecoder::new(self, Source::open(path, deadline)?)?;
        let mut ways_back = 0;
        for part in &self.parts {
            match part {
                PlayedPart::Silence(samples) => {
                    let mut left = *samples;
                    while left > 0 {
                        let count = left.min(SILENCE_SAMPLES);
                        on_samples(&vec![0.0; count as usize * channels])?;
                        left -= count;
                    }
                }
                PlayedPart::Sound(range) => {
                    if range.start < decoded.range.start {
                        ways_back += 1;
                        if ways_back > MAX_WAYS_BACK {
                            return undecodable(TOO_COMPLICATED);
                        }
                        decoded.rewind();
                    }
                    loop {
                        let heard = decoded.part(range, channels);
                        if !heard.is_empty() {
                            on_samples(heard)?;
                        }
                        if decoded.range.end >= range.end || !decoded.next()? {
                            break;
                        }
                    }
                }
            }
        }
        Ok(!self.sound.codec.is_lossy())
    }
}

/// Decodes packets, and holds the one that was decoded last.
struct PacketDecoder<'a> {
    layout: &'a PacketLayout,
    source: Source,
    packets: Packets,
    decoder: Box<dyn AudioDecoder>,
    /// Checks the packets of ALAC. None for AAC. The decoders of both codecs make sound of much damaged data.
    shape: Option<PacketShape>,
    /// Range of the packet's samples, counted from the first sample of the first packet.
    range: Range<u64>,
    samples: Vec<f32>,
}

impl<'a> PacketDecoder<'a> {
    fn new(layout: &'a PacketLayout, source: Source) -> Result<Self> {
        let (codec, shape) = match layout.sound.codec {
            AudioCodec::Alac => (CODEC_ID_ALAC, Some(PacketShape::read(&layout.sound.config))),
            _ => (CODEC_ID_AAC, None),
        };
        let mut parameters = AudioCodecParameters::new();
        parameters.for_codec(codec).with_extra_data(layout.sound.config.clone().into());
        let decoder = match get_codecs().make_audio_decoder(&parameters, &AudioDecoderOptions::default()) {
            Ok(decoder) => decoder,
            Err(error) => return refuse(&error, "0:00"),
        };
        Ok(Self { layout, source, packets: layout.packets.clone(), decoder, shape, range: 0..0, samples: Vec::new() })
    }

    /// Decodes the next packet. Returns false behind the last one.
    fn next(&mut self) -> Result<bool> {
        let Some(range) = self.packets.next(&mut self.source)? else { return Ok(false) };
        // A packet has at most one megabyte.
        let Some(data) = self.source.bytes(range)? else { return incomplete() };
        let Sound { sample_rate_hz, channels, .. } = self.layout.sound;
        let milliseconds = self.range.end.saturating_mul(1000) / u64::from(sample_rate_hz.max(1));
        let position = format_duration(i64::try_from(milliseconds).unwrap_or(i64::MAX));
        if self.shape.is_none() && has_adts_header(&data) {
            return undecodable("its packets have headers of their own (ADTS), which not every player skips");
        }
        let whole = match self.shape {
            Some(shape) => shape.samples(&data).map(|_| data.as_slice()),
            None => without_padding(&data),
        };
        let Some(whole) = whole else { return damaged(&format!("the sound at {position} cannot be decoded")) };
        let packet = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, whole);
        let decoded = match self.decoder.decode_ref(&packet) {
            Ok(decoded) => decoded,
            Err(error) => return refuse(&error, &position),
        };
        let spec = decoded.spec();
        if (spec.rate(), spec.channels().count()) != (sample_rate_hz, usize::from(channels)) {
            return damaged(&format!("its sample rate or its channels change at {position}"));
        }
        decoded.copy_to_vec_interleaved(&mut self.samples);
        let samples = self.samples.len() / usize::from(channels.max(1));
        self.range = self.range.end..self.range.end + samples as u64;
        Ok(true)
    }

    fn rewind(&mut self) {
        self.packets = self.layout.packets.clone();
        self.decoder.reset();
        self.range = 0..0;
        self.samples.clear();
    }

    /// Returns the samples within `range`, interleaved.
    fn part(&self, range: &Range<u64>, channels: usize) -> &[f32] {
        let within =
            |sample: u64| (sample.clamp(self.range.start, self.range.end) - self.range.start) as usize * channels;
        self.samples.get(within(range.start)..within(range.end)).unwrap_or_default()
    }
}

/// Returns a packet of AAC without the zeros behind it, which encoders of a constant bit rate add. None if the packet
/// does not end with its END tag, which is three ones, and zeros up to the end of the byte (ISO 14496-3, table 4.3), or
/// if it consists of that tag.
///
/// Any number of zeros may follow. If they replaced a part of the sound, the decoder reaches the end of what is left.
fn without_padding(packet: &[u8]) -> Option<&[u8]> {
    const END: u32 = 0b111;
    let last = packet.iter().rposition(|byte| *byte != 0)?;
    let before = last.checked_sub(1).and_then(|at| packet.get(at)).copied().unwrap_or_default();
    let bits = u32::from(before) << 8 | u32::from(packet[last]);
    let (begins_with_end, ends_with_end) = (packet[0] >> 5 == END as u8, bits >> bits.trailing_zeros() & END == END);
    packet.get(..=last).filter(|_| ends_with_end && !begins_with_end)
}

/// Whether a packet of AAC begins with a header of a stream without a container, which tells the length of the packet.
fn has_adts_header(packet: &[u8]) -> bool {
    let &[0xFF, second, _, fourth, fifth, sixth, _, ..] = packet else { return false };
    let length = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
    second & 0xF6 == 0xF0 && length == packet.len()
}

/// Converts an error of the decoder to a refusal.
fn refuse<T>(error: &SymphoniaError, position: &str) -> Result<T> {
    match error {
        SymphoniaError::Unsupported(_) | SymphoniaError::LimitError(_) => {
            undecodable(&format!("our decoder does not support the sound at {position}"))
        }
        _ => damaged(&format!("the sound at {position} cannot be decoded")),
    }
}
