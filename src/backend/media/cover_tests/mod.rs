//! Tests that the thumbnails of covers, as people make them, show what a browser shows of the file.

mod components;
mod damage;
mod profiles;
mod undecodable;

use std::io::Cursor;

use image::{Rgb, RgbImage};
use testing::fixtures::{self as made, JpegLayout, jpeg_as, ycbcr};

use super::{Deadline, MediaError, examine_cover};
use crate::domain::media::CoverFacts;

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

/// Returns inks as Adobe writes them: 255 is no ink.
fn inks([red, green, blue]: [u8; 3]) -> [u8; 4] {
    [red, green, blue, 255]
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
