//! Tests covers: their facts, their thumbnails, and what is refused.

use std::io::Cursor;

use testing::fixtures as made;

use super::{cover_refusal, refusal, spool};
use crate::{
    backend::media::{Deadline, examine_cover, validate_cover},
    domain::media::{CoverColour, CoverFormat, MediaLimits},
};

#[test]
fn a_cover_is_measured_and_scaled() {
    for (bytes, format, edges) in [
        (made::cover_png(1800, 4), CoverFormat::Png, vec![160, 640, 1600]),
        (made::cover_jpeg(1800, 5), CoverFormat::Jpeg, vec![160, 640, 1600]),
        (made::cover_png(1000, 6), CoverFormat::Png, vec![160, 640, 1000]),
        (made::cover_jpeg(640, 7), CoverFormat::Jpeg, vec![160, 640]),
    ] {
        let spooled = spool(&bytes);
        let validated =
            validate_cover(&spooled.path, &MediaLimits::default(), &Deadline::never()).expect("the cover is accepted");
        assert_eq!(validated.content_type, format.content_type());
        let (facts, thumbnails) = examine_cover(&spooled.path, &Deadline::never()).expect("the cover decodes");
        assert_eq!(facts, validated.facts);
        assert_eq!((facts.format, facts.colour, facts.has_alpha), (format, CoverColour::Rgb, false));
        assert_eq!(thumbnails.iter().map(|thumbnail| thumbnail.edge_px).collect::<Vec<_>>(), edges);
        for thumbnail in thumbnails {
            let picture = image::load_from_memory(&thumbnail.jpeg).expect("a thumbnail is a JPEG");
            assert_eq!((picture.width() as i32, picture.height() as i32), (thumbnail.edge_px, thumbnail.edge_px));
        }
    }
}

#[test]
fn covers_in_every_colour_have_thumbnails() {
    let picture = image::load_from_memory(&made::cover_png(700, 8)).expect("a cover");
    for (converted, colour, bits, has_alpha) in [
        (image::DynamicImage::from(picture.to_luma8()), CoverColour::Grayscale, 8, false),
        (picture.to_luma_alpha16().into(), CoverColour::Grayscale, 16, true),
        (picture.to_rgba8().into(), CoverColour::Rgb, 8, true),
        (picture.to_rgb16().into(), CoverColour::Rgb, 16, false),
    ] {
        let mut bytes = Cursor::new(Vec::new());
        converted.write_to(&mut bytes, image::ImageFormat::Png).expect("writing to memory cannot fail");
        let (facts, thumbnails) =
            examine_cover(&spool(bytes.get_ref()).path, &Deadline::never()).expect("the cover decodes");
        assert_eq!((facts.colour, facts.bits_per_channel, facts.has_alpha), (colour, bits, has_alpha));
        assert_eq!(thumbnails.len(), 3);
    }
}

#[test]
fn what_was_transparent_becomes_white() {
    let glass = image::RgbaImage::from_pixel(640, 640, image::Rgba([200, 0, 0, 0]));
    let mut bytes = Cursor::new(Vec::new());
    glass.write_to(&mut bytes, image::ImageFormat::Png).expect("writing to memory cannot fail");
    let (_, thumbnails) = examine_cover(&spool(bytes.get_ref()).path, &Deadline::never()).expect("the cover decodes");
    let smallest = image::load_from_memory(&thumbnails[0].jpeg).expect("a thumbnail is a JPEG").into_rgb8();
    assert!(smallest.pixels().all(|pixel| pixel.0.iter().all(|value| *value > 250)));
}

#[test]
fn covers_that_would_harm_are_refused_by_their_header() {
    assert!(cover_refusal(&made::png_declaring(65_535, 65_535)).1.contains("6000"));
    assert!(cover_refusal(&made::png_declaring(u32::MAX, u32::MAX)).1.contains("6000"));
    assert!(cover_refusal(&made::animated_png(&made::cover_png(700, 1))).1.contains("animated"));
    assert!(cover_refusal(&made::picture_png(1600, 900, 1)).1.contains("square"));
    assert!(cover_refusal(&made::cover_png(300, 1)).1.contains("640"));

    let plain = made::cover_png(700, 1);
    let carrying = |kind: &[u8; 4], bytes: u32| {
        let mut bomb = [&plain[..33], &bytes.to_be_bytes(), kind].concat();
        bomb.resize(bomb.len() + bytes as usize + 4, 0);
        bomb.extend(&plain[33..]);
        cover_refusal(&bomb).1
    };
    assert!(carrying(b"eXIf", 9 << 20).contains("other data"));
    assert!(carrying(b"zTXt", 2 << 20).contains("profiles and texts"));
}

#[test]
fn a_picture_without_the_pixels_that_its_header_promises_is_refused() {
    // The header promises 3,000 × 3,000 pixels, and the stream behind it is broken.
    let spooled = spool(&made::png_declaring(3000, 3000));
    validate_cover(&spooled.path, &MediaLimits::default(), &Deadline::never()).expect("its header is fine");
    assert_eq!(refusal(examine_cover(&spooled.path, &Deadline::never())).kind.status(), 422);
}
