//! The second look at a cover: it is decoded, and thumbnails are made of it.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageReader, Limits, Rgb, RgbImage, codecs::jpeg::JpegEncoder,
    imageops::FilterType,
};

use super::{Deadline, Result, damaged, deadline::is_out_of_time, incomplete, judge, shielded, source::Source};
use crate::domain::media::{CoverFacts, CoverFormat, MediaLimits, THUMBNAIL_EDGES_PX};

/// The size was judged when the file arrived; limits may have become smaller since.
const NO_LIMITS: MediaLimits = MediaLimits { max_audio_bytes: u64::MAX, max_cover_bytes: u64::MAX };
const JPEG_QUALITY: u8 = 85;
/// Beyond the picture itself: colour profiles, rows in flight.
const DECODER_EXTRA_BYTES: u64 = 32 * 1024 * 1024;

/// A cover scaled down, as JPEG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Its real edge: never more than the cover's.
    pub edge_px: i32,
    pub jpeg: Vec<u8>,
}

/// Decodes a cover and makes its thumbnails, smallest first: [`THUMBNAIL_EDGES_PX`], the last ones replaced by the cover's own
/// size if that is smaller. Metadata does not survive; orientation is applied. The largest cover takes some 250 MB of memory
/// meanwhile.
///
/// The deadline ends the reading and the scaling. The decoding of a JPEG, once read, has no place to ask for it; limits on its
/// size and its scans bound that to some seconds.
///
/// # Errors
/// Refused with 422 if the cover cannot be decoded whole (or as [`judge_cover`](super::judge_cover) does), out of time behind the
/// deadline, else I/O.
pub fn examine_cover(path: &Path, deadline: &Deadline) -> Result<(CoverFacts, Vec<Thumbnail>)> {
    let facts = judge::cover_of(&mut Source::open(path, deadline)?, &NO_LIMITS)?;
    let thumbnails = shielded(|| thumbnails(decode(path, &facts, deadline)?, deadline))?;
    Ok((facts, thumbnails))
}

/// The file, as long as there is time for it.
struct Timed<'a> {
    file: File,
    deadline: &'a Deadline,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.deadline.check()?;
        self.file.read(buffer)
    }
}

impl Seek for Timed<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn decode(path: &Path, facts: &CoverFacts, deadline: &Deadline) -> Result<DynamicImage> {
    let format = match facts.format {
        CoverFormat::Jpeg => image::ImageFormat::Jpeg,
        CoverFormat::Png => image::ImageFormat::Png,
    };
    let file = Timed { file: File::open(path)?, deadline };
    let mut reader = ImageReader::with_format(BufReader::new(file), format);
    let (width, height) = (facts.width_px.unsigned_abs(), facts.height_px.unsigned_abs());
    let bytes_per_pixel = 4 * u64::from(facts.bits_per_channel.unsigned_abs().div_ceil(8));
    let mut limits = Limits::default();
    limits.max_image_width = Some(width);
    limits.max_image_height = Some(height);
    limits.max_alloc = Some(u64::from(width) * u64::from(height) * bytes_per_pixel + DECODER_EXTRA_BYTES);
    reader.limits(limits);

    let decoded = (|| {
        let mut decoder = reader.into_decoder()?;
        let orientation = decoder.orientation()?;
        let mut picture = DynamicImage::from_decoder(decoder)?;
        picture.apply_orientation(orientation);
        Ok(picture)
    })();
    match decoded {
        Ok(picture) => Ok(flattened(picture)),
        Err(ImageError::IoError(error)) if error.raw_os_error().is_some() || is_out_of_time(&error) => {
            Err(error.into())
        }
        Err(ImageError::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => incomplete(),
        Err(_) => damaged("the picture cannot be decoded"),
    }
}

/// 8-bit RGB, with white behind what was transparent, as stores do it.
fn flattened(picture: DynamicImage) -> DynamicImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8().into();
    }
    let rgba = picture.into_rgba8();
    let opaque = RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [red, green, blue, alpha] = rgba.get_pixel(x, y).0.map(u32::from);
        // Between 0 and 255 each.
        Rgb([red, green, blue].map(|value| ((value * alpha + 255 * (255 - alpha)) / 255) as u8))
    });
    opaque.into()
}

fn thumbnails(mut picture: DynamicImage, deadline: &Deadline) -> Result<Vec<Thumbnail>> {
    let cover_edge_px = picture.width().min(picture.height());
    let mut thumbnails = Vec::new();
    // From large to small, each out of the one before: the work shrinks with it.
    for edge in THUMBNAIL_EDGES_PX.iter().rev().map(|edge| edge.unsigned_abs().min(cover_edge_px)) {
        if thumbnails.last().is_some_and(|last: &Thumbnail| last.edge_px.unsigned_abs() == edge) {
            continue;
        }
        deadline.check()?;
        picture = scaled(picture, edge);
        let mut jpeg = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY);
        if picture.write_with_encoder(encoder).is_err() {
            return damaged("no thumbnail can be made of it");
        }
        thumbnails.push(Thumbnail { edge_px: edge.cast_signed(), jpeg });
    }
    thumbnails.reverse();
    Ok(thumbnails)
}

fn scaled(mut picture: DynamicImage, edge_px: u32) -> DynamicImage {
    // Averaging first is quick and bounds what the careful filter keeps in memory.
    if picture.width() > edge_px * 3 {
        picture = picture.thumbnail_exact(edge_px * 2, edge_px * 2);
    }
    if picture.width() == edge_px { picture } else { picture.resize_exact(edge_px, edge_px, FilterType::CatmullRom) }
}
