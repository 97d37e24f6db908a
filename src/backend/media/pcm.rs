//! Reads plain samples (WAV, AIFF), which need no decoder. They are read where the validation found them, so that no
//! second parser can see another file in the same bytes.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use super::{Result, incomplete};

/// Number of frames converted at a time.
const BLOCK_FRAMES: u64 = 16 * 1024;

pub(super) struct PcmLayout {
    pub(super) offset: u64,
    /// Number of frames that lie in the file completely.
    pub(super) frames: u64,
    pub(super) channels: u16,
    pub(super) bytes_per_sample: u8,
    pub(super) float: bool,
    pub(super) big_endian: bool,
}

impl PcmLayout {
    /// Passes all samples to `on_samples`, interleaved, full scale at ±1.
    pub(super) fn decode(&self, path: &Path, mut on_samples: impl FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let sample_bytes = usize::from(self.bytes_per_sample);
        let frame_bytes = sample_bytes * usize::from(self.channels);
        let mut bytes = Vec::new();
        let mut samples = Vec::new();
        let mut left = self.frames;
        while left > 0 {
            let frames = left.min(BLOCK_FRAMES);
            // At most BLOCK_FRAMES × 2 channels × 8 bytes.
            bytes.resize(frames as usize * frame_bytes, 0);
            match file.read_exact(&mut bytes) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return incomplete(),
                Err(error) => return Err(error.into()),
            }
            samples.clear();
            samples.extend(bytes.chunks_exact(sample_bytes).map(|sample| self.value(sample)));
            on_samples(&samples)?;
            left -= frames;
        }
        Ok(())
    }

    /// Converts one sample, full scale at ±1.
    fn value(&self, sample: &[u8]) -> f32 {
        let mut wide = [0; 8];
        let width = sample.len().min(8);
        // The bytes are left-justified, the most significant one first, so that every width has its sign and its full
        // scale in one place.
        for (to, from) in wide.iter_mut().zip(0..width) {
            *to = if self.big_endian { sample[from] } else { sample[width - 1 - from] };
        }
        match (self.float, width) {
            #[expect(clippy::cast_possible_truncation, reason = "metering needs no more than 24 bits")]
            (true, 8) => f64::from_be_bytes(wide) as f32,
            (true, _) => f32::from_be_bytes([wide[0], wide[1], wide[2], wide[3]]),
            #[expect(clippy::cast_precision_loss, reason = "metering needs no more than 24 bits")]
            (false, _) => i32::from_be_bytes([wide[0], wide[1], wide[2], wide[3]]) as f32 / 2_147_483_648.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(bytes: &[u8], float: bool, big_endian: bool) -> f32 {
        let layout =
            PcmLayout { offset: 0, frames: 1, channels: 1, bytes_per_sample: bytes.len() as u8, float, big_endian };
        layout.value(bytes)
    }

    #[test]
    fn every_width_reaches_full_scale() {
        assert_eq!(value(&[0x00, 0x80], false, false), -1.0);
        assert_eq!(value(&[0x40, 0x00], false, true), 0.5);
        assert_eq!(value(&[0x00, 0x00, 0xC0], false, false), -0.5);
        assert_eq!(value(&[0x00, 0x00, 0x00, 0x80], false, false), -1.0);
        assert_eq!(value(&0.25f32.to_le_bytes(), true, false), 0.25);
        assert_eq!(value(&0.25f64.to_be_bytes(), true, true), 0.25);
    }
}
