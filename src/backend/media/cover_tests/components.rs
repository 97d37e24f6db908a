//! Tests JPEGs with every order of scans, sampling and kind of component, and the way up that EXIF says.

use image::RgbImage;
use testing::fixtures::{self as made, JpegLayout, adobe_segment, exif_segment, jpeg_as, jpeg_segment, ycbcr};

use super::{NEAR, assert_shows, drawn, examine, inks, luma_and_chroma, palette_tiles, tiles};
use crate::domain::media::CoverColour;

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
