//! Tests zeros before, between and behind the frames: padding is harmless, and zeros in place of sound are missed.

use testing::fixtures::{self as made, case};

use super::{
    FRAME_BYTES, FRAME_SAMPLES, ape, boundaries, examined, id3v1, id3v2, info_frame, length, noise, refusal, song,
    validated,
};

/// Bytes of padding: a byte, a sector, blocks of a disk, and more than any search reads.
const ZEROS: [usize; 6] = [1, 2048, 8192, 32_000, 32_768, 100_000];
/// Maximum zeros behind the last frame, and in front of a tag, if no count shows that the frames are all there.
const MAX_AT_END: usize = 4096;
/// Maximum zeros in front of the first frame.
const MAX_IN_FRONT: usize = 65_536;
/// Bytes of a block of a disk.
const BLOCK: usize = 4096;

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

/// Builds frames of 44.1 kHz, stereo, that borrow nothing from each other and of which the encoder filled the rest with
/// `fill`. `bit_rates` are the indices of the bit rates, in turn.
fn filled_frames(count: usize, bit_rates: &[u8], fill: u8) -> Vec<u8> {
    /// Bytes of sound, of each of the four parts of a frame.
    const PART_BYTES: usize = 20;
    const KBITS: [usize; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
    let mut file = vec![];
    let mut asked = 0.0;
    for index in bit_rates.iter().cycle().take(count) {
        let exact = 144_000.0 * KBITS[usize::from(*index)] as f64 / 44_100.0;
        asked += exact;
        let has_padding = asked - file.len() as f64 > exact.floor() + 0.5;
        let end = file.len() + exact as usize + usize::from(has_padding);
        let mut side = [0; 32];
        for bit in
            (0..4).flat_map(|part| (0..12).map(move |bit| (20 + part * 59 + bit, ((PART_BYTES * 8) >> (11 - bit)) & 1)))
        {
            side[bit.0 / 8] |= (bit.1 as u8) << (7 - bit.0 % 8);
        }
        file.extend([0xFF, 0xFB, index << 4 | u8::from(has_padding) << 1, 0x64]);
        file.extend(side);
        file.extend([0x55; 4 * PART_BYTES]);
        file.resize(end, fill);
    }
    file
}

/// Songs whose last bytes look like those of the encoders that leave most traces and fewest: LAME fills frames with its
/// name and 0x55, or with zeros if frames may not borrow (`--nores`). With constant and with variable bit rates.
fn filled_songs() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("320 kbit/s", filled_frames(110, &[14], 0x55)),
        ("320 kbit/s, zeros", filled_frames(110, &[14], 0)),
        ("192 kbit/s, zeros", filled_frames(60, &[11], 0)),
        ("128 kbit/s", filled_frames(60, &[9], 0x55)),
        ("variable", filled_frames(60, &[11, 9, 10, 14, 9, 5], 0x55)),
        ("variable, zeros", filled_frames(60, &[11, 9, 10, 14, 9, 5], 0)),
        ("64 kbit/s of LAME", song()),
        ("variable, of LAME", case("mp3_vbr_without_xing.mp3")),
    ]
}

#[test]
fn a_hole_from_any_block_to_the_end_is_missed() {
    for (name, song) in filled_songs() {
        let expected = length(&song);
        for (tag, is_lost) in [(vec![], false), (id3v1(), true), (ape(true), false), (id3v2(77), true)] {
            let end = song.len() + if is_lost { tag.len() } else { 0 };
            for start in (BLOCK..song.len()).step_by(BLOCK) {
                let mut file = [song.as_slice(), &tag].concat();
                file[start..end].fill(0);
                match validated(&file) {
                    Ok(header) if is_lost && tag.len() != 128 => {
                        // Padding may have this length, and so may a tag and a few frames.
                        assert!(end - start <= MAX_AT_END, "{name}, {start}: {:?} of {expected}", header.frames);
                    }
                    // Less than a frame is missing.
                    Ok(header) => assert_eq!(header.frames.unwrap(), expected, "{name}, {start}"),
                    said => {
                        let said = refusal(said);
                        assert!(said.contains("incomplete: its end is missing"), "{name}, {start}: {said}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_hole_in_front_of_a_constant_bit_rate_is_missed() {
    for (name, song) in filled_songs().into_iter().filter(|(name, _)| !name.contains("variable")) {
        for end in (BLOCK..song.len() - 6000).step_by(BLOCK) {
            let mut file = song.clone();
            file[..end].fill(0);
            assert!(refusal(validated(&file)).contains("its beginning is missing"), "{name}, {end}");
        }
    }
    // 98 frames have the length of 25 blocks.
    let mut file = filled_frames(110, &[14], 0);
    assert_eq!(boundaries(&file)[98], 25 * BLOCK);
    file[..25 * BLOCK].fill(0);
    assert!(refusal(validated(&file)).contains("its beginning is missing"));
    // An info frame behind as many zeros shows that they are padding.
    let song = song();
    let tag = info_frame(b"Info", 1, &[155], None);
    assert_eq!(length(&[vec![0; 25 * BLOCK], tag, song.clone()].concat()), (155 + 1) * FRAME_SAMPLES);
}

#[test]
fn a_piece_of_a_song_may_stand_behind_padding() {
    // The frames of this song borrow up to 511 bytes from the frames before them.
    let whole = case("mp3_ms_with_different_block_types.mp3");
    let boundaries = boundaries(&whole);
    for frame in [1, 5, 9, 20] {
        let piece = &whole[boundaries[frame]..];
        for file in [[vec![0; 700].as_slice(), piece].concat(), [id3v2(300).as_slice(), &[0; 700], piece].concat()] {
            assert_eq!(length(&file), (116 - frame as u64) * FRAME_SAMPLES, "{frame}");
        }
    }
    let song = song();
    assert_eq!(length(&[vec![0; 2048], noise(300), song].concat()), 155 * FRAME_SAMPLES);
}

#[test]
fn a_single_frame_behind_padding_is_sound() {
    let song = song();
    let last = boundaries(&song)[154];
    let padded = [&song[..last], &[0; 1000], &song[last..]].concat();
    assert_eq!(length(&padded), 155 * FRAME_SAMPLES);
    assert_eq!(length(&[padded, id3v1()].concat()), 155 * FRAME_SAMPLES);
}

#[test]
fn zeros_behind_an_info_frame_are_padding() {
    let song = song();
    let tag = info_frame(b"Info", 1, &[155], None);
    assert_eq!(length(&[tag.as_slice(), &[0; 1000], &song].concat()), 155 * FRAME_SAMPLES);
    // In place of the first frames, they are a hole.
    let hole = vec![0; boundaries(&song)[7]];
    let said = refusal(validated(&[tag.as_slice(), &hole, &song[hole.len()..]].concat()));
    assert!(said.contains("damaged: at 0:00"), "{said}");
}

#[test]
fn frames_of_digital_silence_are_whole() {
    let silence = [b"\xFF\xFB\x90\x64".as_slice(), &[0; 413]].concat().repeat(20);
    for count in [1000, 3000] {
        let zeros = vec![0; count];
        assert_eq!(length(&[silence.as_slice(), &zeros, &silence].concat()), 40 * FRAME_SAMPLES);
        assert_eq!(length(&[silence.as_slice(), &zeros].concat()), 20 * FRAME_SAMPLES);
    }
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
                let is_in_front = file.starts_with(&zeros) || name == "behind a tag";
                let is_behind = name != "in front of a tag" && name != "in front" && name != "behind a tag";
                if is_in_front && count > MAX_IN_FRONT {
                    assert!(refusal(validated(&file)).contains("its beginning is missing"), "{count} {name}");
                } else if is_behind && count > MAX_AT_END {
                    assert!(refusal(validated(&file)).contains("its end is missing"), "{count} {name}");
                } else {
                    assert_eq!(length(&file), expected, "{count} {name}");
                }
                if count == 2048 && name == "on all sides" {
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
                    if count > MAX_AT_END && between.ends_with(&id3v1()) {
                        assert!(refusal(validated(&file)).contains("damaged: at 0:"), "{count} at frame {at}");
                        continue;
                    }
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
    for count in ZEROS {
        for behind in [vec![0; count], [vec![0; count], id3v1()].concat(), [vec![0; count], id3v2(77)].concat()] {
            assert_eq!(length(&[tag.as_slice(), &song, &behind].concat()), 155 * FRAME_SAMPLES, "{count}");
            let less = &song[..song.len() - 20 * (FRAME_BYTES + 1)];
            let less = &less[..boundaries(&song).into_iter().rfind(|end| *end <= less.len()).unwrap()];
            let file = [tag.as_slice(), less, &behind].concat();
            if count > MAX_AT_END {
                assert!(refusal(validated(&file)).contains("its end is missing"), "{count}");
            }
        }
    }
}
