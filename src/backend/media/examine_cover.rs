//! Examines a cover: decodes it and makes its thumbnails. This is the second of the two steps.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use image::{
    DynamicImage, GrayImage, ImageDecoder, ImageError, ImageReader, Limits, RgbImage, codecs::jpeg::JpegEncoder,
    imageops::FilterType, metadata::Orientation,
};
use jpeg_decoder::{ColorTransform, PixelFormat};
use moxcms::ColorProfile;

use super::{
    Deadline, MediaError, Result, catch_decoder_panic,
    colour::{self, DecodedPixels},
    cover::{PngColour, undecodable},
    damaged,
    deadline::is_out_of_time,
    incomplete,
    jpeg::{JpegLayout, Transform},
    jpeg_scans,
    source::Source,
    validate,
};
use crate::domain::media::{CoverFacts, CoverFormat, MediaLimits, THUMBNAIL_EDGES_PX};

/// The size was validated when the file arrived. The limits may have become smaller since.
const NO_LIMITS: MediaLimits = MediaLimits { max_audio_bytes: u64::MAX, max_cover_bytes: u64::MAX };
const JPEG_QUALITY: u8 = 85;
/// Maximum bytes that the slower decoder may take. A progressive JPEG in CMYK may have up to 5000 px; all others may
/// have the full size.
const DECODER_MAX_BYTES: u64 = 400 * 1000 * 1000;
/// Bytes that the decoder may take beyond the picture itself, for colour profiles and rows in flight.
const DECODER_EXTRA_BYTES: u64 = 32 * 1024 * 1024;

/// A scaled-down cover, as JPEG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Length of each edge in pixels, never more than the cover's.
    pub edge_px: i32,
    pub jpeg: Vec<u8>,
}

/// Decodes a cover and makes its thumbnails, smallest first. Their edges are [`THUMBNAIL_EDGES_PX`]; edges larger than
/// the cover are replaced by the cover's own edge. Metadata is dropped: the orientation is applied, and the colours are
/// converted to sRGB. The largest cover takes about 300 MB of memory while it is decoded, and no cover takes more than
/// 450 MB.
///
/// The deadline ends the reading and the scaling. The decoding of a JPEG cannot check the deadline once the file is
/// read. The limits on its size and its scans bound it to some seconds.
///
/// # Errors
/// Refused with 422 if the cover cannot be decoded completely, or as [`validate_cover`](super::validate_cover) refuses
/// it. Out of time after the deadline. Otherwise I/O.
pub fn examine_cover(path: &Path, deadline: &Deadline) -> Result<(CoverFacts, Vec<Thumbnail>)> {
    let facts = validate::cover_of(&mut Source::open(path, deadline)?, &NO_LIMITS)?;
    let thumbnails = catch_decoder_panic(|| thumbnails(decode(path, &facts, deadline)?, deadline))
        .unwrap_or_else(|| undecodable("a picture that our decoder fails on"))?;
    Ok((facts, thumbnails))
}

/// A file whose reads fail after the deadline.
struct DeadlineFile {
    file: File,
    deadline: Deadline,
}

impl Read for DeadlineFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.deadline.check()?;
        self.file.read(buffer)
    }
}

impl Seek for DeadlineFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Decodes the cover to 8-bit sRGB, the right way up.
fn decode(path: &Path, facts: &CoverFacts, deadline: &Deadline) -> Result<DynamicImage> {
    let source = &mut Source::open(path, deadline)?;
    let (picture, profile, orientation) = match facts.format {
        CoverFormat::Png => png(path, source, facts, deadline)?,
        CoverFormat::Jpeg => jpeg(path, source, facts, deadline)?,
    };
    let mut picture = DynamicImage::from(colour::to_srgb(picture, profile, deadline)?);
    picture.apply_orientation(orientation);
    Ok(picture)
}

type DecodedCover = (DecodedPixels, Option<ColorProfile>, Orientation);

fn png(path: &Path, source: &mut Source, facts: &CoverFacts, deadline: &Deadline) -> Result<DecodedCover> {
    let named = PngColour::read(source)?;
    let decoded = (|| {
        let mut decoder = reader(path, facts, deadline)?.into_decoder()?;
        let orientation = decoder.orientation()?;
        let icc = decoder.icc_profile()?;
        Ok((DynamicImage::from_decoder(decoder)?, icc, orientation))
    })();
    let (picture, icc, orientation) = media_error_of(decoded)?;
    // The specification of PNG gives `cICP` precedence over a profile, and the profile precedence over the other
    // chunks.
    let profile = match icc {
        Some(icc) if named.coding_points.is_none() => colour::parse_profile(&icc),
        _ => colour::of_png(&named),
    };
    Ok((DecodedPixels::Light(picture), profile, orientation))
}

fn jpeg(path: &Path, source: &mut Source, facts: &CoverFacts, deadline: &Deadline) -> Result<DecodedCover> {
    let layout = JpegLayout::read(source)?;
    let size = (facts.width_px.unsigned_abs(), facts.height_px.unsigned_abs());
    if !layout.is_for_zune() {
        bound_memory(facts, &layout)?;
    }
    let is_whole = jpeg_scans::are_complete(source, &layout, size)?;
    let profile = match layout.profile(source)? {
        Ok(icc) => icc.and_then(|icc| colour::parse_profile(&icc)),
        Err(why) => colour::unusable(why),
    };
    let orientation = layout.exif.as_deref().and_then(Orientation::from_exif_chunk);
    let zunes = match layout.is_for_zune() {
        true => Some(media_error_of((|| DynamicImage::from_decoder(reader(path, facts, deadline)?.into_decoder()?))())),
        false => None,
    };
    let picture = match zunes {
        Some(Ok(picture)) => DecodedPixels::Light(picture),
        // An I/O error or the end of the time would stop the other decoder as well.
        Some(Err(error)) if !matches!(error, MediaError::Refused(_)) => return Err(error),
        // The first decoder may be at fault, so a second one tries the picture before it is refused.
        _ => match decode_with_slow_decoder(path, facts, &layout, deadline) {
            // All scans are complete, so the decoders are at fault and the file is not called damaged.
            Err(MediaError::Refused(_)) if is_whole => return undecodable("a JPEG of a rare kind"),
            other => other?,
        },
    };
    Ok((picture, profile, orientation.unwrap_or(Orientation::NoTransforms)))
}

fn reader(path: &Path, facts: &CoverFacts, deadline: &Deadline) -> io::Result<ImageReader<BufReader<DeadlineFile>>> {
    let format = match facts.format {
        CoverFormat::Jpeg => image::ImageFormat::Jpeg,
        CoverFormat::Png => image::ImageFormat::Png,
    };
    let file = DeadlineFile { file: File::open(path)?, deadline: deadline.clone() };
    let mut reader = ImageReader::with_format(BufReader::new(file), format);
    let (width, height) = (facts.width_px.unsigned_abs(), facts.height_px.unsigned_abs());
    let bytes_per_pixel = 4 * u64::from(facts.bits_per_channel.unsigned_abs().div_ceil(8));
    let mut limits = Limits::default();
    limits.max_image_width = Some(width);
    limits.max_image_height = Some(height);
    limits.max_alloc = Some(u64::from(width) * u64::from(height) * bytes_per_pixel + DECODER_EXTRA_BYTES);
    reader.limits(limits);
    Ok(reader)
}

fn media_error_of<T>(decoded: std::result::Result<T, ImageError>) -> Result<T> {
    match decoded {
        Ok(decoded) => Ok(decoded),
        Err(ImageError::IoError(error)) if error.raw_os_error().is_some() || is_out_of_time(&error) => {
            Err(error.into())
        }
        Err(ImageError::IoError(error)) if error.kind() == io::ErrorKind::UnexpectedEof => incomplete(),
        Err(_) => damaged("the picture cannot be decoded"),
    }
}

/// Refuses a JPEG for which the slower decoder would take too much memory.
fn bound_memory(facts: &CoverFacts, layout: &JpegLayout) -> Result<()> {
    let pixels = u64::from(facts.width_px.unsigned_abs()) * u64::from(facts.height_px.unsigned_abs());
    if pixels * layout.bytes_per_pixel() > DECODER_MAX_BYTES {
        return undecodable("a large progressive JPEG of a rare kind");
    }
    Ok(())
}

/// Decodes a JPEG with the slower decoder, which accepts scans in any order and outputs inks.
fn decode_with_slow_decoder(
    path: &Path,
    facts: &CoverFacts,
    layout: &JpegLayout,
    deadline: &Deadline,
) -> Result<DecodedPixels> {
    use jpeg_decoder::Error;

    bound_memory(facts, layout)?;
    let file = DeadlineFile { file: File::open(path)?, deadline: deadline.clone() };
    let mut decoder = jpeg_decoder::Decoder::new(BufReader::new(file));
    if let Some(transform) = layout.transform() {
        decoder.set_color_transform(match transform {
            Transform::Rgb => ColorTransform::RGB,
            Transform::YCbCr => ColorTransform::YCbCr,
            Transform::Cmyk => ColorTransform::CMYK,
            Transform::Ycck => ColorTransform::YCCK,
        });
    }
    let pixels = match decoder.decode() {
        Ok(pixels) => pixels,
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return incomplete(),
        Err(Error::Io(error)) => return Err(error.into()),
        Err(Error::Unsupported(_)) => return undecodable("a JPEG of a rare kind"),
        Err(_) => return damaged("the picture cannot be decoded"),
    };
    let Some(info) = decoder.info() else { return damaged("there is no picture in it") };
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    let light = match info.pixel_format {
        PixelFormat::CMYK32 => return Ok(DecodedPixels::Cmyk { width, height, inks: pixels }),
        PixelFormat::RGB24 => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
        PixelFormat::L8 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        PixelFormat::L16 => None,
    };
    light.map_or_else(|| damaged("the picture cannot be decoded"), |light| Ok(DecodedPixels::Light(light)))
}

fn thumbnails(mut picture: DynamicImage, deadline: &Deadline) -> Result<Vec<Thumbnail>> {
    let cover_edge_px = picture.width().min(picture.height());
    let mut thumbnails = Vec::new();
    // From large to small, each from the one before, so that the work shrinks.
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
    // Averaging first is quick, and bounds the memory of the careful filter.
    if picture.width() > edge_px * 3 {
        picture = picture.thumbnail_exact(edge_px * 2, edge_px * 2);
    }
    if picture.width() == edge_px { picture } else { picture.resize_exact(edge_px, edge_px, FilterType::CatmullRom) }
}
