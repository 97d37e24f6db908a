//! Tests zeros before, between and behind the frames: padding is harmless, and zeros in place of sound are missed.

use testing::fixtures::{self as made, case};

use super::{FRAME_SAMPLES, boundaries, examined, id3v1, id3v2, info_frame, length, noise, refusal, song, validated};

/// Bytes of padding: a byte, a sector, blocks of a disk, and more than any search reads.
const ZEROS: [usize; 6] = [1, 2048, 8192, 32_000, 32_768, 100_000];

/// Songs of some encoders: LAME with a constant and with a variable bit rate, and Shine, which fills frames with zeros.
fn songs() -> Vec<Vec<u8>> {
    let shine = made::mp3(2.0, 44_100, 1, "x");
    let start = boundaries(&shine)[0];
    vec![
        song(),
        case("mp3_vbr_without_xing.mp3"),
        case("mp3_ms_with_different_block_types.mp3"),
        shine[start..].to_vec(),
    ]
}

#[test]
fn zeros_in_front_and_behind_are_harmless() {
    for song in songs() {
        let expected = length(&song);
        let facts = examined(&song).unwrap();
        for count in ZEROS {
            let zeros = vec![0; count];
            for (name, file) in [
                ("in front", [zeros.as_slice(), &song].concat()),
                ("behind a tag", [id3v2(500).as_slice(), &zeros, &song].concat()),
                ("in front of a tag", [zeros.as_slice(), &id3v2(500), &song].concat()),
                ("at the end", [song.as_slice(), &zeros].concat()),
                ("in front of the last tag", [song.as_slice(), &zeros, &id3v1()].concat()),
                ("on all sides", [zeros.as_slice(), &song, &zeros, &id3v2(77), &zeros].concat()),
            ] {
                assert_eq!(length(&file), expected, "{count} {name}");
                if count == 32_768 && name == "on all sides" {
                    assert_eq!(examined(&file).unwrap(), facts, "{name}");
                }
            }
        }
    }
}

#[test]
fn zeros_between_frames_are_harmless_and_the_sound_goes_on() {
    for song in songs() {
        let (boundaries, expected) = (boundaries(&song), length(&song));
        let last = boundaries.len() - 1;
        let facts = examined(&song).unwrap();
        for count in ZEROS {
            // Four frames in a row identify the file as an MP3.
            for at in [4, last / 3, last / 2, last - 1] {
                let (before, behind) = song.split_at(boundaries[at]);
                for between in [vec![0; count], [vec![0; count], id3v1()].concat(), [id3v2(9), vec![0; count]].concat()]
                {
                    let file = [before, &between, behind].concat();
                    assert_eq!(length(&file), expected, "{count} at frame {at}");
                    if count == 8192 && between.len() == count {
                        assert_eq!(examined(&file).unwrap(), facts, "at frame {at}");
                    }
                }
            }
        }
        let joined = [song.as_slice(), &[0; 32_768], &song].concat();
        assert_eq!(length(&joined), 2 * expected);
    }
}

#[test]
fn zeros_in_place_of_sound_are_missed_wherever_they_are() {
    let song = case("mp3_vbr_without_xing.mp3");
    let boundaries = boundaries(&song);
    for at in [10, 50, 100] {
        // In the middle of a frame, where a block of a disk begins.
        let start = boundaries[at] + 60;
        for count in [5000, 28_672] {
            let mut hole = song.clone();
            hole[start..start + count].fill(0);
            let said = refusal(validated(&hole));
            assert!(said.contains("damaged: at 0:0"), "{at}, {count}: {said}");
        }
        let mut rest = song.clone();
        rest[start..].fill(0);
        assert!(refusal(validated(&rest)).contains("its end is missing"), "{at}");
        assert!(refusal(validated(&[rest, id3v1()].concat())).contains("its end is missing"), "{at}");
        let mut beginning = song.clone();
        beginning[..start].fill(0);
        assert!(refusal(validated(&beginning)).contains("its beginning is missing"), "{at}");
        // The hole ends where a frame begins that borrows bytes from the ones before.
        let mut aligned = song.clone();
        aligned[..boundaries[at]].fill(0);
        assert!(refusal(validated(&aligned)).contains("its beginning is missing"), "{at}");
    }
    // Whole frames of a constant bit rate were overwritten.
    let song = super::song();
    let boundaries = super::boundaries(&song);
    for (from, to) in [(20, 21), (20, 50), (7, 150)] {
        let mut hole = song.clone();
        hole[boundaries[from]..boundaries[to]].fill(0);
        assert!(refusal(validated(&hole)).contains("damaged: at 0:0"), "{from}..{to}");
        hole[boundaries[from]..].fill(0);
        assert!(refusal(validated(&hole)).contains("its end is missing"), "from {from}");
    }
}

#[test]
fn a_count_shows_that_nothing_is_missing_whatever_stands_behind() {
    let song = song();
    let tag = info_frame(b"Xing", 1, &[155], None);
    let noisy = [song.as_slice(), &noise(3000), &[0; 9000]].concat();
    assert_eq!(length(&[tag.as_slice(), &noisy].concat()), 155 * FRAME_SAMPLES);
}
