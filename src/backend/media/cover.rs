//! Reads the headers of JPEG and PNG, and checks whether the picture behind them is complete.

use super::{
    Result, damaged, incomplete, refused,
    source::{Source, be16, be32},
};
use crate::domain::{
    media::{CoverColour, CoverFacts, CoverFormat, other_picture},
    problem::FileRefusal,
};

const PNG_MAGIC: &[u8] = b"\x89PNG\r\n\x1A\n";
/// Maximum bytes of a PNG besides the picture itself: comments, previews and other data. Real files stay below 1 MB.
const MAX_PNG_EXTRA_BYTES: u64 = 8 * 1024 * 1024;
/// Maximum bytes of compressed profiles and texts, which may unpack to a thousand times as much. Real files stay far
/// below.
const MAX_PNG_PACKED_BYTES: u64 = 1024 * 1024;
/// Maximum number of chunks: one for every 360 bytes of the largest allowed file.
const MAX_PNG_CHUNKS: usize = 100_000;
/// Maximum number of scans. Encoders write about ten, and those that try many orders keep fewer than twenty. Each scan
/// of a progressive picture covers all of its blocks, so a few bytes make the decoder work as long as a whole picture
/// does. The decoder has the same limit.
const MAX_JPEG_SCANS: usize = 100;
/// Maximum number of segments. A colour profile or a preview comes in parts of 64 kB, and the largest allowed cover has
/// room for 576 of them. Each scan may add up to eight tables. The decoder builds a structure for every table.
const MAX_JPEG_SEGMENTS: usize = 2000;
/// Number of bytes read at a time while searching a marker. It is far below the source's window, which would otherwise
/// be read anew for each marker of a picture that consists only of markers.
const SCAN_BYTES: usize = 4 * 1024;

pub(super) fn header(source: &mut Source) -> Result<CoverFacts> {
    let start = source.read_up_to(0, 512)?.to_vec();
    if start.starts_with(PNG_MAGIC) {
        png(source)
    } else if start.starts_with(b"\xFF\xD8\xFF") {
        jpeg(source)
    } else {
        refused(FileRefusal::WrongKind, format!("This is {}. Export the cover as JPEG or PNG.", other_picture(&start)))
    }
}

fn facts(format: CoverFormat, size: (u32, u32), colour: CoverColour, bits: u8, has_alpha: bool) -> CoverFacts {
    CoverFacts {
        format,
        width_px: i32::try_from(size.0).unwrap_or(i32::MAX),
        height_px: i32::try_from(size.1).unwrap_or(i32::MAX),
        colour,
        bits_per_channel: i16::from(bits),
        has_alpha,
    }
}

/// Refuses a picture that may be fine but that we cannot decode. `kind` completes the sentence "We cannot decode this
/// file: it is …".
pub(super) fn undecodable<T>(kind: &str) -> Result<T> {
    refused(
        FileRefusal::CannotDecode,
        format!("We cannot decode this file: it is {kind}. Export it as a baseline JPEG with 8 bit, or as a PNG."),
    )
}

/// Walks through the chunks of a PNG without reading their contents: `IHDR`, other chunks, `IDAT`, `IEND`.
fn png(source: &mut Source) -> Result<CoverFacts> {
    let mut found = None;
    let (mut extra_bytes, mut packed_bytes) = (0, 0);
    let mut offset = PNG_MAGIC.len() as u64;
    for _ in 0..MAX_PNG_CHUNKS {
        let Some(head) = source.read_array::<8>(offset)? else { return incomplete() };
        let (size, kind) = (be32(&head, 0), &head[4..]);
        // The size, the kind and the checksum add 12 bytes to the content.
        let next = offset + 12 + u64::from(size);
        match kind {
            b"IHDR" if found.is_none() => {
                let Some(header) = source.read_array::<13>(offset + 8)? else { return incomplete() };
                found = Some(png_header(&header)?);
            }
            // Xcode compresses the pictures of apps in a way that only Apple's systems read, and puts this chunk in
            // front.
            b"CgBI" => return undecodable("a PNG that was packed for an iPhone app (CgBI)"),
            b"acTL" => return refused(FileRefusal::OutsideLimits, "This PNG is animated. Export a single picture."),
            b"IDAT" => {}
            b"IEND" => {
                return match found {
                    Some(facts) if next <= source.length() => Ok(facts),
                    Some(_) => incomplete(),
                    None => damaged("it does not say how large it is"),
                };
            }
            b"tRNS" => {
                if let Some(facts) = &mut found {
                    facts.has_alpha = true;
                }
            }
            b"iCCP" | b"zTXt" | b"iTXt" => packed_bytes += u64::from(size),
            _ => extra_bytes += u64::from(size),
        }
        if packed_bytes > MAX_PNG_PACKED_BYTES {
            return refused(
                FileRefusal::OutsideLimits,
                "This PNG carries more than 1 MB of profiles and texts. Export it without metadata.",
            );
        }
        if found.is_none() {
            return damaged("it does not say how large it is");
        }
        if extra_bytes > MAX_PNG_EXTRA_BYTES {
            return refused(
                FileRefusal::OutsideLimits,
                "This PNG carries more than 8 MB of other data. Export it without metadata.",
            );
        }
        if next > source.length() {
            return incomplete();
        }
        offset = next;
    }
    damaged("it consists of too many pieces")
}

/// Colours that a PNG declares besides its profile, in the chunks in front of the picture.
#[derive(Debug, Default)]
pub(super) struct PngColour {
    /// `cICP`: primaries, transfer, matrix and full range, by their numbers in ITU-T H.273.
    pub(super) coding_points: Option<[u8; 4]>,
    pub(super) is_srgb: bool,
    /// `gAMA`, in 1/100,000.
    pub(super) gamma: Option<u32>,
    /// `cHRM`, in 1/100,000: white, red, green and blue, each as x and y.
    pub(super) chromaticities: Option<[u32; 8]>,
}

impl PngColour {
    /// Reads the chunks in front of the picture. [`header`] has already checked that they are well formed and few.
    pub(super) fn read(source: &mut Source) -> Result<Self> {
        let mut colour = Self::default();
        let mut offset = PNG_MAGIC.len() as u64;
        while let Some(head) = source.read_array::<8>(offset)? {
            match &head[4..] {
                b"cICP" => colour.coding_points = source.read_array(offset + 8)?,
                b"sRGB" => colour.is_srgb = true,
                b"gAMA" => colour.gamma = source.read_array(offset + 8)?.map(u32::from_be_bytes),
                b"cHRM" => {
                    let chromaticities = source.read_array::<32>(offset + 8)?;
                    colour.chromaticities = chromaticities.map(|bytes| std::array::from_fn(|at| be32(&bytes, at * 4)));
                }
                b"IDAT" | b"IEND" => break,
                _ => {}
            }
            offset += 12 + u64::from(be32(&head, 0));
        }
        Ok(colour)
    }
}

fn png_header(header: &[u8]) -> Result<CoverFacts> {
    let (colour, has_alpha) = match header[9] {
        0 => (CoverColour::Grayscale, false),
        2 => (CoverColour::Rgb, false),
        3 => (CoverColour::Indexed, false),
        4 => (CoverColour::Grayscale, true),
        6 => (CoverColour::Rgb, true),
        _ => return damaged("its header names an impossible kind of colour"),
    };
    Ok(facts(CoverFormat::Png, (be32(header, 0), be32(header, 4)), colour, header[8], has_alpha))
}

/// Walks a JPEG from marker to marker up to the end-of-image marker. The picture lies between markers, and 0xFF is
/// escaped in it.
fn jpeg(source: &mut Source) -> Result<CoverFacts> {
    let mut found = None;
    let (mut scans, mut segments) = (0, 0);
    let mut offset = 2;
    loop {
        let scanning = scans > 0;
        if scanning {
            offset = match next_marker(source, offset)? {
                Some(marker) => marker,
                None => return incomplete(),
            };
        }
        let Some([lead, marker]) = source.read_array::<2>(offset)? else { return incomplete() };
        if lead != 0xFF {
            return damaged("there is unknown data between its parts");
        }
        match marker {
            // A fill byte before a marker.
            0xFF => {
                offset += 1;
                continue;
            }
            0xD9 => break,
            // Markers without content: TEM and restarts.
            0x01 | 0xD0..=0xD7 => {
                offset += 2;
                continue;
            }
            0xC0..=0xC2 if found.is_none() => found = Some(jpeg_frame(source, offset + 4)?),
            0xC3 => return undecodable("a lossless JPEG"),
            0xF7 => return undecodable("a JPEG-LS"),
            0xC9..=0xCC => return undecodable("a JPEG with arithmetic coding"),
            // Hierarchical frames, and DNL, which declares the height behind the picture (ITU-T T.81, table B.1).
            0xC5..=0xC7 | 0xCD..=0xCF | 0xDC | 0xDE | 0xDF => return undecodable("a JPEG of a rare kind"),
            _ => {}
        }
        segments += 1;
        if segments > MAX_JPEG_SEGMENTS {
            return damaged("it consists of too many pieces");
        }
        scans += usize::from(marker == 0xDA);
        if scans > MAX_JPEG_SCANS {
            return refused(
                FileRefusal::OutsideLimits,
                "This JPEG has more than 100 progressive scans. Export it as a baseline JPEG.",
            );
        }
        let Some(size) = source.read_array::<2>(offset + 2)? else { return incomplete() };
        let size = be16(&size, 0);
        if size < 2 {
            return damaged("its parts overlap");
        }
        offset += 2 + u64::from(size);
    }
    match found {
        Some(facts) if scans > 0 => Ok(facts),
        _ => damaged("there is no picture in it"),
    }
}

fn next_marker(source: &mut Source, mut offset: u64) -> Result<Option<u64>> {
    loop {
        let bytes = source.read_up_to(offset, SCAN_BYTES)?;
        if bytes.len() < 2 {
            return Ok(None);
        }
        let is_marker = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xFF | 0xD0..=0xD7);
        if let Some(at) = bytes.windows(2).position(is_marker) {
            return Ok(Some(offset + at as u64));
        }
        // The last byte may be the first half of a marker.
        offset += bytes.len() as u64 - 1;
    }
}

fn jpeg_frame(source: &mut Source, offset: u64) -> Result<CoverFacts> {
    let Some(frame) = source.read_array::<6>(offset)? else { return incomplete() };
    let (bits, height, width) = (frame[0], be16(&frame, 1), be16(&frame, 3));
    let colour = match frame[5] {
        1 => CoverColour::Grayscale,
        3 => CoverColour::Rgb,
        4 => CoverColour::Cmyk,
        0 => return damaged("its header names an impossible kind of colour"),
        count => return undecodable(&format!("a JPEG with {count} colours")),
    };
    if bits != 8 {
        return undecodable(&format!("a JPEG with {bits} bit for each colour"));
    }
    // The height may follow behind the picture, in a DNL segment.
    if height == 0 {
        return undecodable("a JPEG of a rare kind");
    }
    Ok(facts(CoverFormat::Jpeg, (u32::from(width), u32::from(height)), colour, bits, false))
}
