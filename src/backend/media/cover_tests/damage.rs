//! Tests that a JPEG that was cut, lacks a scan or has a hole is refused, and that harmless filling is not.

use testing::fixtures::{JpegLayout, jpeg_as};

use super::{drawn, examine, luma_and_chroma, message};
use crate::backend::media::MediaError;

#[test]
fn a_jpeg_that_is_cut_in_any_of_its_scans_is_incomplete() {
    for layout in [
        JpegLayout::interleaved(640, &[(2, 2), (1, 1), (1, 1)]),
        JpegLayout::non_interleaved(640, &[(2, 2), (1, 1), (1, 1)]),
        JpegLayout { is_progressive: true, ..JpegLayout::non_interleaved(640, &[(2, 2), (1, 1), (1, 1)]) },
        JpegLayout::non_interleaved(640, &[(1, 1); 4]),
    ] {
        let file = drawn(&layout, luma_and_chroma);
        for part in [1, 4, 7, 9] {
            let message = message(&file[..file.len() * part / 10]);
            assert!(message.contains("incomplete"), "{part}: {message}");
        }
        assert!(message(&file[..file.len() - 2]).contains("incomplete"));
    }
    // A tool ended the file in the middle of its scan. Decoders fill up the rest with gray.
    for restart_interval in [0, 7] {
        let layout = JpegLayout { restart_interval, ..JpegLayout::interleaved(640, &[(2, 2), (1, 1), (1, 1)]) };
        let file = drawn(&layout, luma_and_chroma);
        let begin = file.windows(2).position(|pair| pair == [0xFF, 0xDA]).expect("a JPEG has a scan") + 14;
        for part in [1, 5, 9] {
            let mut cut = begin + (file.len() - begin) * part / 10;
            cut -= usize::from(file[cut - 1] == 0xFF);
            let message = message(&[&file[..cut], &[0xFF, 0xD9]].concat());
            assert!(message.contains("incomplete"), "{part}: {message}");
        }
    }
    // The last scan is missing altogether, and the end of the picture follows the others.
    let file = drawn(&JpegLayout::non_interleaved(640, &[(2, 2), (1, 1), (1, 1)]), luma_and_chroma);
    let last = file.windows(2).rposition(|pair| pair == [0xFF, 0xDA]).expect("a JPEG has scans");
    assert!(message(&[&file[..last], &[0xFF, 0xD9]].concat()).contains("damaged"));
}

/// Returns where each scan begins, and where the picture ends.
fn scans(file: &[u8]) -> Vec<usize> {
    let is_start = |at: &usize| matches!(file[*at..*at + 2], [0xFF, 0xDA] | [0xFF, 0xD9]);
    (0..file.len() - 1).filter(is_start).collect()
}

#[test]
fn a_progressive_jpeg_without_one_of_its_scans_is_refused() {
    for is_refined in [false, true] {
        let sampling = [(2, 2), (1, 1), (1, 1)];
        let layout = JpegLayout { is_progressive: true, is_refined, ..JpegLayout::interleaved(640, &sampling) };
        let file = drawn(&layout, luma_and_chroma);
        let scans = scans(&file);
        assert_eq!(scans.len(), if is_refined { 9 } else { 5 });
        examine(&file).expect("the cover decodes");
        for (scan, start) in scans.iter().enumerate().take(scans.len() - 1) {
            // A tool ended the file before this scan. Decoders show a blurred picture.
            let said = message(&[&file[..*start], &[0xFF, 0xD9]].concat());
            assert!(
                said.contains(if scan == 0 { "no picture in it" } else { "scans that make its picture sharp" }),
                "{scan}: {said}"
            );
            let said = message(&[&file[..*start], &file[scans[scan + 1]..]].concat());
            assert!(said.contains("incomplete") || said.contains("a part of the picture is missing"), "{scan}: {said}");
        }
    }
}

#[test]
fn a_hole_in_a_jpeg_is_damage_with_its_place() {
    let sampling = [(2, 2), (1, 1), (1, 1)];
    // Noise gives each block many codes.
    let noise = |x: u16, y: u16| {
        let number = (u32::from(x) * 7919 + u32::from(y) * 104_729).wrapping_mul(2_654_435_761) >> 20;
        [(number & 0x7F) as u8 + 64, 128 + (number >> 9) as u8, 128, 255]
    };
    for (is_progressive, is_refined, restart_interval) in [(false, false, 0), (false, false, 40), (true, true, 0)] {
        let layout =
            JpegLayout { is_progressive, is_refined, restart_interval, ..JpegLayout::interleaved(640, &sampling) };
        let file = jpeg_as(&layout, noise);
        examine(&file).expect("the cover decodes");
        let scans = scans(&file);
        for (scan, next) in scans.iter().zip(&scans[1..]) {
            let size = next - scan;
            // This scan has one bit of each average, without codes, so any bits are valid.
            let head = usize::from(file[scan + 3]);
            if file[scan + head - 1..scan + head + 2] == [0, 0, 0x10] {
                continue;
            }
            for tenth in [1, 4, 8] {
                let mut damaged = file.clone();
                let hole = scan + size * tenth / 10;
                damaged[hole..hole + size / 12].fill(0);
                let said = match examine(&damaged) {
                    Err(MediaError::Refused(refusal)) => refusal.message,
                    other => panic!("{layout:?}: {scan}, {tenth}: {:?}", other.map(|(facts, _)| facts)),
                };
                assert!(
                    said.contains("damaged: a part of the picture is missing or cannot be decoded"),
                    "{tenth}: {said}"
                );
                let row: usize =
                    said.split_once("row ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok()).unwrap();
                let place = 640 * tenth / 10;
                assert!(row.abs_diff(place) < 80, "{layout:?}: {row} instead of {place}");
            }
        }
    }
}

#[test]
fn a_scan_that_brings_no_bit_more_is_damage() {
    let sampling = [(2, 2), (1, 1), (1, 1)];
    let layout = JpegLayout { is_progressive: true, is_refined: true, ..JpegLayout::interleaved(640, &sampling) };
    let mut file = drawn(&layout, luma_and_chroma);
    let scan = *scans(&file).iter().rev().nth(1).expect("it has scans");
    // The last byte of the scan's header holds the bit before this scan, and the bit that it adds.
    let bits = scan + 1 + usize::from(file[scan + 3]);
    assert_eq!(file[bits], 0x10);
    file[bits] = 0x11;
    assert!(message(&file).contains("a part of the picture is missing"));
}

#[test]
fn filling_behind_a_scan_is_no_hole() {
    for is_progressive in [false, true] {
        let layout = JpegLayout { is_progressive, ..JpegLayout::interleaved(640, &[(2, 2), (1, 1), (1, 1)]) };
        let file = drawn(&layout, luma_and_chroma);
        for filling in [[0; 500], [0xFF; 500]] {
            let filled = [&file[..file.len() - 2], &filling, &[0xFF, 0xD9]].concat();
            assert_eq!(examine(&filled).expect("the cover decodes").0, examine(&file).expect("the original decodes").0);
        }
    }
}

#[test]
fn restart_markers_count_up() {
    let layout = JpegLayout { restart_interval: 20, ..JpegLayout::interleaved(640, &[(1, 1); 3]) };
    let file = drawn(&layout, luma_and_chroma);
    let is_marker = |at: &usize| matches!(file[*at..*at + 2], [0xFF, 0xD0..=0xD7]);
    let markers: Vec<usize> = (0..file.len() - 1).filter(is_marker).collect();
    let cut = [&file[..markers[30]], &file[markers[31]..]].concat();
    let said = message(&cut);
    // A row has 80 units of 8 px, and 20 units stand between two markers.
    assert!(said.contains("a part of the picture is missing") && said.contains("row 56 "), "{said}");
}
