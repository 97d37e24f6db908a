//! Tests that covers that we cannot decode are refused by their kind, and are not called damaged.

use testing::fixtures::{self as made, JpegLayout};

use super::{drawn, inks, luma_and_chroma, message};

#[test]
fn a_jpeg_that_our_decoder_stumbles_over_is_not_called_damaged() {
    // Chroma has half as many blocks across as luma, and an odd number of them. jpeg-decoder 0.3.2 counts another
    // number of them between markers.
    let layout = JpegLayout { restart_interval: 7, ..JpegLayout::non_interleaved(655, &[(4, 1), (2, 1), (1, 1)]) };
    assert!(message(&drawn(&layout, luma_and_chroma)).contains("We cannot decode"));
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
