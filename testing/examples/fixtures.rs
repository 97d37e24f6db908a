//! Writes the media files that the end-to-end tests upload: `cargo run -p testing --example fixtures -- <folder>`.

use std::{error::Error, fs, path::PathBuf};

use testing::fixtures as made;

const SEED: u64 = 21;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: fixtures <folder>")?);
    fs::create_dir_all(&folder)?;

    let song = made::wav(8.0, 44_100, 16, SEED);
    let flac = made::flac(8.0, 44_100, 16, SEED + 1, "Night Bus");
    // The file is long, so that it can be submitted before its examination reaches the damage.
    let long_flac = made::flac(180.0, 44_100, 16, SEED + 6, "Broken Glass");
    let files = [
        ("truncated.wav", made::truncated(&song)),
        ("song.wav", song),
        ("damaged.flac", made::damaged_in_the_middle(&long_flac)),
        ("song.flac", flac),
        ("song.mp3", made::mp3(8.0, 44_100, SEED + 2, "Early Ferry")),
        ("song.m4a", made::alac(8.0, 44_100, SEED + 3, "Last Tram")),
        ("song.aiff", made::aiff(8.0, 48_000, 24, SEED + 4)),
        ("long.wav", made::wav(60.0, 44_100, 16, SEED + 5)),
        ("text-called.wav", b"These are words, whatever the name says.\n".repeat(40)),
        ("cover.png", made::cover_png(3000, SEED)),
        ("cover.jpg", made::cover_jpeg(3000, SEED + 1)),
        ("cover-small.png", made::cover_png(1000, SEED + 2)),
        ("cover-tiny.png", made::cover_png(300, SEED + 3)),
        ("cover-oblong.png", made::picture_png(1600, 900, SEED + 4)),
        ("cover-animated.png", made::animated_png(&made::cover_png(1000, SEED + 5))),
        ("cover-huge.png", made::png_declaring(65_535, 65_535)),
        ("not-a-cover.png", made::svg()),
    ];
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
