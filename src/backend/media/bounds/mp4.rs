//! Tests that the tables, fragments and boxes of an MP4 cost no more work than their bytes.

use std::io::Cursor;

use proptest::prelude::*;
use testing::fixtures::{self as made, Tables};

use super::{FEW_READS, MB, RATE_HZ, SECONDS, audio, message, validated};
use crate::backend::media::{
    Deadline, examine_audio,
    source::Source,
    validate::{AudioHeader, Samples},
};

/// Decodes a file. Returns its duration in milliseconds and its loudness in LUFS.
fn examined(file: &[u8]) -> (i64, Option<f64>) {
    let folder = tempfile::tempdir().expect("a folder for a test");
    let path = folder.path().join("upload");
    std::fs::write(&path, file).expect("a file for a test");
    let (facts, _) = examine_audio(&path, &folder.path().join("copy"), &Deadline::never()).expect("the file decodes");
    (facts.duration_ms, facts.integrated_lufs)
}

fn m4a(change: impl FnOnce(&mut Tables)) -> Vec<u8> {
    made::alac_with(SECONDS, RATE_HZ, 4096, change)
}

#[test]
fn a_book_of_three_hours_with_an_entry_for_each_packet_is_read_once() {
    // Three hours of AAC are 465,000 packets. Here each packet has one sample, which does not shorten the tables.
    const PACKETS: u32 = 465_000;
    let file = made::alac_with(f64::from(PACKETS) / f64::from(RATE_HZ), RATE_HZ, 1, |tables| {
        tables.durations = (0..PACKETS).map(|packet| [1, packet % 2]).collect();
        tables.compositions = tables.durations.clone();
        tables.groups = (0..PACKETS).map(|chunk| [chunk + 1, 1, 1 + chunk % 2]).collect();
        let next = |next: &mut u32, size: &u32| {
            *next += size;
            Some(*next - size)
        };
        tables.chunks = tables.sizes.iter().scan(tables.chunks[0], next).collect();
    });
    let (header, bytes_read) = audio(&file);
    assert!(bytes_read < 2 * file.len(), "{bytes_read} of {}", file.len());
    let Samples::Packets(layout) = header.expect("the file is accepted").samples else { panic!("an M4A has packets") };
    let mut packets = layout.packets;
    let (heard, bytes_read) = validated(&file, |source| {
        let mut heard = 0;
        while let Some(range) = packets.next(source)? {
            heard += source.bytes(range)?.map_or(0, |packet| packet.len());
        }
        Ok(heard)
    });
    assert!(heard.expect("the file is accepted") > 5_000_000);
    assert!(bytes_read < 2 * file.len(), "{bytes_read} of {}", file.len());
    assert_eq!(examined(&file).0, i64::from(PACKETS) * 1000 / i64::from(RATE_HZ));
}

#[test]
fn tables_that_no_encoder_writes_are_refused() {
    type Change = fn(&mut Tables);
    let cases: [(&str, Change); 18] = [
        ("is empty", |tables| tables.durations[0] = [0, 4096]),
        ("is empty", |tables| tables.durations.insert(1, [0, 4096])),
        ("contradict", |tables| tables.durations = vec![[1, 4096]; 1_000_000]),
        ("contradict", |tables| tables.durations = vec![[0, 4096]; 1_000_000]),
        ("is empty", |tables| tables.compositions = vec![[0, 1]]),
        ("contradict", |tables| tables.compositions = vec![[1, 0]; 1_000_000]),
        ("is empty", |tables| tables.groups[0][1] = 0),
        ("contradict", |tables| tables.groups[0][0] = 0),
        ("contradict", |tables| tables.groups[0][0] = 2),
        ("contradict", |tables| tables.groups = vec![[1, 1, 1], [1, 2, 1]]),
        ("contradict", |tables| tables.groups = vec![[1, 1, 1]; 1_000_000]),
        ("contradict", |tables| tables.groups.clear()),
        ("contradict", |tables| tables.groups[0][1] = 1),
        ("contradict", |tables| tables.chunks.clear()),
        ("is empty", |tables| tables.sizes[1] = 0),
        ("larger than any", |tables| tables.sizes[1] = 300 * 1024 * 1024),
        ("incomplete", |tables| tables.chunks[0] = u32::MAX),
        // All packets are the first one, repeated.
        ("overlap", |tables| {
            tables.chunks = vec![tables.chunks[0]; 1000];
            tables.sizes = vec![tables.sizes[0]; 1000];
            tables.groups = vec![[1, 1, 1]];
        }),
    ];
    for (number, (words, change)) in cases.into_iter().enumerate() {
        let said = message(audio(&m4a(change)));
        assert!(said.contains(words), "case {number}, {words}: {said}");
    }
}

#[test]
fn tables_that_claim_more_entries_than_they_have_are_refused() {
    let file = m4a(|tables| tables.compositions = vec![[1, 0]]);
    for (table, at) in [(b"stts", 8), (b"ctts", 8), (b"stsc", 8), (b"stsz", 12), (b"stco", 8)] {
        let mut claims = file.clone();
        let start = claims.windows(4).rposition(|kind| kind == table).expect("the table is there");
        claims[start + at..start + at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        let (result, bytes_read) = audio(&claims);
        assert!(message((result, 0)).contains("cut short"));
        assert!(bytes_read < FEW_READS, "{bytes_read}");
    }
    // Packets of one size need no entries.
    let mut same_size = file;
    let start = same_size.windows(4).rposition(|kind| kind == b"stsz").expect("the table is there");
    same_size[start + 8..start + 16].copy_from_slice(&[0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert!(message(audio(&same_size)).contains("too many pieces"));
}

#[test]
fn what_a_recorder_writes_in_fragments_is_heard_as_a_whole() {
    let whole = examined(&made::alac(SECONDS, RATE_HZ, 1, "x"));
    for packets_per_fragment in [1, 3, 100] {
        let fragments = made::alac_in_fragments(SECONDS, RATE_HZ, packets_per_fragment, |_, _| ());
        assert_eq!(examined(&fragments), whole);
    }
}

#[test]
fn fragments_that_no_encoder_writes_are_refused() {
    let fragments = |change: fn(&mut u32, &mut u32)| made::alac_in_fragments(SECONDS, RATE_HZ, 3, change);
    assert!(message(audio(&fragments(|_, packets| *packets = 0))).contains("is empty"));
    assert!(message(audio(&fragments(|_, packets| *packets = u32::MAX))).contains("cut short"));
    assert!(message(audio(&fragments(|flags, packets| (*flags, *packets) = (0xF01, 20)))).contains("cut short"));
    // There are neither sizes nor a common size, so the packets are empty.
    let empty = made::alac_in_fragments_as(SECONDS, RATE_HZ, 3, |says| {
        (says.flags, says.packets, says.decode_time) = (1, u32::MAX, None);
    });
    assert!(message(audio(&empty)).contains("empty"));

    let honest = fragments(|_, _| ());
    let empty = made::mp4_box(b"moof", &[]).repeat(300_000);
    assert!(message(audio(&[honest.as_slice(), &empty].concat())).contains("too many pieces"));
    let run = made::mp4_box(b"trun", &[&[0, 0, 0, 0, 0, 0, 0, 1]]);
    let runs = made::mp4_box(b"moof", &[&made::mp4_box(b"traf", &[&run.repeat(150_000)])]);
    assert!(message(audio(&[honest.as_slice(), &runs].concat())).contains("too many pieces"));
    let tracks = made::mp4_box(b"trak", &[]).repeat(100);
    assert!(message(audio(&m4a(|tables| tables.in_movie = tracks))).contains("too many pieces"));
}

#[test]
fn everything_outside_the_sound_of_an_m4a_is_bounded_together() {
    let boxed = |kind: &[u8; 4], bytes: usize| made::mp4_box(kind, &[&vec![0; bytes]]);
    let picture = |bytes: usize| {
        let item = made::mp4_box(b"covr", &[&boxed(b"data", bytes)]);
        made::mp4_box(b"udta", &[&made::mp4_box(b"meta", &[&[0; 4], &made::mp4_box(b"ilst", &[&item])])])
    };
    let (large, bytes_read) = audio(&m4a(|tables| tables.in_movie = picture(30 * MB)));
    large.expect("a large picture is no reason to refuse a file");
    assert!(bytes_read < FEW_READS, "{bytes_read}");

    let plain = m4a(|_| ());
    let top_level = made::mp4_box(b"meta", &[&[0; 4], &made::mp4_box(b"ilst", &[&boxed(b"covr", 33 * MB)])]);
    for absurd in [
        m4a(|tables| tables.in_movie = picture(33 * MB)),
        [plain.as_slice(), &top_level].concat(),
        [plain.as_slice(), &boxed(b"free", 20 * MB), &boxed(b"uuid", 20 * MB)].concat(),
        [m4a(|tables| tables.in_movie = picture(20 * MB)), boxed(b"sidx", 20 * MB)].concat(),
        [plain.as_slice(), &boxed(b"moof", MB).repeat(33)].concat(),
    ] {
        let (result, bytes_read) = audio(&absurd);
        let said = message((result, 0));
        assert!(said.contains("32 MB"), "{said}");
        assert!(bytes_read < 3 * MB, "{bytes_read}");
    }
}

fn entry<const N: usize>() -> impl Strategy<Value = [u32; N]> {
    let number = prop_oneof![8 => 0_u32..20, 1 => 0..100_000_u32, 1 => any::<u32>()];
    prop::array::uniform::<_, N>(number)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 50, ..ProptestConfig::default() })]

    #[test]
    fn whatever_tables_say_the_work_is_bounded_and_packets_lie_in_the_file(
        durations in prop::collection::vec(entry::<2>(), 0..6),
        compositions in prop::collection::vec(entry::<2>(), 0..3),
        groups in prop::option::of(prop::collection::vec(entry::<3>(), 0..6)),
        sizes in prop::collection::vec((any::<prop::sample::Index>(), entry::<1>()), 0..3),
        chunks in prop::option::of(prop::collection::vec(entry::<1>(), 0..30)),
    ) {
        let file = made::alac_with(0.3, RATE_HZ, 512, |tables| {
            if !durations.is_empty() {
                tables.durations = durations;
            }
            tables.compositions = compositions;
            for (at, [size]) in sizes {
                let at = at.index(tables.sizes.len());
                tables.sizes[at] = size;
            }
            tables.groups = groups.unwrap_or(tables.groups.clone());
            if let Some(chunks) = chunks {
                tables.chunks = chunks.into_iter().map(|[offset]| offset).collect();
            }
        });
        let (result, bytes_read) = audio(&file);
        prop_assert!(bytes_read < 4 * file.len() + FEW_READS, "{bytes_read} of {}", file.len());
        if let Ok(AudioHeader { samples: Samples::Packets(layout), .. }) = result {
            let mut packets = layout.packets;
            let mut source = Source::new(Cursor::new(file.clone()), &Deadline::never())?;
            let mut total = 0;
            while let Some(range) = packets.next(&mut source).expect("the file is accepted") {
                prop_assert!(range.start < range.end && range.end <= file.len() as u64, "{range:?}");
                total += range.end - range.start;
            }
            prop_assert!(total <= file.len() as u64);
        }
    }
}
