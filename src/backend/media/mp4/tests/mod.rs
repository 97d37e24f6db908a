//! Tests which parts of an M4A are heard, and what its facts say.

mod fragments;

use symphonia::core::{checksum::Md5, io::Monitor};
use testing::fixtures::{self as made, case};

use super::*;
use crate::{
    backend::media::{Deadline, MediaError, examine_audio, validate_audio},
    domain::media::{AudioFacts, MediaLimits},
};

const SECONDS: f64 = 2.0;
const RATE_HZ: u32 = 44_100;
const SAMPLES: u32 = 88_200;
/// Bytes of one sample of both channels: 16 bit, stereo.
const SAMPLE_BYTES: usize = 4;
const WAV_HEADER_BYTES: usize = 44;

fn m4a(in_track: Vec<u8>) -> Vec<u8> {
    made::alac_with(SECONDS, RATE_HZ, 4096, |tables| tables.in_track = in_track)
}

/// Returns the duration of a file before decoding, its facts after decoding, and its listening copy.
fn examined(file: &[u8]) -> Result<(Option<i64>, AudioFacts, Option<Vec<u8>>)> {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("upload"), folder.path().join("copy"));
    std::fs::write(&path, file).unwrap();
    let validated = validate_audio(&path, &MediaLimits::default(), &Deadline::never())?;
    let (facts, _) = examine_audio(&path, &copy, &Deadline::never())?;
    Ok((validated.duration_ms, facts, std::fs::read(copy).ok()))
}

fn refusal(file: &[u8]) -> String {
    match examined(file) {
        Err(MediaError::Refused(refusal)) => refusal.message,
        other => panic!("{other:?}"),
    }
}

/// Returns the MD5 of parts of the song, as a FLAC stores it. None stands for silence.
fn md5_of(parts: &[(Option<usize>, usize)]) -> [u8; 16] {
    let song = &made::wav(SECONDS, RATE_HZ, 16, 1)[WAV_HEADER_BYTES..];
    let mut md5 = Md5::default();
    for (start, samples) in parts {
        match start {
            Some(start) => md5.process_buf_bytes(&song[start * SAMPLE_BYTES..(start + samples) * SAMPLE_BYTES]),
            None => md5.process_buf_bytes(&vec![0; samples * SAMPLE_BYTES]),
        }
    }
    md5.md5()
}

#[test]
fn facts_and_the_copy_follow_the_edit_list_sample_by_sample() {
    let whole = SAMPLES as usize;
    for (edits, heard) in [
        (vec![(SAMPLES, 0)], vec![(Some(0), whole)]),
        (vec![(22_050, 44_100)], vec![(Some(44_100), 22_050)]),
        (vec![(30_000, 1_024), (30_001, 50_000)], vec![(Some(1_024), 30_000), (Some(50_000), 30_001)]),
        (vec![(10_000, -1), (5_000, 4_096)], vec![(None, 10_000), (Some(4_096), 5_000)]),
        (vec![(5_000, 7), (1, -1), (5_000, 5_007)], vec![(Some(7), 5_000), (None, 1), (Some(5_007), 5_000)]),
        // Parts lead back, come twice, and overlap.
        (
            vec![(9_000, 60_000), (9_000, 100), (9_000, 100)],
            vec![(Some(60_000), 9_000), (Some(100), 9_000), (Some(100), 9_000)],
        ),
        (vec![(9_000, 100), (9_000, 8_000)], vec![(Some(100), 9_000), (Some(8_000), 9_000)]),
        // The first part is longer than the sound.
        (vec![(1_000_000, 44_100)], vec![(Some(44_100), whole - 44_100)]),
        (vec![(1_000_000, 44_100), (100, 0)], vec![(Some(44_100), whole - 44_100), (Some(0), 100)]),
    ] {
        let (validated_ms, facts, copy) = examined(&m4a(made::edit_list(&edits))).unwrap();
        let samples: usize = heard.iter().map(|(_, samples)| samples).sum();
        assert_eq!(facts.duration_ms, (samples * 1000 / RATE_HZ as usize) as i64, "{edits:?}");
        assert_eq!(validated_ms, Some(facts.duration_ms), "{edits:?}");
        assert_eq!(copy.unwrap()[26..42], md5_of(&heard), "{edits:?}");
    }
}

#[test]
fn only_the_first_edit_list_of_the_sound_counts() {
    let short = made::edit_list(&[(22_050, 0)]);
    let lists = [short.as_slice(), &made::edit_list(&[(44_100, 0)])].concat();
    assert_eq!(examined(&m4a(lists)).unwrap().1.duration_ms, 500);
    // Another track has one of its own.
    let other = |tables: &mut made::Tables| {
        let header = made::mp4_box(b"tkhd", &[&[0; 84]]);
        tables.in_movie = made::mp4_box(b"trak", &[&header, &short]);
    };
    assert_eq!(examined(&made::alac_with(SECONDS, RATE_HZ, 4096, other)).unwrap().1.duration_ms, 2000);
}

#[test]
fn an_edit_list_that_goes_back_all_the_time_is_refused() {
    let edits: Vec<(u32, i32)> = (0..100).map(|edit| (10, if edit % 2 == 0 { 60_000 } else { 0 })).collect();
    let said = refusal(&m4a(made::edit_list(&edits)));
    assert!(said.contains("We cannot decode this file") && said.contains("too complicated"), "{said}");
    assert!(refusal(&m4a(made::edit_list(&[(u32::MAX, -1), (1, 0)]))).contains("6 hours"));
}

#[test]
fn the_handed_cases_are_what_a_listener_hears() {
    let (validated_ms, facts, copy) = examined(&case("m4a_editlist_plays_3_of_12s.m4a")).unwrap();
    assert_eq!((validated_ms, facts.duration_ms), (Some(3000), 3000));
    let (loudness, peak) = (facts.integrated_lufs.unwrap(), facts.true_peak_dbtp.unwrap());
    assert!((loudness + 24.8).abs() <= 0.1 && (peak + 14.3).abs() <= 0.3, "{loudness} LUFS, {peak} dBTP");
    assert_eq!(copy, None, "every browser cuts off the ends");
    assert!(refusal(&case("mp4_with_mp3.m4a")).contains("MP3"));
}

/// Returns the case with another edit list, in which the first number of each edit counts milliseconds.
fn aac_with(edits: &[(u32, i32)]) -> Vec<u8> {
    let mut file = case("m4a_editlist_plays_3_of_12s.m4a");
    let at = file.windows(4).position(|bytes| bytes == b"edts").unwrap() - 4;
    let (old, new) = (be32(&file, at) as usize, made::edit_list(edits));
    file.splice(at..at + old, new.iter().copied());
    for kind in [b"moov", b"trak"] {
        let at = file.windows(4).position(|bytes| bytes == kind).unwrap() - 4;
        let size = be32(&file, at) + new.len() as u32 - old as u32;
        file[at..at + 4].copy_from_slice(&size.to_be_bytes());
    }
    file
}

#[test]
fn what_not_every_browser_makes_of_an_aac_is_made_in_its_copy() {
    for (edits, milliseconds, is_copied) in [
        (vec![(12_000, 1024)], 12_000, false),
        (vec![(2_000, 1024), (1_000, 220_500)], 3_000, true),
        (vec![(500, -1), (2_000, 1024)], 2_500, true),
        (vec![(20_000, 441_000)], 2_023, false),
    ] {
        let (_, facts, copy) = examined(&aac_with(&edits)).unwrap();
        assert!(facts.duration_ms.abs_diff(milliseconds) <= 24, "{edits:?}: {} ms", facts.duration_ms);
        assert_eq!((facts.has_listening_copy, copy.is_some()), (is_copied, is_copied), "{edits:?}");
    }
}

#[test]
fn pictures_beside_the_sound_are_no_film() {
    let with = |pictures: Vec<u8>, in_track: Vec<u8>| {
        made::alac_with(SECONDS, RATE_HZ, 4096, |tables| (tables.in_movie, tables.in_track) = (pictures, in_track))
    };
    let chapters = made::mp4_box(b"tref", &[&made::mp4_box(b"chap", &[&2_u32.to_be_bytes()])]);
    for (pictures, in_track) in [
        (made::picture_track(2, b"jpeg", true), vec![]),
        (made::picture_track(2, b"png ", true), vec![]),
        (made::picture_track(2, b"avc1", false), vec![]),
        (made::picture_track(2, b"avc1", true), chapters.clone()),
    ] {
        assert_eq!(examined(&with(pictures, in_track)).unwrap().1.duration_ms, 2000);
    }
    assert!(refusal(&with(made::picture_track(2, b"avc1", true), vec![])).contains("video"));
    assert!(refusal(&with(made::picture_track(3, b"avc1", true), chapters)).contains("video"));
}

#[test]
fn one_of_several_sounds_is_never_taken_for_the_whole() {
    let file = m4a(vec![]);
    let at = file.windows(4).position(|bytes| bytes == b"trak").unwrap() - 4;
    let track = file[at..at + be32(&file, at) as usize].to_vec();
    let twice = made::alac_with(SECONDS, RATE_HZ, 4096, |tables| tables.in_movie = track.clone());
    assert!(refusal(&twice).contains("several sound tracks"));
    // Bit 0 of the flags declares that the track is presented.
    let mut disabled = track;
    disabled[19] &= 0xFE;
    let alternative = made::alac_with(SECONDS, RATE_HZ, 4096, |tables| tables.in_movie = disabled);
    assert_eq!(examined(&alternative).unwrap().1.duration_ms, 2000);
}

/// Returns the range of each packet.
fn packets(file: &[u8]) -> Vec<Range<u64>> {
    let mut source = Source::new(std::io::Cursor::new(file.to_vec()), &Deadline::never()).unwrap();
    let layout = header(&mut source).unwrap().samples;
    let mut packets = layout.packets;
    std::iter::from_fn(|| packets.next(&mut source).unwrap()).collect()
}

#[test]
fn alac_that_is_packed_is_heard_as_if_it_were_not() {
    let (_, facts, copy) = examined(&made::alac_packed(SECONDS, RATE_HZ)).unwrap();
    assert_eq!(facts.duration_ms, 2000);
    assert_eq!(copy.unwrap()[26..42], md5_of(&[(Some(0), SAMPLES as usize)]));
}

#[test]
fn a_hole_in_alac_is_damage_with_its_place() {
    let noise: Vec<u8> = (0..400_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for file in [made::alac_packed(SECONDS, RATE_HZ), m4a(vec![])] {
        let packets = packets(&file);
        for (number, place) in packets.iter().enumerate().step_by(7) {
            let (start, end) = (place.start as usize, place.end as usize);
            let seconds = crate::domain::media::format_duration((number * 4096 * 1000 / 44_100) as i64);
            let mut holes = vec![(start, vec![0; end - start]), (start, noise.clone()), (end - 200, vec![0; 200])];
            if file != m4a(vec![]) {
                // Any bytes are valid in the parts of a packet that are not compressed.
                let middle = (start + end) / 2;
                holes.extend([(middle, vec![0; 100]), (middle, vec![0xFF; 100]), (middle, noise[..100].to_vec())]);
            }
            for (at, hole) in holes {
                let mut damaged = file.clone();
                damaged[at..at + hole.len()].copy_from_slice(&hole);
                let said = refusal(&damaged);
                assert!(said.contains(&format!("damaged: the sound at {seconds} ")), "{number}, {at}: {said}");
            }
        }
    }
}

#[test]
fn a_hole_in_aac_is_damage_with_its_place() {
    let file = aac_with(&[(12_000, 1024)]);
    examined(&file).unwrap();
    let packets = packets(&file);
    for number in [1, 100, 300] {
        let place = &packets[number];
        let (start, end) = (place.start as usize, place.end as usize);
        let seconds = crate::domain::media::format_duration((number * 1024 * 1000 / 44_100) as i64);
        let mut cut_short = vec![0xE0];
        cut_short.resize(end - start, 0);
        for hole in [vec![0; end - start], vec![0; (end - start) / 2], cut_short] {
            let mut damaged = file.clone();
            damaged[end - hole.len()..end].copy_from_slice(&hole);
            let said = refusal(&damaged);
            assert!(said.contains(&format!("damaged: the sound at {seconds} ")), "{number}, {}: {said}", hole.len());
        }
    }
}

/// Returns a file with its packets changed, behind the old ones.
fn with_packets(file: &[u8], change: impl Fn(usize, &[u8]) -> Vec<u8>) -> Vec<u8> {
    let (mut changed, mut media) = (file.to_vec(), vec![]);
    let at = |kind: &[u8; 4]| file.windows(4).rposition(|bytes| bytes == kind).unwrap() + 4;
    let (sizes, chunks) = (at(b"stsz") + 12, at(b"stco") + 8);
    for (number, place) in packets(file).iter().enumerate() {
        let packet = change(number, &file[place.start as usize..place.end as usize]);
        let moved_to = (file.len() + 8 + media.len()) as u32;
        let chunk = (0..be32(file, chunks - 4) as usize).map(|chunk| chunks + chunk * 4);
        for chunk in chunk.filter(|chunk| u64::from(be32(file, *chunk)) == place.start) {
            changed[chunk..chunk + 4].copy_from_slice(&moved_to.to_be_bytes());
        }
        changed[sizes + number * 4..][..4].copy_from_slice(&(packet.len() as u32).to_be_bytes());
        media.extend(packet);
    }
    changed.extend(made::mp4_box(b"mdat", &[&media]));
    changed
}

#[test]
fn zeros_behind_a_packet_are_padding_in_any_amount() {
    let padded = |count: usize| move |_: usize, packet: &[u8]| [packet, &vec![0; count]].concat();
    for file in [aac_with(&[(12_000, 1024)]), made::alac_packed(SECONDS, RATE_HZ), m4a(vec![])] {
        let (_, expected, _) = examined(&file).unwrap();
        for count in [1, 16, 17, 100, 2000] {
            let (_, facts, _) =
                examined(&with_packets(&file, padded(count))).unwrap_or_else(|error| panic!("{count}: {error}"));
            assert_eq!(facts, expected, "{count}");
        }
        // Encoders of a constant bit rate fill up the packets that need less.
        let filled = with_packets(&file, |number, packet| [packet, &vec![0; number * 7 % 90]].concat());
        assert_eq!(examined(&filled).unwrap().1, expected);
        // The padding does not hide a hole in front of it.
        for hole in [30, 60] {
            let damaged = with_packets(&file, |number, packet| match number {
                10 => [&packet[..packet.len() - hole], &vec![0; hole + 100]].concat(),
                _ => packet.to_vec(),
            });
            assert!(refusal(&damaged).contains("damaged: the sound at 0:0"), "{hole}");
        }
    }
}

#[test]
fn a_hole_in_aac_that_leaves_what_looks_like_an_end_is_damage() {
    // Half a second is heard.
    let file = aac_with(&[(500, 1024)]);
    // Three ones, and zeros up to the end.
    let looks_like_end = |part: &[u8]| {
        let bits = part[part.len() - 2..].iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        bits.trailing_zeros() < 8 && bits >> bits.trailing_zeros() & 0b111 == 0b111
    };
    let mut holes = 0;
    for (number, place) in packets(&file).iter().enumerate().take(20).skip(2) {
        let (start, end) = (place.start as usize, place.end as usize);
        for left in (start + 30..end - 20).filter(|left| looks_like_end(&file[start..*left])) {
            let mut damaged = file.clone();
            damaged[left..end].fill(0);
            let said = refusal(&damaged);
            assert!(said.contains("damaged: the sound at 0:0"), "{number}, {left}: {said}");
            holes += 1;
        }
    }
    assert!(holes > 100, "{holes} holes");
}

#[test]
fn headers_in_front_of_packets_are_called_by_their_name() {
    let file = with_packets(&aac_with(&[(12_000, 1024)]), |_, packet| {
        let length = packet.len() + 7;
        let [high, middle, low] = [length >> 11, length >> 3, length << 5].map(|part| part as u8);
        [[0xFF, 0xF1, 0x50, 0x40 | high, middle, low | 0x1F, 0xFC].as_slice(), packet].concat()
    });
    let said = refusal(&file);
    assert!(said.contains("We cannot decode this file") && said.contains("ADTS"), "{said}");
}

#[test]
fn alac_without_its_end_tag_is_heard_whole() {
    // The end tag is three ones, perhaps in two bytes.
    let file = made::alac_packed(SECONDS, RATE_HZ);
    let without_end = with_packets(&file, |_, packet| {
        let mut packet = packet.to_vec();
        let last = packet.len() - 1;
        let bits = u16::from_be_bytes([packet[last - 1], packet[last]]);
        let end = bits.trailing_zeros();
        packet[last - 1..].copy_from_slice(&(bits & !(0b111 << end)).to_be_bytes());
        packet.truncate(if end + 3 >= 8 { last } else { last + 1 });
        packet
    });
    let (_, facts, copy) = examined(&without_end).unwrap();
    assert_eq!(facts.duration_ms, 2000);
    assert_eq!(copy.unwrap()[26..42], md5_of(&[(Some(0), SAMPLES as usize)]));
}

#[test]
fn a_packet_of_alac_with_another_length_is_damaged() {
    let shorter = made::alac_with(SECONDS, RATE_HZ, 4096, |tables| {
        tables.sizes[3] -= 1;
        tables.sizes[4] += 1;
    });
    assert!(refusal(&shorter).contains("damaged: the sound at 0:00 "));
    // The first of these packets takes a part of the second.
    let longer = made::alac_with(SECONDS, RATE_HZ, 4096, |tables| {
        tables.sizes[15] += 9;
        tables.sizes[16] -= 9;
    });
    assert!(refusal(&longer).contains("damaged: the sound at 0:01 "));
    // The header declares another number of samples for each packet.
    let mut smaller = m4a(vec![]);
    let cookie = smaller.windows(4).rposition(|bytes| bytes == b"alac").unwrap() + 8;
    smaller[cookie..cookie + 4].copy_from_slice(&4095_u32.to_be_bytes());
    assert!(refusal(&smaller).contains("damaged: the sound at 0:00 "));
}
