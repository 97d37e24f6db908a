//! Tests FLAC files that were cut, overwritten or joined, or that have other bytes behind their end: all of the sound
//! is heard, or the file is refused.

use std::io::Cursor;

use proptest::prelude::*;
use symphonia::core::{
    checksum::{Crc8Ccitt, Crc16Ansi, Md5},
    io::Monitor,
};
use testing::fixtures::{self as made, case};

use super::{frames::Frames, *};
use crate::{
    backend::media::{Deadline, MediaError, Refusal, examine_audio, validate},
    domain::media::{AudioFacts, MediaLimits},
};

const RATE_HZ: u32 = 44_100;
/// Offset of the number of samples in STREAMINFO. It has 36 bits, of which the first four are the lower half of a byte.
const TOTAL_OFFSET: usize = 21;
const MD5_OFFSET: usize = 26;
const INFO_END: usize = 42;

fn song() -> Vec<u8> {
    made::flac(1.5, RATE_HZ, 16, 1, "Night Bus")
}

fn with_total(flac: &[u8], total: u64) -> Vec<u8> {
    let mut flac = flac.to_vec();
    let total = total.to_be_bytes();
    flac[TOTAL_OFFSET] = flac[TOTAL_OFFSET] & 0xF0 | total[3];
    flac[TOTAL_OFFSET + 1..MD5_OFFSET].copy_from_slice(&total[4..]);
    flac
}

/// Removes the length and the MD5, as an encoder leaves a file if it cannot seek back to the beginning.
fn streamed(flac: &[u8]) -> Vec<u8> {
    let mut flac = with_total(flac, 0);
    flac[MD5_OFFSET..INFO_END].fill(0);
    flac
}

/// Returns where each frame begins, and where the last one ends.
fn boundaries(flac: &[u8]) -> Vec<usize> {
    let mut source = Source::new(Cursor::new(flac.to_vec()), &Deadline::never()).unwrap();
    let validate::Samples::Flac(layout) = validate::audio_of(&mut source, &MediaLimits::default()).unwrap().samples
    else {
        panic!("a FLAC has frames")
    };
    let mut boundaries = vec![layout.start as usize];
    let mut frames = Frames::of(&layout, &mut source);
    while let Some((frame, _)) = frames.next().unwrap() {
        boundaries.push(boundaries[boundaries.len() - 1] + frame.len());
    }
    boundaries
}

fn examined(file: &[u8]) -> Result<AudioFacts> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("upload");
    std::fs::write(&path, file).unwrap();
    examine_audio(&path, &folder.path().join("copy"), &Deadline::never()).map(|(facts, _)| facts)
}

fn facts(file: &[u8]) -> AudioFacts {
    examined(file).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(file: &[u8]) -> String {
    match examined(file) {
        Err(MediaError::Refused(Refusal { message, .. })) => message,
        other => panic!("{other:?}"),
    }
}

fn apev2(items: &[u8]) -> Vec<u8> {
    let end = |is_header: bool| {
        let mut end = b"APETAGEX\xD0\x07\0\0".to_vec();
        end.extend((items.len() as u32 + 32).to_le_bytes());
        end.extend(1_u32.to_le_bytes());
        end.extend((0x8000_0000_u32 | u32::from(is_header) << 29).to_le_bytes());
        end.extend([0; 8]);
        end
    };
    [end(true), items.to_vec(), end(false)].concat()
}

/// Bytes that tools append to a file, each with its name.
fn tails() -> Vec<(&'static str, Vec<u8>)> {
    // A binary item may contain any bytes.
    let item =
        [&300_u32.to_le_bytes(), [2, 0, 0, 0].as_slice(), b"Cover Art\0", &[0xFF, 0xF8, 3, 1, 5].repeat(60)].concat();
    let ape = apev2(&item);
    let mut id3v1 = b"TAGNight Bus".to_vec();
    id3v1.resize(128, 0);
    id3v1[126..].copy_from_slice(&[3, 0x0C]);
    let id3v2 = [b"ID3\x04\0\0\0\0\x02\x00".as_slice(), &[7; 256]].concat();
    let lyrics =
        [b"LYRICSBEGININD0000200LYR00030[00:01]Late lines\r\n[00:02]\xE4\xF6\xFC".as_slice(), b"000063LYRICS200"]
            .concat();
    vec![
        ("nothing", vec![]),
        ("a newline", b"\r\n".to_vec()),
        ("text", "Exported by a tool — v1.2, für Ana\n".repeat(900).into_bytes()),
        ("padding", vec![0; 4096]),
        ("APEv2", ape.clone()),
        ("APEv2 without header", ape[32..].to_vec()),
        ("ID3v1", id3v1.clone()),
        ("ID3v2", id3v2.clone()),
        ("Lyrics3", lyrics.clone()),
        ("Lyrics3 and ID3v1", [lyrics.as_slice(), &id3v1].concat()),
        ("APEv2 and ID3v1", [ape.as_slice(), &id3v1].concat()),
        ("padding, ID3v2, a newline and APEv2", [&[0; 100], id3v2.as_slice(), b"\n", &ape].concat()),
    ]
}

#[test]
fn the_handed_cases_are_what_a_listener_hears() {
    for (name, milliseconds, lufs, dbtp) in [
        ("flac_apev2_after.flac", 1500, -24.6, -14.2),
        ("flac_newline_after.flac", 1500, -24.6, -14.2),
        ("flac_32bit_stereo_loud.flac", 500, -8.3, -2.9),
    ] {
        let facts = facts(&case(name));
        assert_eq!(facts.duration_ms, milliseconds, "{name}");
        let (loudness, peak) = (facts.integrated_lufs.unwrap(), facts.true_peak_dbtp.unwrap());
        assert!((loudness - lufs).abs() <= 0.1, "{name}: {loudness} LUFS");
        assert!((peak - dbtp).abs() <= 0.3, "{name}: {peak} dBTP");
    }
    assert!(refusal(&case("flac_unknown_length_cut.flac")).contains("incomplete"));
    let said = refusal(&case("flac_unknown_length_random_tail.flac"));
    assert!(said.contains("damaged") && said.contains("0:0"), "{said}");
}

#[test]
fn tags_text_and_padding_behind_the_last_frame_change_nothing() {
    for (declared, plain) in [("declared", song()), ("unknown", streamed(&song()))] {
        let expected = facts(&plain);
        assert_eq!(expected.duration_ms, 1500);
        for (name, tail) in tails() {
            let file = [plain.as_slice(), &tail].concat();
            assert_eq!(facts(&file), expected, "{name}, {declared} length");
            // The last frame is cut, and the tail is the same.
            let boundaries = boundaries(&plain);
            let cut = [&plain[..boundaries[boundaries.len() - 2] + 40], &tail].concat();
            let said = refusal(&cut);
            assert!(said.contains("incomplete") || said.contains("damaged"), "{name}, {declared} length: {said}");
        }
    }
}

#[test]
fn something_else_behind_the_last_frame_needs_a_declared_length() {
    let noise: Vec<u8> = (0..3000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let expected = facts(&song());
    assert_eq!(facts(&[song(), noise.clone()].concat()), expected);
    let said = refusal(&[streamed(&song()), noise].concat());
    assert!(said.contains("at 0:02 there is data that is not sound"), "{said}");
    // Padding is harmless in any amount, and a download that was never finished is cut in a frame.
    assert_eq!(facts(&[streamed(&song()), vec![0; 200_000]].concat()), expected);
    let mut unfinished = streamed(&song());
    let (at, end) = (boundaries(&unfinished)[4] + 500, unfinished.len());
    unfinished[at..end].fill(0);
    let said = refusal(&[unfinished, vec![0; 200_000]].concat());
    assert!(said.contains("its end is missing"), "{said}");
}

#[test]
fn two_joined_files_are_never_measured_as_the_first() {
    let other = made::flac(1.0, RATE_HZ, 16, 2, "Tram");
    for first in [song(), streamed(&song())] {
        for second in [other.clone(), streamed(&other), other[boundaries(&other)[0]..].to_vec()] {
            assert!(refusal(&[first.as_slice(), &second].concat()).contains("damaged"));
            assert!(refusal(&[first.as_slice(), b"\0\0\n", &second].concat()).contains("damaged"));
        }
    }
}

#[test]
fn two_streams_without_a_length_are_told_to_be_joined() {
    let (first, second) = (streamed(&song()), streamed(&made::flac(1.0, RATE_HZ, 16, 2, "Tram")));
    let tag = [b"ID3\x04\0\0\0\0\0\x07".as_slice(), &[0; 7]].concat();
    for between in [vec![], tag] {
        let said = refusal(&[first.as_slice(), &between, &second].concat());
        assert!(said.contains("after its end at 0:02 other sound begins"), "{said}");
    }
}

#[test]
fn a_piece_that_was_cut_out_lacks_its_beginning_or_its_end() {
    let plain = song();
    let boundaries = boundaries(&plain);
    let head = &plain[..boundaries[0]];
    for (frames, missing) in [(3..boundaries.len() - 1, "beginning"), (3..8, "beginning"), (0..8, "end")] {
        let piece = [head, &plain[boundaries[frames.start]..boundaries[frames.end]]].concat();
        let said = refusal(&piece);
        assert!(said.contains(&format!("incomplete: its {missing} is missing")), "{frames:?}: {said}");
    }
}

#[test]
fn a_declared_length_is_the_length() {
    let frames = 66_150;
    assert!(refusal(&with_total(&song(), frames + 1)).contains("incomplete"));
    let said = refusal(&with_total(&song(), frames - 1));
    assert!(said.contains("more sound in it than its header says"), "{said}");
    let mut unverified = with_total(&song(), frames);
    unverified[MD5_OFFSET..INFO_END].fill(0);
    assert_eq!(facts(&unverified), facts(&song()));
}

#[test]
fn a_hole_between_frames_is_no_music() {
    for plain in [song(), streamed(&song())] {
        let boundaries = boundaries(&plain);
        let (from, to) = (boundaries[5], boundaries[6]);
        for hole in [vec![], vec![0; to - from], b"\n".to_vec()] {
            let said = refusal(&[&plain[..from], &hole, &plain[to..]].concat());
            assert!(said.contains("damaged") && said.contains("at 0:0"), "{said}");
        }
        let said = refusal(&[&plain[..from], &plain[to..]].concat());
        assert!(said.contains("a part of the sound is missing at 0:00"), "{said}");
        // A frame comes twice.
        assert!(refusal(&[&plain[..to], &plain[from..]].concat()).contains("damaged"));
    }
}

#[test]
fn a_stream_may_begin_at_any_number() {
    let plain = streamed(&song());
    let boundaries = boundaries(&plain);
    let recorded = [&plain[..boundaries[0]], &plain[boundaries[3]..]].concat();
    let first_samples = 3 * 4096;
    assert_eq!(facts(&recorded).duration_ms, (66_150 - first_samples) * 1000 / 44_100);
}

#[test]
fn a_file_that_begins_with_a_frame_is_called_by_its_name() {
    let plain = song();
    let boundaries = boundaries(&plain);
    let said = refusal(&plain[boundaries[0]..]);
    assert!(said.contains("FLAC file without its header"), "{said}");
    // The sound begins in the middle, with a frame or with a part of one.
    for start in [boundaries[5], boundaries[5] + 100] {
        let said = refusal(&plain[start..]);
        assert!(said.contains("piece of a FLAC stream") && said.contains("live stream"), "{said}");
    }
}

/// Builds a stereo FLAC of 32 bit without compression. Its channels are coded as left and side (8), side and right (9),
/// or middle and side (10).
fn wide(samples: &[[i32; 2]], assignment: u8) -> Vec<u8> {
    const BLOCK: usize = 4096;
    let mut md5 = Md5::default();
    samples.as_flattened().iter().for_each(|sample| md5.process_buf_bytes(&sample.to_le_bytes()));
    let mut flac = b"fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\0\0\0".to_vec();
    // The sample rate, two channels, 32 bit, and the number of samples.
    let packed = u64::from(RATE_HZ) << 44 | 1 << 41 | 31 << 36 | samples.len() as u64;
    flac.extend(packed.to_be_bytes());
    flac.extend(md5.md5());
    for (number, block) in samples.chunks(BLOCK).enumerate() {
        let mut frame = vec![0xFF, 0xF8, 0x79, assignment << 4 | 0x0E, number as u8];
        frame.extend((block.len() as u16 - 1).to_be_bytes());
        let mut checksum = Crc8Ccitt::new(0);
        checksum.process_buf_bytes(&frame);
        frame.push(checksum.crc());
        let mut bits = String::new();
        for channel in 0..2 {
            let is_side = (assignment == 9) == (channel == 0);
            bits.push_str("00000010");
            for [left, right] in block.iter().map(|pair| pair.map(i64::from)) {
                let value = match (is_side, assignment) {
                    (true, _) => left - right,
                    (_, 8) => left,
                    (_, 9) => right,
                    _ => (left + right) >> 1,
                };
                let width = if is_side { 33 } else { 32 };
                bits.push_str(&format!("{:064b}", value)[64 - width..]);
            }
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('0');
        }
        frame.extend(
            bits.as_bytes().chunks(8).map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap()),
        );
        let mut checksum = Crc16Ansi::new(0);
        checksum.process_buf_bytes(&frame);
        frame.extend(checksum.crc().to_be_bytes());
        flac.extend(frame);
    }
    flac
}

#[test]
fn the_side_channel_of_32_bits_has_33() {
    // The channels are each other's opposite, as far as the numbers reach.
    let samples: Vec<[i32; 2]> = (0..10_000_u32)
        .map(|at| match at {
            0 => [i32::MAX, i32::MIN],
            1 => [i32::MIN, i32::MAX],
            at => {
                let wave = (f64::from(at) * 0.05).sin() * f64::from(i32::MAX);
                [wave as i32, (-wave * 0.999_9) as i32]
            }
        })
        .collect();
    for assignment in [8, 9, 10] {
        // The MD5 of the file shows whether every sample is right.
        let flac = wide(&samples, assignment);
        let wide_facts = facts(&flac);
        assert_eq!((wide_facts.bit_depth, wide_facts.duration_ms), (Some(32), 226));
        assert!(wide_facts.has_listening_copy, "hardly any browser plays 32 bit");
        let mut wrong = flac.clone();
        wrong[MD5_OFFSET] ^= 1;
        assert!(refusal(&wrong).contains("checksum"));
        assert_eq!(facts(&streamed(&flac)), wide_facts);
    }
}

#[test]
fn both_decoders_agree_on_every_frame() {
    for bits in [16, 24] {
        let flac = made::flac(1.5, RATE_HZ, bits, 3, "x");
        let boundaries = boundaries(&flac);
        let mut md5 = Md5::default();
        for place in boundaries.windows(2) {
            let (samples, bytes) = exact::decode(&flac[place[0]..], bits).unwrap();
            assert_eq!(bytes, place[1] - place[0]);
            samples.iter().for_each(|sample| md5.process_buf_bytes(&sample.to_le_bytes()[..usize::from(bits) / 8]));
        }
        assert_eq!(md5.md5(), flac[MD5_OFFSET..INFO_END]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_cut_off_is_missed(is_declared in any::<bool>(), at in any::<prop::sample::Index>()) {
        let plain = if is_declared { song() } else { streamed(&song()) };
        let boundaries = boundaries(&plain);
        let cut = boundaries[0] + 1 + at.index(plain.len() - boundaries[0] - 1);
        let verdict = examined(&plain[..cut]);
        if boundaries.contains(&cut) && !is_declared {
            // Nothing in the file shows that there was more.
            prop_assert!(verdict.is_ok());
        } else {
            let said = verdict.err().map(|error| error.to_string()).unwrap_or_default();
            prop_assert!(said.contains("incomplete"), "{cut}: {said:?}");
        }
    }

    #[test]
    fn whatever_is_overwritten_is_found(
        is_declared in any::<bool>(),
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 1..2000),
    ) {
        let plain = if is_declared { song() } else { streamed(&song()) };
        let start = boundaries(&plain)[0];
        let at = start + at.index(plain.len() - start);
        let mut changed = plain.clone();
        for (to, from) in changed[at..].iter_mut().zip(&bytes) {
            *to = *from;
        }
        if changed != plain {
            let said = examined(&changed).err().map(|error| error.to_string()).unwrap_or_default();
            prop_assert!(said.contains("incomplete") || said.contains("damaged") || said.contains("without"), "{at}: {said:?}");
        }
    }

    #[test]
    fn frames_are_found_wherever_reads_end(blocks in 1_usize..40, seed in any::<u64>()) {
        let plain = made::flac(blocks as f64 * 0.2, RATE_HZ, 16, seed, "x");
        let boundaries = boundaries(&plain);
        prop_assert_eq!(boundaries[boundaries.len() - 1], plain.len());
        prop_assert_eq!(boundaries.len() - 1, (blocks as f64 * 0.2 * 44_100.0).round() as usize / 4096 + 1);
    }
}
