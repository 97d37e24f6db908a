//! Tests that the thumbnails of covers, as people make them, show what a browser shows of the file.

use std::io::Cursor;

use image::{DynamicImage, ImageEncoder, Rgb, RgbImage, codecs::png::PngEncoder};
use moxcms::ColorProfile;
use testing::fixtures::{
    self as made, JpegLayout, adobe_segment, exif_segment, icc_segments, jpeg_as, jpeg_segment, ycbcr,
};

use super::{Deadline, MediaError, examine_cover};
use crate::domain::media::{CoverColour, CoverFacts};

const TILES: u32 = 4;
/// Maximum difference in levels. Quantising, sampling and two scalings may change a colour in the middle of a tile by
/// as much.
const NEAR: i32 = 10;
const PALETTE: [[u8; 3]; 7] =
    [[220, 40, 40], [40, 190, 60], [40, 60, 210], [230, 210, 60], [30, 30, 30], [235, 235, 235], [190, 70, 190]];

fn tile_colour(x: u32, y: u32, edge: u32) -> [u8; 3] {
    PALETTE[((x * TILES / edge) + 3 * (y * TILES / edge)) as usize % PALETTE.len()]
}

fn examine(bytes: &[u8]) -> Result<(CoverFacts, RgbImage), MediaError> {
    let folder = tempfile::tempdir().expect("a folder for a test");
    let path = folder.path().join("cover");
    std::fs::write(&path, bytes).expect("a file for a test");
    let (facts, thumbnails) = examine_cover(&path, &Deadline::never())?;
    let largest = thumbnails.last().expect("a cover has thumbnails");
    Ok((facts, image::load_from_memory(&largest.jpeg).expect("a thumbnail is a JPEG").into_rgb8()))
}

fn message(bytes: &[u8]) -> String {
    match examine(bytes) {
        Err(MediaError::Refused(refusal)) => refusal.message,
        other => panic!("the cover is refused, not {other:?}"),
    }
}

/// Returns the average colours of the middles of all tiles, row by row.
fn tiles(picture: &RgbImage) -> Vec<[i32; 3]> {
    const HALF: u32 = 8;
    let middle = |tile: u32, edge: u32| edge * (2 * tile + 1) / (2 * TILES);
    let average = |column: u32, row: u32| {
        let (x, y) = (middle(column, picture.width()), middle(row, picture.height()));
        let mut sum = [0; 3];
        for (dx, dy) in (0..2 * HALF).flat_map(|dx| (0..2 * HALF).map(move |dy| (dx, dy))) {
            let Rgb(pixel) = picture.get_pixel(x + dx - HALF, y + dy - HALF);
            (0..3).for_each(|channel| sum[channel] += i32::from(pixel[channel]));
        }
        sum.map(|sum| sum / (4 * HALF * HALF).cast_signed())
    };
    (0..TILES).flat_map(|row| (0..TILES).map(move |column| average(column, row))).collect()
}

fn assert_shows(what: &str, picture: &RgbImage, expected: &[[u8; 3]]) {
    for (place, (seen, meant)) in tiles(picture).iter().zip(expected).enumerate() {
        let is_near = seen.iter().zip(meant).all(|(seen, meant)| (seen - i32::from(*meant)).abs() <= NEAR);
        assert!(is_near, "{what}: tile {place} is {seen:?} instead of {meant:?}");
    }
}

fn palette_tiles() -> Vec<[u8; 3]> {
    (0..TILES).flat_map(|row| (0..TILES).map(move |column| tile_colour(column, row, TILES))).collect()
}

fn drawn(layout: &JpegLayout, components: impl Fn([u8; 3]) -> [u8; 4]) -> Vec<u8> {
    let edge = u32::from(layout.width_px);
    jpeg_as(layout, |x, y| components(tile_colour(u32::from(x), u32::from(y), edge)))
}

fn luma_and_chroma(colour: [u8; 3]) -> [u8; 4] {
    let [luma, blue, red] = ycbcr(colour);
    [luma, blue, red, 255]
}

#[test]
fn a_jpeg_shows_its_colours_whatever_the_order_of_its_scans() {
    const SAMPLINGS: [[(u8, u8); 3]; 8] = [
        [(1, 1), (1, 1), (1, 1)],
        [(2, 2), (1, 1), (1, 1)],
        [(2, 1), (1, 1), (1, 1)],
        [(1, 2), (1, 1), (1, 1)],
        [(4, 1), (1, 1), (1, 1)],
        [(2, 2), (2, 1), (1, 2)],
        [(1, 1), (2, 1), (2, 1)],
        [(3, 1), (1, 1), (1, 1)],
    ];
    let orders: [&[&[usize]]; 4] = [&[&[0, 1, 2]], &[&[0], &[1], &[2]], &[&[2], &[1], &[0]], &[&[0], &[1, 2]]];
    // Edges that end with a block, with an MCU, or with neither.
    let edges = [640, 648, 655];
    let mut turn = 0;
    for sampling in SAMPLINGS {
        for order in orders {
            for (is_progressive, is_refined) in [(false, false), (true, false), (true, true)] {
                turn += 1;
                let layout = JpegLayout {
                    scans: order.iter().map(|scan| scan.to_vec()).collect(),
                    is_progressive,
                    is_refined,
                    restart_interval: [0, 7, 0, 200][turn / 3 % 4],
                    ..JpegLayout::interleaved(edges[turn % edges.len()], &sampling)
                };
                let (facts, picture) = examine(&drawn(&layout, luma_and_chroma))
                    .unwrap_or_else(|error| panic!("{layout:?} is refused: {error}"));
                assert_eq!(facts.colour, CoverColour::Rgb);
                assert_shows(&format!("{layout:?}"), &picture, &palette_tiles());
            }
        }
    }
}

#[test]
fn a_jpeg_of_one_component_is_gray_whatever_its_sampling() {
    for (sampling, is_progressive) in [((1, 1), false), ((2, 2), false), ((2, 1), true), ((1, 4), true)] {
        let layout = JpegLayout { is_progressive, ..JpegLayout::interleaved(655, &[sampling]) };
        let (facts, picture) = examine(&drawn(&layout, luma_and_chroma)).expect("the cover decodes");
        assert_eq!(facts.colour, CoverColour::Grayscale);
        let grays: Vec<_> = palette_tiles().into_iter().map(|colour| [ycbcr(colour)[0]; 3]).collect();
        assert_shows(&format!("{layout:?}"), &picture, &grays);
    }
}

#[test]
fn a_jpeg_whose_components_are_red_green_and_blue_shows_them_as_they_are() {
    for layout in [JpegLayout::interleaved(640, &[(1, 1); 3]), JpegLayout::non_interleaved(640, &[(1, 1); 3])] {
        let layout = JpegLayout { segments: vec![adobe_segment(0)], ..layout };
        let file = drawn(&layout, |[red, green, blue]| [red, green, blue, 0]);
        let (_, picture) = examine(&file).expect("the cover decodes");
        assert_shows("Adobe's marker says RGB", &picture, &palette_tiles());
        let layout = JpegLayout { segments: vec![adobe_segment(1)], ..layout };
        let (_, picture) = examine(&drawn(&layout, luma_and_chroma)).expect("the cover decodes");
        assert_shows("Adobe's marker says YCbCr", &picture, &palette_tiles());
        let layout = JpegLayout { segments: vec![jfif_segment(), adobe_segment(0)], ..layout };
        let (_, picture) = examine(&drawn(&layout, luma_and_chroma)).expect("the cover decodes");
        assert_shows("JFIF is always YCbCr", &picture, &palette_tiles());
    }
}

#[test]
fn real_covers_show_the_colours_that_libjpeg_and_little_cms_make_of_them() {
    const CREAM: [u8; 3] = [241, 230, 210];
    let rows = |rows: [[[u8; 3]; 2]; 2]| -> Vec<[u8; 3]> {
        rows.iter().flat_map(|[left, right]| [*left, *left, *right, *right, *left, *left, *right, *right]).collect()
    };
    for (name, expected) in [
        ("jpeg_noninterleaved_420.jpg", rows([[[230, 0, 0], CREAM], [[0, 0, 220], CREAM]])),
        ("jpeg_display_p3.jpg", rows([[[252, 0, 0], [0, 205, 0]], [[14, 0, 231], [244, 230, 209]]])),
    ] {
        let (_, picture) = examine(&made::case(name)).expect("the cover decodes");
        assert_shows(name, &picture, &expected);
    }
}

fn jfif_segment() -> Vec<u8> {
    jpeg_segment(0xE0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0")
}

#[test]
fn a_jpeg_that_our_decoder_stumbles_over_is_not_called_damaged() {
    // Chroma has half as many blocks across as luma, and an odd number of them. jpeg-decoder 0.3.2 counts another
    // number of them between markers.
    let layout = JpegLayout { restart_interval: 7, ..JpegLayout::non_interleaved(655, &[(4, 1), (2, 1), (1, 1)]) };
    assert!(message(&drawn(&layout, luma_and_chroma)).contains("We cannot decode"));
}

/// Returns inks as Adobe writes them: 255 is no ink.
fn inks([red, green, blue]: [u8; 3]) -> [u8; 4] {
    [red, green, blue, 255]
}

/// Converts a colour to YCCK. YCCK encodes the complement of the inks, and Adobe's inks are complements already.
fn ycck(colour: [u8; 3]) -> [u8; 4] {
    let [luma, blue, red] = ycbcr(colour.map(|value| 255 - value));
    [luma, blue, red, 255]
}

#[test]
fn a_jpeg_in_cmyk_without_a_profile_shows_what_browsers_show() {
    const FULL: [(u8, u8); 4] = [(1, 1); 4];
    const SAMPLED: [(u8, u8); 4] = [(2, 2), (1, 1), (1, 1), (2, 2)];
    for (transform, sampling) in [(0, FULL), (2, FULL), (2, SAMPLED)] {
        let plain = JpegLayout::interleaved(640, &sampling);
        for layout in
            [plain.clone(), JpegLayout { is_progressive: true, ..plain }, JpegLayout::non_interleaved(655, &sampling)]
        {
            let layout = JpegLayout { segments: vec![adobe_segment(transform)], ..layout };
            let (facts, picture) =
                examine(&drawn(&layout, if transform == 0 { inks } else { ycck })).expect("the cover decodes");
            assert_eq!(facts.colour, CoverColour::Cmyk);
            assert_shows(&format!("transform {transform}, {layout:?}"), &picture, &palette_tiles());
        }
    }
}

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

#[test]
fn a_cover_stands_the_way_up_that_its_file_says() {
    // The top is red and the bottom is blue. The left half is darker.
    let colour = |x: u16, y: u16| match (x < 320, y < 320) {
        (true, true) => [180, 0, 0],
        (false, true) => [250, 90, 90],
        (true, false) => [0, 0, 180],
        (false, false) => [90, 90, 250],
    };
    let corners = |picture: &RgbImage| [0, 3, 12, 15].map(|tile| tiles(picture)[tile]);
    let [a, b, c, d] = [[180, 0, 0], [250, 90, 90], [0, 0, 180], [90, 90, 250]];
    for layout in [JpegLayout::interleaved(640, &[(1, 1); 3]), JpegLayout::non_interleaved(640, &[(1, 1); 3])] {
        for (orientation, seen) in
            [(1, [a, b, c, d]), (2, [b, a, d, c]), (3, [d, c, b, a]), (6, [c, a, d, b]), (8, [b, d, a, c])]
        {
            let layout = JpegLayout { segments: vec![exif_segment(orientation)], ..layout.clone() };
            let (_, picture) =
                examine(&jpeg_as(&layout, |x, y| luma_and_chroma(colour(x, y)))).expect("the cover decodes");
            for (found, meant) in corners(&picture).iter().zip(seen) {
                let is_near = found.iter().zip(meant).all(|(found, meant)| (found - meant).abs() <= NEAR);
                assert!(is_near, "orientation {orientation}: {found:?} instead of {meant:?}");
            }
        }
    }
}

#[test]
fn a_jpeg_that_we_cannot_decode_is_called_by_its_kind() {
    let plain = made::cover_jpeg(640, 1);
    let frame = plain.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a JPEG has a frame");
    let with = |at: usize, byte: u8| {
        let mut file = plain.clone();
        file[frame + at] = byte;
        file
    };
    for (file, kind) in [
        (with(1, 0xC3), "lossless"),
        (with(1, 0xF7), "JPEG-LS"),
        (with(1, 0xC9), "arithmetic"),
        (with(1, 0xCA), "arithmetic"),
        (with(1, 0xC5), "rare kind"),
        (with(4, 12), "12 bit"),
        (with(9, 2), "2 colours"),
    ] {
        let message = message(&file);
        assert!(message.contains(kind) && message.contains("We cannot decode"), "{kind}: {message}");
    }
    let app = made::cover_png(640, 1);
    let app = [&app[..8], b"\0\0\0\x04CgBI\x50\0\x20\x06\x2C\xB8\x77\x66", &app[8..]].concat();
    let said = message(&app);
    assert!(said.contains("CgBI") && said.contains("We cannot decode"), "{said}");
    let mut without_height = plain.clone();
    without_height[frame + 5..frame + 7].copy_from_slice(&[0, 0]);
    assert!(message(&without_height).contains("rare kind"));
}

#[test]
fn a_cover_that_would_take_too_much_memory_is_refused_before_it_does() {
    let layout = JpegLayout { is_progressive: true, ..JpegLayout::interleaved(640, &[(1, 1); 4]) };
    let mut file = drawn(&layout, inks);
    let frame = file.windows(2).position(|pair| pair == [0xFF, 0xC2]).expect("a JPEG has a frame");
    let edge = 5900_u16.to_be_bytes();
    file[frame + 5..frame + 9].copy_from_slice(&[edge, edge].concat());
    assert!(message(&file).contains("We cannot decode"));
}

#[test]
fn a_jpeg_that_is_cut_in_any_of_its_scans_is_incomplete() {
    for layout in [
        JpegLayout::interleaved(640, &[(2, 2), (1, 1), (1, 1)]),
        JpegLayout::non_interleaved(640, &[(2, 2), (1, 1), (1, 1)]),
        JpegLayout { is_progressive: true, ..JpegLayout::non_interleaved(640, &[(2, 2), (1, 1), (1, 1)]) },
        JpegLayout::non_interleaved(640, &[(1, 1); 4]),
    ] {
        let file = drawn(&layout, luma_and_chroma);
        for part in [1, 4, 7, 9] {
            let message = message(&file[..file.len() * part / 10]);
            assert!(message.contains("incomplete"), "{part}: {message}");
        }
        assert!(message(&file[..file.len() - 2]).contains("incomplete"));
    }
    // A tool ended the file in the middle of its scan. Decoders fill up the rest with gray.
    for restart_interval in [0, 7] {
        let layout = JpegLayout { restart_interval, ..JpegLayout::interleaved(640, &[(2, 2), (1, 1), (1, 1)]) };
        let file = drawn(&layout, luma_and_chroma);
        let begin = file.windows(2).position(|pair| pair == [0xFF, 0xDA]).expect("a JPEG has a scan") + 14;
        for part in [1, 5, 9] {
            let mut cut = begin + (file.len() - begin) * part / 10;
            cut -= usize::from(file[cut - 1] == 0xFF);
            let message = message(&[&file[..cut], &[0xFF, 0xD9]].concat());
            assert!(message.contains("incomplete"), "{part}: {message}");
        }
    }
    // The last scan is missing altogether, and the end of the picture follows the others.
    let file = drawn(&JpegLayout::non_interleaved(640, &[(2, 2), (1, 1), (1, 1)]), luma_and_chroma);
    let last = file.windows(2).rposition(|pair| pair == [0xFF, 0xDA]).expect("a JPEG has scans");
    assert!(message(&[&file[..last], &[0xFF, 0xD9]].concat()).contains("damaged"));
}

/// Returns where each scan begins, and where the picture ends.
fn scans(file: &[u8]) -> Vec<usize> {
    let is_start = |at: &usize| matches!(file[*at..*at + 2], [0xFF, 0xDA] | [0xFF, 0xD9]);
    (0..file.len() - 1).filter(is_start).collect()
}

#[test]
fn a_progressive_jpeg_without_one_of_its_scans_is_refused() {
    for is_refined in [false, true] {
        let sampling = [(2, 2), (1, 1), (1, 1)];
        let layout = JpegLayout { is_progressive: true, is_refined, ..JpegLayout::interleaved(640, &sampling) };
        let file = drawn(&layout, luma_and_chroma);
        let scans = scans(&file);
        assert_eq!(scans.len(), if is_refined { 9 } else { 5 });
        examine(&file).expect("the cover decodes");
        for (scan, start) in scans.iter().enumerate().take(scans.len() - 1) {
            // A tool ended the file before this scan. Decoders show a blurred picture.
            let said = message(&[&file[..*start], &[0xFF, 0xD9]].concat());
            assert!(
                said.contains(if scan == 0 { "no picture in it" } else { "scans that make its picture sharp" }),
                "{scan}: {said}"
            );
            let said = message(&[&file[..*start], &file[scans[scan + 1]..]].concat());
            assert!(said.contains("incomplete") || said.contains("a part of the picture is missing"), "{scan}: {said}");
        }
    }
}

#[test]
fn a_hole_in_a_jpeg_is_damage_with_its_place() {
    let sampling = [(2, 2), (1, 1), (1, 1)];
    // Noise gives each block many codes.
    let noise = |x: u16, y: u16| {
        let number = (u32::from(x) * 7919 + u32::from(y) * 104_729).wrapping_mul(2_654_435_761) >> 20;
        [(number & 0x7F) as u8 + 64, 128 + (number >> 9) as u8, 128, 255]
    };
    for (is_progressive, is_refined, restart_interval) in [(false, false, 0), (false, false, 40), (true, true, 0)] {
        let layout =
            JpegLayout { is_progressive, is_refined, restart_interval, ..JpegLayout::interleaved(640, &sampling) };
        let file = jpeg_as(&layout, noise);
        examine(&file).expect("the cover decodes");
        let scans = scans(&file);
        for (scan, next) in scans.iter().zip(&scans[1..]) {
            let size = next - scan;
            // This scan has one bit of each average, without codes, so any bits are valid.
            let head = usize::from(file[scan + 3]);
            if file[scan + head - 1..scan + head + 2] == [0, 0, 0x10] {
                continue;
            }
            for tenth in [1, 4, 8] {
                let mut damaged = file.clone();
                let hole = scan + size * tenth / 10;
                damaged[hole..hole + size / 12].fill(0);
                let said = match examine(&damaged) {
                    Err(MediaError::Refused(refusal)) => refusal.message,
                    other => panic!("{layout:?}: {scan}, {tenth}: {:?}", other.map(|(facts, _)| facts)),
                };
                assert!(
                    said.contains("damaged: a part of the picture is missing or cannot be decoded"),
                    "{tenth}: {said}"
                );
                let row: usize =
                    said.split_once("row ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok()).unwrap();
                let place = 640 * tenth / 10;
                assert!(row.abs_diff(place) < 80, "{layout:?}: {row} instead of {place}");
            }
        }
    }
}

#[test]
fn a_scan_that_brings_no_bit_more_is_damage() {
    let sampling = [(2, 2), (1, 1), (1, 1)];
    let layout = JpegLayout { is_progressive: true, is_refined: true, ..JpegLayout::interleaved(640, &sampling) };
    let mut file = drawn(&layout, luma_and_chroma);
    let scan = *scans(&file).iter().rev().nth(1).expect("it has scans");
    // The last byte of the scan's header holds the bit before this scan, and the bit that it adds.
    let bits = scan + 1 + usize::from(file[scan + 3]);
    assert_eq!(file[bits], 0x10);
    file[bits] = 0x11;
    assert!(message(&file).contains("a part of the picture is missing"));
}

#[test]
fn filling_behind_a_scan_is_no_hole() {
    for is_progressive in [false, true] {
        let layout = JpegLayout { is_progressive, ..JpegLayout::interleaved(640, &[(2, 2), (1, 1), (1, 1)]) };
        let file = drawn(&layout, luma_and_chroma);
        for filling in [[0; 500], [0xFF; 500]] {
            let filled = [&file[..file.len() - 2], &filling, &[0xFF, 0xD9]].concat();
            assert_eq!(examine(&filled).expect("the cover decodes").0, examine(&file).expect("the original decodes").0);
        }
    }
}

#[test]
fn restart_markers_count_up() {
    let layout = JpegLayout { restart_interval: 20, ..JpegLayout::interleaved(640, &[(1, 1); 3]) };
    let file = drawn(&layout, luma_and_chroma);
    let is_marker = |at: &usize| matches!(file[*at..*at + 2], [0xFF, 0xD0..=0xD7]);
    let markers: Vec<usize> = (0..file.len() - 1).filter(is_marker).collect();
    let cut = [&file[..markers[30]], &file[markers[31]..]].concat();
    let said = message(&cut);
    // A row has 80 units of 8 px, and 20 units stand between two markers.
    assert!(said.contains("a part of the picture is missing") && said.contains("row 56 "), "{said}");
}

#[test]
fn a_picture_keeps_its_colours_on_the_way_through_every_encoder_of_ours() {
    for file in [made::cover_png(700, 3), made::cover_jpeg(700, 3)] {
        let (_, picture) = examine(&file).expect("the cover decodes");
        let original = image::ImageReader::new(Cursor::new(&file)).with_guessed_format().expect("readable").decode();
        let original = original.expect("the cover decodes").into_rgb8();
        let expected: Vec<_> = tiles(&original).iter().map(|tile| tile.map(|value| value as u8)).collect();
        assert_shows("a cover of ours", &picture, &expected);
    }
}
