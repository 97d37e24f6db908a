//! Reads the layout of a JPEG, and decides which decoder decodes it correctly.

use super::{
    Result,
    source::{Source, be16},
};

/// Maximum bytes of a colour profile. Real profiles stay below 3 MB, and those for printing are the largest.
const MAX_PROFILE_BYTES: u64 = 8 * 1024 * 1024;
const MAX_EXIF_BYTES: usize = 64 * 1024;

/// The properties that a JPEG declares in front of its first scan.
#[derive(Debug, Default)]
pub(super) struct JpegLayout {
    pub(super) components: Vec<Component>,
    pub(super) is_progressive: bool,
    /// Number of components in the first scan.
    first_scan: usize,
    has_jfif: bool,
    adobe_transform: Option<u8>,
    /// EXIF data as `image` expects it, without `Exif\0\0`.
    pub(super) exif: Option<Vec<u8>>,
    /// Parts of the colour profile: number, count, offset and length.
    profile_parts: Vec<(u8, u8, u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Sampling factors, across and down.
    pub(super) sampling: (u8, u8),
}

/// How the decoded numbers of three or four components become colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transform {
    /// The components are red, green and blue already.
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
}

impl JpegLayout {
    /// Reads the segments in front of the first scan. [`header`](super::cover::header) has already checked that they
    /// are well formed and few.
    pub(super) fn read(source: &mut Source) -> Result<Self> {
        let mut layout = Self::default();
        let mut offset = 2;
        while let Some([0xFF, marker]) = source.read_array::<2>(offset)? {
            if matches!(marker, 0xFF | 0x01 | 0xD0..=0xD7) {
                offset += if marker == 0xFF { 1 } else { 2 };
                continue;
            }
            let Some(size) = source.read_array::<2>(offset + 2)? else { break };
            let (content, length) = (offset + 4, u64::from(be16(&size, 0)).saturating_sub(2));
            match marker {
                0xC0..=0xC2 if layout.components.is_empty() => layout.read_frame(source, content, marker)?,
                0xDA => {
                    layout.first_scan = source.read_array::<1>(content)?.map_or(0, |[count]| usize::from(count));
                    break;
                }
                0xE0..=0xEF => layout.read_application(source, marker, content, length)?,
                _ => {}
            }
            offset = content + length;
        }
        Ok(layout)
    }

    fn read_frame(&mut self, source: &mut Source, content: u64, marker: u8) -> Result<()> {
        self.is_progressive = marker == 0xC2;
        let count = source.read_array::<6>(content)?.map_or(0, |frame| frame[5]);
        for at in 0..u64::from(count) {
            let Some([id, sampling, _]) = source.read_array::<3>(content + 6 + 3 * at)? else { break };
            self.components.push(Component { id, sampling: (sampling >> 4, sampling & 15) });
        }
        Ok(())
    }

    fn read_application(&mut self, source: &mut Source, marker: u8, content: u64, length: u64) -> Result<()> {
        let start = source.read_up_to(content, usize::try_from(length.min(14)).unwrap_or(0))?.to_vec();
        match (marker, start.as_slice()) {
            (0xE0, [b'J', b'F', b'I', b'F', 0, ..]) => self.has_jfif = true,
            (0xE1, [b'E', b'x', b'i', b'f', 0, 0, ..]) if self.exif.is_none() => {
                let exif =
                    source.read_up_to(content + 6, usize::try_from(length - 6).unwrap_or(0).min(MAX_EXIF_BYTES))?;
                self.exif = Some(exif.to_vec());
            }
            (0xE2, [b'I', b'C', b'C', b'_', b'P', b'R', b'O', b'F', b'I', b'L', b'E', 0, number, count]) => {
                self.profile_parts.push((*number, *count, content + 14, length - 14));
            }
            (0xEE, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => {
                self.adobe_transform = Some(*transform);
            }
            _ => {}
        }
        Ok(())
    }

    /// Assembles the colour profile from its parts, in the order of their numbers.
    ///
    /// # Errors
    /// The outer error is I/O. The inner error says what is wrong with the parts, for the log.
    pub(super) fn profile(&self, source: &mut Source) -> Result<std::result::Result<Option<Vec<u8>>, &'static str>> {
        let mut parts = self.profile_parts.clone();
        parts.sort_unstable();
        let count = parts.len();
        let is_complete =
            (1..).zip(&parts).all(|(number, part)| (usize::from(part.0), usize::from(part.1)) == (number, count));
        if !is_complete {
            return Ok(Err("its parts are not complete"));
        }
        if parts.iter().map(|part| part.3).sum::<u64>() > MAX_PROFILE_BYTES {
            return Ok(Err("it is too large"));
        }
        let mut profile = Vec::new();
        for (_, _, start, length) in parts {
            match source.bytes(start..start + length)? {
                Some(bytes) => profile.extend(bytes),
                None => return Ok(Err("its end is missing")),
            }
        }
        Ok(Ok((!profile.is_empty()).then_some(profile)))
    }

    /// Whether `image`'s decoder (zune-jpeg 0.5.15) decodes the picture correctly. It is several times as fast as the
    /// other decoder. It decodes three kinds of pictures wrongly, without an error: sequential pictures whose
    /// components come in several scans, pictures whose chroma is sampled more often than luma, and pictures with
    /// Adobe's marker beside JFIF's. It does not output inks, which a colour profile for printing needs.
    pub(super) fn is_for_zune(&self) -> bool {
        let is_usual = match self.components.as_slice() {
            [_] => true,
            [luma, chroma @ ..] if chroma.len() == 2 => {
                chroma.iter().all(|of| of.sampling.0 <= luma.sampling.0 && of.sampling.1 <= luma.sampling.1)
            }
            _ => false,
        };
        let is_rgb = self.transform() == Some(Transform::Rgb) || self.adobe_transform == Some(0);
        is_usual && !is_rgb && (self.is_progressive || self.first_scan == self.components.len())
    }

    /// Bytes that the other decoder holds for each pixel at its peak: its planes and the picture, and all coefficients
    /// of a progressive picture.
    pub(super) fn bytes_per_pixel(&self) -> u64 {
        self.components.len() as u64 * if self.is_progressive { 4 } else { 2 }
    }

    /// Returns how browsers and libjpeg interpret the components. JFIF means YCbCr, then Adobe's marker counts, then
    /// the components' names. `None` for one component.
    pub(super) fn transform(&self) -> Option<Transform> {
        let ids: Vec<u8> = self.components.iter().map(|component| component.id).collect();
        match (ids.as_slice(), self.adobe_transform) {
            ([_, _, _], _) if self.has_jfif => Some(Transform::YCbCr),
            ([_, _, _], Some(0)) => Some(Transform::Rgb),
            ([_, _, _], Some(_)) => Some(Transform::YCbCr),
            ([b'R', b'G', b'B'], None) => Some(Transform::Rgb),
            ([_, _, _], None) => Some(Transform::YCbCr),
            ([_, _, _, _], Some(2)) => Some(Transform::Ycck),
            ([_, _, _, _], _) => Some(Transform::Cmyk),
            _ => None,
        }
    }
}
