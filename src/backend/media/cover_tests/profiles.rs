//! Tests that colour profiles and the colour chunks of a PNG lead to the colours that browsers show.

use image::{DynamicImage, ImageEncoder, Rgb, RgbImage, codecs::png::PngEncoder};
use moxcms::ColorProfile;
use testing::fixtures::{JpegLayout, adobe_segment, icc_segments, jpeg_as, jpeg_segment};

use super::{assert_shows, drawn, examine, luma_and_chroma, palette_tiles};

/// Builds the profile of a printer whose yellow is orange: `lut8` from four inks to Lab, with two points for each ink.
fn printer_profile() -> Vec<u8> {
    let mut table = [b"mft1\0\0\0\0".as_slice(), &[4, 3, 2, 0]].concat();
    for value in [1_u32, 0, 0, 0, 1, 0, 0, 0, 1] {
        table.extend((value << 16).to_be_bytes());
    }
    (0..4).for_each(|_| table.extend(0..=255));
    // Lightness and two colour axes for each corner, from no ink at all to all four.
    for corner in 0..16_u8 {
        let [cyan, magenta, yellow, black] = [3, 2, 1, 0].map(|bit| corner >> bit & 1 == 1);
        let lab = match (cyan, magenta, yellow, black) {
            (false, false, false, false) => [255, 128, 128],
            // About sRGB 255, 165, 0.
            (false, false, true, false) => [191, 152, 207],
            _ => [20, 128, 128],
        };
        table.extend(lab);
    }
    (0..3).for_each(|_| table.extend(0..=255));
    let mut profile = vec![0; 128];
    profile[8..12].copy_from_slice(&[2, 0x40, 0, 0]);
    profile[12..24].copy_from_slice(b"prtrCMYKLab ");
    profile[36..40].copy_from_slice(b"acsp");
    let white = [0xF6D6_u32, 0x1_0000, 0xD32D].map(u32::to_be_bytes).concat();
    profile[68..80].copy_from_slice(&white);
    let white_tag = [b"XYZ \0\0\0\0".as_slice(), &white].concat();
    let white_at = 128 + 4 + 2 * 12;
    profile.extend(2_u32.to_be_bytes());
    for (name, at, length) in [(b"wtpt", white_at, white_tag.len()), (b"A2B0", white_at + white_tag.len(), table.len())]
    {
        profile.extend(name);
        profile.extend([at, length].map(|number| u32::try_from(number).expect("it is small").to_be_bytes()).concat());
    }
    profile.extend(white_tag);
    profile.extend(table);
    let length = u32::try_from(profile.len()).expect("it is small");
    profile[..4].copy_from_slice(&length.to_be_bytes());
    profile
}

#[test]
fn inks_are_seen_as_their_profile_prints_them() {
    let profile = printer_profile();
    for part_bytes in [60_000, 500] {
        for order in [vec![vec![0, 1, 2, 3]], vec![vec![0], vec![1], vec![2], vec![3]]] {
            let mut layout = JpegLayout::interleaved(640, &[(1, 1); 4]);
            layout.scans = order;
            layout.segments = [vec![adobe_segment(0)], icc_segments(&profile, part_bytes)].concat();
            let (_, picture) = examine(&jpeg_as(&layout, |_, _| [255, 255, 0, 255])).expect("the cover decodes");
            assert_shows("yellow ink", &picture, &[[255, 165, 0]; 16]);
            let (_, picture) = examine(&jpeg_as(&layout, |_, _| [255; 4])).expect("the cover decodes");
            assert_shows("paper", &picture, &[[255, 255, 255]; 16]);
        }
    }
}

fn icc(profile: &ColorProfile) -> Vec<u8> {
    profile.encode().expect("the profile is one of the library's own")
}

/// Colours of Display P3, and the sRGB colours nearest to them, as Little CMS converts them.
const DISPLAY_P3: [([u8; 3], [u8; 3]); 4] = [
    ([230, 0, 0], [252, 0, 0]),
    ([19, 200, 0], [0, 205, 0]),
    ([20, 0, 221], [14, 0, 231]),
    ([241, 230, 210], [244, 230, 209]),
];
/// Colours of Adobe RGB, and the sRGB colours nearest to them, as Little CMS converts them.
const ADOBE_RGB: [([u8; 3], [u8; 3]); 3] =
    [([200, 100, 100], [229, 99, 98]), ([90, 140, 90], [47, 141, 88]), ([128, 128, 128], [127, 127, 127])];

#[test]
fn a_wide_gamut_is_converted_to_srgb() {
    let profiles =
        [(ColorProfile::new_display_p3(), DISPLAY_P3.as_slice()), (ColorProfile::new_adobe_rgb(), &ADOBE_RGB)];
    for (profile, colours) in profiles {
        let profile = icc(&profile);
        for (written, seen) in colours {
            for layout in [
                JpegLayout::interleaved(640, &[(2, 2), (1, 1), (1, 1)]),
                JpegLayout::non_interleaved(640, &[(2, 2), (1, 1), (1, 1)]),
            ] {
                let layout = JpegLayout { segments: icc_segments(&profile, 300), ..layout };
                let file = jpeg_as(&layout, |_, _| luma_and_chroma(*written));
                let (_, picture) = examine(&file).expect("the cover decodes");
                assert_shows("a JPEG", &picture, &[*seen; 16]);
            }
            for picture in of_one_colour(*written) {
                let (_, picture) = examine(&png(&picture, Some(&profile))).expect("the cover decodes");
                assert_shows("a PNG", &picture, &[*seen; 16]);
            }
        }
    }
}

/// Builds pictures of one colour, in 8 and 16 bit, with and without transparency.
fn of_one_colour(colour: [u8; 3]) -> [DynamicImage; 4] {
    let picture = DynamicImage::from(RgbImage::from_pixel(640, 640, Rgb(colour)));
    [picture.to_rgba8().into(), picture.to_rgb16().into(), picture.to_rgba16().into(), picture]
}

fn png(picture: &DynamicImage, profile: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile.to_vec()).expect("a PNG has room for a profile");
    }
    encoder
        .write_image(picture.as_bytes(), picture.width(), picture.height(), picture.color().into())
        .expect("writing to memory cannot fail");
    bytes
}

/// Puts a chunk behind the header. Its checksum matters only to decoders that read the chunk.
fn with_chunk(png: &[u8], kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let named = [kind.as_slice(), content].concat();
    let mut checksum = u32::MAX;
    for byte in &named {
        checksum ^= u32::from(*byte);
        for _ in 0..8 {
            checksum = if checksum & 1 == 1 { checksum >> 1 ^ 0xEDB8_8320 } else { checksum >> 1 };
        }
    }
    let size = u32::try_from(content.len()).expect("it is small").to_be_bytes();
    [&png[..33], &size, &named, &(!checksum).to_be_bytes(), &png[33..]].concat()
}

#[test]
fn a_png_without_a_profile_shows_the_colours_that_its_chunks_name() {
    let numbers = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>();
    let gamma = |gamma: u32| numbers(&[gamma]);
    let srgb_places = numbers(&[31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000]);
    let p3_places = numbers(&[31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000]);
    let plain = |colour| png(&DynamicImage::from(RgbImage::from_pixel(640, 640, Rgb(colour))), None);
    type Chunks = Vec<(&'static [u8; 4], Vec<u8>)>;
    let table: [(&str, Chunks, [u8; 3], [u8; 3]); 9] = [
        ("nothing", vec![], [200, 100, 50], [200, 100, 50]),
        ("sRGB's own gamma", vec![(b"gAMA", gamma(45_455))], [200, 100, 50], [200, 100, 50]),
        ("sRGB's own places", vec![(b"cHRM", srgb_places), (b"gAMA", gamma(45_455))], [200, 100, 50], [200, 100, 50]),
        ("linear light", vec![(b"gAMA", gamma(100_000))], [128, 55, 0], [188, 128, 0]),
        ("linear light, but sRGB", vec![(b"gAMA", gamma(100_000)), (b"sRGB", vec![0])], [128, 55, 0], [128, 55, 0]),
        ("P3's places", vec![(b"cHRM", p3_places), (b"gAMA", gamma(45_455))], [230, 0, 0], [252, 0, 0]),
        ("P3 by its numbers", vec![(b"cICP", vec![12, 13, 0, 1])], [20, 0, 221], [14, 0, 231]),
        ("an impossible gamma", vec![(b"gAMA", gamma(0))], [200, 100, 50], [200, 100, 50]),
        ("impossible numbers", vec![(b"cICP", vec![255, 255, 0, 1])], [200, 100, 50], [200, 100, 50]),
    ];
    for (what, chunks, written, seen) in table {
        let file = chunks.iter().fold(plain(written), |file, (kind, content)| with_chunk(&file, kind, content));
        let (_, picture) = examine(&file).unwrap_or_else(|error| panic!("{what} is refused: {error}"));
        assert_shows(what, &picture, &[seen; 16]);
    }
}

#[test]
fn gray_is_seen_as_its_profile_says() {
    let linear = icc(&ColorProfile::new_gray_with_gamma(1.0));
    let gray = DynamicImage::from(image::GrayImage::from_pixel(640, 640, image::Luma([55])));
    let with_alpha = DynamicImage::from(gray.to_luma_alpha8());
    for picture in [&gray, &with_alpha] {
        let (_, picture) = examine(&png(picture, Some(&linear))).expect("the cover decodes");
        assert_shows("linear gray", &picture, &[[128; 3]; 16]);
    }
    let layout = JpegLayout { segments: icc_segments(&linear, 60_000), ..JpegLayout::interleaved(640, &[(1, 1)]) };
    let (_, picture) = examine(&jpeg_as(&layout, |_, _| [55; 4])).expect("the cover decodes");
    assert_shows("linear gray in a JPEG", &picture, &[[128; 3]; 16]);
}

#[test]
fn a_broken_profile_does_not_refuse_a_cover() {
    let good = icc(&ColorProfile::new_display_p3());
    let parts = icc_segments(&good, 100);
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0xFF;
        icc_segments(&bytes, 60_000)
    };
    let mut table = vec![
        ("a part is missing", parts[1..].to_vec()),
        ("a part comes twice", [parts.clone(), parts[..1].to_vec()].concat()),
        ("it is cut off", icc_segments(&good[..200], 60_000)),
        ("it is empty", icc_segments(&[0; 1], 60_000)),
        ("it is no profile", icc_segments(&[0xA5; 3000], 60_000)),
        ("it is for inks", icc_segments(&printer_profile(), 60_000)),
        ("it is for gray", icc_segments(&icc(&ColorProfile::new_gray_with_gamma(2.2)), 60_000)),
        ("a part has no number", vec![jpeg_segment(0xE2, b"ICC_PROFILE\0")]),
    ];
    table.push(("its signature is wrong", flipped(36)));
    for (what, segments) in table {
        let layout = JpegLayout { segments, ..JpegLayout::interleaved(640, &[(2, 2), (1, 1), (1, 1)]) };
        let (_, picture) = examine(&drawn(&layout, luma_and_chroma)).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_shows(what, &picture, &palette_tiles());
    }
    // A profile with any one byte changed may be used or not. The cover is accepted either way.
    for at in (0..good.len()).step_by(7) {
        let layout = JpegLayout { segments: flipped(at), ..JpegLayout::interleaved(640, &[(1, 1)]) };
        examine(&jpeg_as(&layout, |_, _| [55; 4])).unwrap_or_else(|error| panic!("byte {at}: {error}"));
    }
}
