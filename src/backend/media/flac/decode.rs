//! Decodes a FLAC from its first frame to its last.

use std::path::Path;

use symphonia::{
    core::{
        checksum::Md5,
        codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions, well_known::CODEC_ID_FLAC},
        io::Monitor,
        packet::PacketRef,
        units::{Duration, Timestamp},
    },
    default::get_codecs,
};

use super::{FlacLayout, exact, frame::Stream, frames::Frames};
use crate::backend::media::{Deadline, Result, damaged, source::Source, undecodable};

/// Bit depth whose side channel has 33 bits, which the fast decoder does not support.
const WIDE_BITS: u16 = 32;
/// Offset of the MD5 of all samples in STREAMINFO. It is all zeros if the encoder did not know it.
const MD5_OFFSET: usize = 18;

impl FlacLayout {
    /// Passes all samples to `on_samples`, interleaved, full scale at ±1. Returns true if the MD5 of the file verifies
    /// them.
    ///
    /// # Errors
    /// Refused as damaged or incomplete, with the position where it is known, and if the MD5 does not match. Fails as
    /// well if `on_samples` fails.
    pub(in crate::backend::media) fn decode(
        &self,
        path: &Path,
        deadline: &Deadline,
        mut on_samples: impl FnMut(&[f32]) -> Result<()>,
    ) -> Result<bool> {
        let mut source = Source::open(path, deadline)?;
        let mut frames = Frames::of(self, &mut source);
        let mut decoder = Decoder::of(&self.stream)?;
        let mut samples = Vec::new();
        loop {
            let place = frames.position();
            let Some((frame, count)) = frames.next()? else { break };
            if !decoder.decode(frame, &mut samples) || samples.len() as u64 != count * u64::from(self.stream.channels) {
                // The frame's checksum matches, so the file is not called damaged.
                return undecodable(&format!("our decoder does not understand the sound at {place}"));
            }
            on_samples(&samples)?;
        }
        match decoder.is_verified() {
            Some(false) => damaged("its checksum does not match its sound"),
            verified => Ok(verified.is_some()),
        }
    }
}

enum Decoder<'a> {
    Fast(Box<dyn AudioDecoder>),
    Wide { stream: &'a Stream, md5: Md5 },
}

impl<'a> Decoder<'a> {
    fn of(stream: &'a Stream) -> Result<Self> {
        if stream.bit_depth == WIDE_BITS {
            return Ok(Self::Wide { stream, md5: Md5::default() });
        }
        let mut parameters = AudioCodecParameters::new();
        parameters.for_codec(CODEC_ID_FLAC).with_extra_data(stream.info.into());
        let options = AudioDecoderOptions::default().verify(true);
        match get_codecs().make_audio_decoder(&parameters, &options) {
            Ok(decoder) => Ok(Self::Fast(decoder)),
            Err(_) => damaged("its header does not name a sample format"),
        }
    }

    /// Decodes a frame into `samples`. Returns false if it cannot be decoded.
    fn decode(&mut self, frame: &[u8], samples: &mut Vec<f32>) -> bool {
        match self {
            Self::Fast(decoder) => {
                let packet = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, frame);
                let Ok(decoded) = decoder.decode_ref(&packet) else { return false };
                decoded.copy_to_vec_interleaved(samples);
            }
            Self::Wide { stream, md5 } => {
                let Ok((decoded, _)) = exact::decode(frame, stream.bit_depth) else { return false };
                samples.clear();
                for sample in decoded {
                    md5.process_buf_bytes(&sample.to_le_bytes());
                    #[expect(clippy::cast_precision_loss, reason = "metering needs no more than 24 bits")]
                    samples.push(sample as f32 / 2_147_483_648.0);
                }
            }
        }
        true
    }

    /// Returns whether the checksum of the sound matches. None if the file has none.
    fn is_verified(&mut self) -> Option<bool> {
        match self {
            Self::Fast(decoder) => decoder.finalize().verify_ok,
            Self::Wide { stream, md5 } => {
                let declared = &stream.info[MD5_OFFSET..];
                declared.iter().any(|byte| *byte != 0).then(|| md5.md5() == *declared)
            }
        }
    }
}
