//! Tests that kinds of MPEG audio that we refuse are called by their names.

use testing::fixtures::case;

use super::{id3v2, refusal, song, validated};

#[test]
fn a_change_in_the_middle_is_called_by_its_name() {
    let song = song();
    let stereo = case("mp3_ms_with_different_block_types.mp3");
    // Frames of 48 kHz, of 22.05 kHz, and of layer II.
    let other = |head: [u8; 4], bytes: usize| [head.as_slice(), &vec![0; bytes - 4]].concat().repeat(5);
    for more in [
        stereo,
        other([0xFF, 0xFB, 0x54, 0xC4], 192),
        other([0xFF, 0xF3, 0x80, 0xC4], 208),
        other([0xFF, 0xFD, 0xA0, 0xC4], 626),
    ] {
        for between in [vec![], id3v2(20)] {
            let said = refusal(validated(&[song.as_slice(), &between, &more].concat()));
            assert!(said.contains("At 0:04") && said.contains("change") && !said.contains("damaged"), "{said}");
        }
    }
}

#[test]
fn kinds_that_are_not_taken_are_called_by_their_names() {
    let stream = |head: [u8; 4], bytes: usize| [head.as_slice(), &vec![0; bytes - 4]].concat().repeat(40);
    for (file, name) in [
        (stream([0xFF, 0xFB, 0x00, 0x64], 700), "free format"),
        (stream([0xFF, 0xFB, 0x00, 0xC4], 1800), "free format"),
        (stream([0xFF, 0xFD, 0xA0, 0x64], 626), "layer I or II"),
        (stream([0xFF, 0xFF, 0x10, 0x64], 32), "layer I or II"),
        (stream([0xFF, 0xF3, 0x80, 0x64], 208), "22.05 kHz"),
        (stream([0xFF, 0xE3, 0x10, 0x64], 52), "11.025 kHz"),
        (stream([0xFF, 0xFB, 0x18, 0xC4], 144), "32 kHz"),
    ] {
        for file in [file.clone(), [id3v2(100), file].concat()] {
            let said = refusal(validated(&file));
            assert!(said.contains(name), "{name}: {said}");
        }
    }
}

#[test]
fn quiet_samples_without_a_header_are_no_mpeg() {
    // Small negative numbers in 24 bit: the bytes of two samples look like a header of layer I in free format.
    for low in [0x00, 0x04, 0x08] {
        let said = refusal(validated(&[low, 0xFF, 0xFF].repeat(20_000)));
        assert_eq!(said, crate::domain::media::UNKNOWN_AUDIO);
    }
}
