//! Files whose sound comes in fragments, and what the boxes say that speak of the whole.

use super::*;

/// Returns the song in eight fragments of three packets, of which the last has one.
fn in_fragments(change: impl Fn(&mut made::Fragment)) -> Vec<u8> {
    made::alac_in_fragments_as(SECONDS, RATE_HZ, 3, change)
}

#[test]
fn a_fragment_that_is_missing_is_noticed_by_its_time_or_its_number() {
    type Change = fn(&mut made::Fragment);
    let kinds: [(&str, Change); 4] = [
        ("times and numbers", |_| ()),
        ("no times", |says| says.decode_time = None),
        ("no numbers", |says| says.sequence = 1),
        ("numbers from 0 on, no times", |says| (says.sequence, says.decode_time) = (says.sequence - 1, None)),
    ];
    for (name, change) in kinds {
        let whole = examined(&in_fragments(change)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(whole.1.duration_ms, 2000, "{name}");
        for missing in 2..8 {
            let said = refusal(&in_fragments(|says| {
                says.is_left_out = says.sequence == missing;
                change(says);
            }));
            let place = crate::domain::media::format_duration(i64::from(missing - 1) * 3 * 4096 * 1000 / 44_100);
            assert!(said.contains(&format!("a part of the sound is missing at {place}.")), "{name}, {missing}: {said}");
        }
    }
}

#[test]
fn fragments_of_a_whole_file_are_numbered_and_timed_in_many_ways() {
    type Change = fn(&mut made::Fragment);
    let kinds: [(&str, Change); 9] = [
        ("without the last packet of each", |says| {
            let more = u64::from(says.sequence - 1) * 4096;
            says.decode_time = says.decode_time.map(|time| time + more);
        }),
        ("from 0 on", |says| says.sequence -= 1),
        ("with gaps, of other tracks perhaps", |says| says.sequence *= 2),
        ("of a stream that had begun before", |says| says.decode_time = says.decode_time.map(|time| time + 441_000)),
        ("rounded", |says| says.decode_time = says.decode_time.map(|time| time / 441 * 441)),
        ("without times", |says| says.decode_time = None),
        ("without numbers", |says| says.sequence = 0),
        ("without either", |says| (says.sequence, says.decode_time) = (0, None)),
        ("every other one, without times", |says| (says.sequence, says.decode_time) = (says.sequence * 2, None)),
    ];
    for (name, change) in kinds {
        let (_, facts, _) = examined(&in_fragments(change)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(facts.duration_ms, 2000, "{name}");
    }
}

#[test]
fn a_writer_may_round_the_duration_of_each_packet() {
    // The time scale has ten units in a second. Each packet of 93 ms counts as one, and forty of them as 4 s instead of
    // 3.7 s.
    let rounded = |change: fn(&mut made::Fragment)| {
        let mut file = made::alac_in_fragments_as(8.0, RATE_HZ, 40, |says| {
            says.decode_time = says.decode_time.map(|time| time * 10 / u64::from(RATE_HZ));
            change(says);
        });
        for (name, offset, number) in [(b"mdhd", 12, 10_u32), (b"trex", 12, 1)] {
            let body = file.windows(4).position(|bytes| bytes == name).unwrap() + 4;
            file[body + offset..body + offset + 4].copy_from_slice(&number.to_be_bytes());
        }
        file
    };
    assert_eq!(examined(&rounded(|_| ())).unwrap().1.duration_ms, 8000);
    let said = refusal(&rounded(|says| says.is_left_out = says.sequence == 2));
    assert!(said.contains("a part of the sound is missing at 0:04"), "{said}");
}

#[test]
fn fragments_that_come_twice_or_in_another_order_are_damage() {
    let twice = in_fragments(|says| says.decode_time = says.decode_time.map(|time| time.min(5 * 3 * 4096)));
    assert!(refusal(&twice).contains("damaged: at 0:02 its fragments are not in their order"));
    let odd = in_fragments(|says| (says.sequence, says.decode_time) = (says.sequence % 4, None));
    assert!(refusal(&odd).contains("a part of the sound is missing at 0:01"));
}

/// Returns the song in six fragments of four packets, of which the last has two. `mvex` holds `boxes` as well.
fn in_fragments_with(boxes: &[u8], change: impl Fn(&mut made::Fragment)) -> Vec<u8> {
    let mut file = made::alac_in_fragments_as(SECONDS, RATE_HZ, 4, change);
    for kind in [b"moov", b"mvex"] {
        let at = file.windows(4).position(|bytes| bytes == kind).unwrap() - 4;
        let size = be32(&file, at) + boxes.len() as u32;
        file[at..at + 4].copy_from_slice(&size.to_be_bytes());
        if kind == b"mvex" {
            file.splice(at + 8..at + 8, boxes.iter().copied());
        }
    }
    file
}

/// Builds a box of 32-bit numbers.
fn numbers(kind: &[u8; 4], numbers: &[u32]) -> Vec<u8> {
    made::mp4_box(kind, &[&numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>()])
}

/// Returns where each fragment begins, and where the last one ends.
fn fragments(file: &[u8]) -> Vec<usize> {
    let moofs = file.windows(4).enumerate().filter(|(_, bytes)| bytes == b"moof").map(|(at, _)| at - 4);
    moofs.chain([file.len()]).collect()
}

/// Puts an index in front of the fragments. `segments` tells the duration and the bytes of each.
fn with_index(file: &[u8], segments: impl Fn(usize) -> (u32, u32)) -> Vec<u8> {
    let starts = fragments(file);
    let count = starts.len() - 1;
    let mut index = vec![0, 1, RATE_HZ, 0, 0, count as u32];
    index.extend((0..count).flat_map(|at| {
        let (duration, bytes) = segments(at);
        [bytes, duration, 0x9000_0000]
    }));
    [&file[..starts[0]], &numbers(b"sidx", &index), &file[starts[0]..]].concat()
}

/// Returns the duration and the bytes of each fragment, as they are.
fn true_segments(file: &[u8]) -> impl Fn(usize) -> (u32, u32) {
    let starts = fragments(file);
    move |at| ((4 * 4096).min(SAMPLES - at as u32 * 4 * 4096), (starts[at + 1] - starts[at]) as u32)
}

#[test]
fn fragments_that_are_missing_at_the_end_are_missed_by_the_boxes_that_count_them() {
    let plain = in_fragments_with(&[], |_| ());
    let short = numbers(b"mehd", &[0, SAMPLES]);
    let long = numbers(b"mehd", &[0x0100_0000, 0, SAMPLES]);
    for (name, whole) in [
        ("mehd", in_fragments_with(&short, |_| ())),
        ("mehd with 64 bits", in_fragments_with(&long, |_| ())),
        ("mehd, without times", in_fragments_with(&short, |says| says.decode_time = None)),
        ("sidx", with_index(&plain, true_segments(&plain))),
        ("both", with_index(&in_fragments_with(&short, |_| ()), true_segments(&plain))),
    ] {
        let starts = fragments(&whole);
        assert_eq!(starts.len(), 7, "{name}");
        assert_eq!(examined(&whole).unwrap_or_else(|error| panic!("{name}: {error}")).1.duration_ms, 2000);
        // `mehd` may be too long by half a second, and the last fragment is shorter.
        let last = if name.starts_with("mehd") { 5 } else { 6 };
        for end in &starts[1..last] {
            for behind in [[].as_slice(), b"\0\0\0\x10mfra\0\0\0\0\0\0\0\0"] {
                let said = refusal(&[&whole[..*end], behind].concat());
                assert!(said.contains("incomplete: its end is missing"), "{name}, {end}: {said}");
            }
        }
    }
    // The boxes of the whole don't hide where else something is missing.
    let hole = in_fragments_with(&short, |says| says.is_left_out = says.sequence == 3);
    assert!(refusal(&hole).contains("a part of the sound is missing at 0:01"));
    let late = in_fragments_with(&short, |says| says.is_left_out = says.sequence == 1);
    assert!(refusal(&late).contains("its beginning is missing"));
}

#[test]
fn numbers_of_the_whole_that_are_wrong_do_no_harm() {
    let plain = in_fragments_with(&[], |_| ());
    let movie = |numbers_of_mehd: &[u32]| in_fragments_with(&numbers(b"mehd", numbers_of_mehd), |_| ());
    let real = true_segments(&plain);
    for (name, file) in [
        ("unknown", movie(&[0, 0])),
        ("unknown, as the largest number", movie(&[0, u32::MAX])),
        ("unknown, with 64 bits", movie(&[0x0100_0000, u32::MAX, u32::MAX])),
        ("too short", movie(&[0, 10_000])),
        ("rounded up to a packet", movie(&[0, 22 * 4096])),
        ("cut short", movie(&[0])),
        ("longer by a packet", movie(&[0, SAMPLES + 4096])),
        ("an index without durations", with_index(&plain, |at| (0, real(at).1))),
        ("an index without bytes", with_index(&plain, |at| (real(at).0, 0))),
        ("an index of a live stream", with_index(&plain, |_| (u32::MAX, 0x7FFF_FFFF))),
        ("an index of nominal durations", with_index(&plain, |at| (20_000, real(at).1))),
        ("an index that counts other bytes", with_index(&plain, |at| (real(at).0, real(at).1 + 100))),
        ("an index that is cut short", {
            let mut file = with_index(&plain, &real);
            let at = file.windows(4).position(|bytes| bytes == b"sidx").unwrap();
            file[at + 26..at + 28].copy_from_slice(&[0xFF, 0xFF]);
            file
        }),
        ("as long as a film that was 400 ms longer", movie(&[0, SAMPLES + RATE_HZ * 4 / 10])),
        ("an index of half of it", with_index(&plain, |at| if at < 3 { real(at) } else { (0, 0) })),
    ] {
        let (_, facts, _) = examined(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(facts.duration_ms, 2000, "{name}");
    }
    let both = with_index(&plain, |at| if at == 5 { (90_000, 1_000_000) } else { real(at) });
    assert!(refusal(&both).contains("its end is missing"));
    // `mehd` counts in the time scale of the track instead of the movie's.
    let mut other_scale = movie(&[0, SAMPLES]);
    let movie_header = other_scale.windows(4).position(|bytes| bytes == b"mvhd").unwrap() + 16;
    other_scale[movie_header..movie_header + 4].copy_from_slice(&1000_u32.to_be_bytes());
    assert_eq!(examined(&other_scale).unwrap().1.duration_ms, 2000);
    let ends = fragments(&other_scale);
    assert!(refusal(&other_scale[..ends[4]]).contains("its end is missing"));
}

#[test]
fn each_fragment_may_have_an_index_of_its_own() {
    let plain = in_fragments_with(&[], |_| ());
    let (starts, real) = (fragments(&plain), true_segments(&plain));
    let mut segments = vec![];
    for at in 0..6 {
        let (duration, bytes) = real(at);
        segments.push(numbers(b"sidx", &[0, 1, RATE_HZ, at as u32 * 4 * 4096, 0, 1, bytes, duration, 0x9000_0000]));
        segments.push(plain[starts[at]..starts[at + 1]].to_vec());
    }
    let head = &plain[..starts[0]];
    assert_eq!(examined(&[head, &segments.concat()].concat()).unwrap().1.duration_ms, 2000);
    // The last index stays, and its fragment is missing.
    let cut = [head, &segments[..11].concat()].concat();
    assert!(refusal(&cut).contains("its end is missing"));
    // Without it, nothing shows that there was more.
    let shorter = [head, &segments[..10].concat()].concat();
    assert_eq!(examined(&shorter).unwrap().1.duration_ms, 5 * 4 * 4096 * 1000 / 44_100);
}

#[test]
fn a_live_stream_that_was_recorded_late_is_not_called_cut() {
    for change in
        [(|says: &mut made::Fragment| says.is_left_out = says.sequence == 1) as fn(&mut made::Fragment), |says| {
            says.sequence += 5000;
            says.decode_time = says.decode_time.map(|time| time + 5000 * 4 * 4096);
        }]
    {
        let plain = in_fragments_with(&[], change);
        let starts = fragments(&plain);
        // Each segment has an index of its own, or none.
        let segments = starts.windows(2).enumerate().flat_map(|(at, ends)| {
            let index = [0, 1, RATE_HZ, at as u32 * 4 * 4096, 0, 1, (ends[1] - ends[0]) as u32, 4 * 4096, 0x9000_0000];
            [numbers(b"sidx", &index), plain[ends[0]..ends[1]].to_vec()].concat()
        });
        let indexed = [&plain[..starts[0]], &segments.collect::<Vec<_>>()].concat();
        for file in [&plain, &indexed] {
            let said = refusal(file);
            assert!(said.contains("begins in the middle of a longer stream") && said.contains("live stream"), "{said}");
        }
        // An index of all segments belongs to a whole file.
        assert!(refusal(&with_index(&plain, |_| (4 * 4096, 100))).contains("its beginning is missing"));
    }
}
