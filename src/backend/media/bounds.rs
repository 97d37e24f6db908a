//! Tests files that are made to keep the server busy. Absurd files are refused, and the work on all others grows no
//! faster than their bytes.

use std::{
    io::{self, Cursor, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use proptest::prelude::*;
use testing::fixtures::{self as made, Tables};
use tokio_util::sync::DropGuard;

use super::{
    Deadline, MediaError, Refusal, catch_decoder_panic, examine_audio, examine_cover,
    source::Source,
    validate::{self, AudioHeader, Samples},
    validate_audio,
};
use crate::domain::media::{CoverFacts, MediaLimits, Tags};

const SECONDS: f64 = 1.0;
const RATE_HZ: u32 = 44_100;
const MB: usize = 1024 * 1024;
/// Bytes that reading headers may cost, however small the file is: a few windows of a source.
const FEW_READS: usize = 512 * 1024;

/// A file in memory that counts the bytes read from it.
struct Counted {
    file: Cursor<Vec<u8>>,
    bytes_read: Arc<AtomicU64>,
    /// Dropped once this many bytes are read.
    given_up: Option<(u64, DropGuard)>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        let read = self.bytes_read.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        drop(self.given_up.take_if(|(after, _)| read > *after));
        Ok(count)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Returns the outcome of the validation of a file, and the number of bytes that it read.
fn validated<T>(
    file: &[u8],
    validate: impl FnOnce(&mut Source) -> Result<T, MediaError>,
) -> (Result<T, MediaError>, usize) {
    let bytes_read = Arc::new(AtomicU64::new(0));
    let counted = Counted { file: Cursor::new(file.to_vec()), bytes_read: Arc::clone(&bytes_read), given_up: None };
    let result = validate(&mut Source::new(counted, &Deadline::never()).expect("reading from memory cannot fail"));
    (result, bytes_read.load(Ordering::Relaxed) as usize)
}

fn audio(file: &[u8]) -> (Result<AudioHeader, MediaError>, usize) {
    validated(file, |source| validate::audio_of(source, &MediaLimits::default()))
}

fn cover(file: &[u8]) -> (Result<CoverFacts, MediaError>, usize) {
    validated(file, |source| validate::cover_of(source, &MediaLimits::default()))
}

fn message<T>((result, _): (Result<T, MediaError>, usize)) -> String {
    match result {
        Err(MediaError::Refused(Refusal { status: 422, message })) => message,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("the file was taken"),
    }
}

fn tags(file: &[u8]) -> Tags {
    audio(file).0.expect("the file is accepted").tags
}

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
    assert!(message(audio(&empty)).contains("nothing"));

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

/// A chunk of a WAV or an AIFF.
fn chunk(id: &[u8; 4], size: [u8; 4], body: &[u8]) -> Vec<u8> {
    [id.as_slice(), &size, body, &vec![0; body.len() % 2]].concat()
}

/// An ID3v2.3 tag with a title, which says that it has `declared` bytes.
fn id3(title: &str, declared: u32) -> Vec<u8> {
    let synchsafe = [declared >> 21, declared >> 14, declared >> 7, declared].map(|part| part as u8 & 0x7F);
    let frame = [b"TIT2".as_slice(), &(title.len() as u32 + 1).to_be_bytes(), &[0, 0, 3], title.as_bytes()].concat();
    [b"ID3\x03\0\0".as_slice(), &synchsafe, &frame].concat()
}

#[test]
fn of_many_tags_in_a_wav_or_an_aiff_one_is_read_and_no_more_than_its_chunk() {
    for (plain, id, size) in [
        (made::wav(SECONDS, RATE_HZ, 16, 1), b"id3 ", u32::to_le_bytes as fn(u32) -> [u8; 4]),
        (made::wav(SECONDS, RATE_HZ, 16, 1), b"ID3 ", u32::to_le_bytes),
        (made::aiff(SECONDS, RATE_HZ, 16, 1), b"ID3 ", u32::to_be_bytes),
    ] {
        let carrying = |chunks: &[u8]| [&plain[..12], chunks, &plain[12..]].concat();
        let tag = |title: &str, declared: u32| {
            let tag = id3(title, declared);
            chunk(id, size(tag.len() as u32), &tag)
        };
        // Each tag claims to continue far beyond its chunk.
        let many: Vec<u8> =
            (0..4000).flat_map(|number| tag(&format!("Song {number} {}", "x".repeat(300)), 30_000_000)).collect();
        let file = carrying(&many);
        let (header, bytes_read) = audio(&file);
        let title = header.expect("the file is accepted").tags.title.expect("the title is set");
        assert!(title.starts_with("Song 0 x"), "{title}");
        assert!(bytes_read < 2 * file.len() + FEW_READS, "{bytes_read} of {}", file.len());

        // The title of the first tag is empty, and the tags behind it are not read.
        let silent = [tag("", 1000), tag("Not this one", 1000)].concat();
        assert_eq!(tags(&carrying(&silent)).title, None);

        // The tag claims to continue beyond its chunk, at the end of the file, where the frame of a title stands
        // instead of the next chunk.
        let (head, frame) = (&id3("", 1000)[..10], &id3("Not this one", 0)[10..]);
        let beyond = [plain.as_slice(), &chunk(id, size(10), head), frame].concat();
        assert_eq!(tags(&beyond).title, None);
        let within = [plain.as_slice(), &chunk(id, size(10 + frame.len() as u32), &[head, frame].concat())].concat();
        assert_eq!(tags(&within).title.as_deref(), Some("Not this one"), "the frame is found if the chunk contains it");
    }
}

#[test]
fn of_many_comments_in_a_flac_only_the_first_is_read() {
    let plain = made::flac(SECONDS, RATE_HZ, 16, 1, "First");
    // STREAMINFO, then the comment, which is the last block.
    let (info, comment) = (&plain[..42], &plain[42..]);
    let size = u32::from_be_bytes([0, comment[1], comment[2], comment[3]]) as usize;
    let more = [&[4, comment[1], comment[2], comment[3]], &comment[4..4 + size]].concat().repeat(900);
    // The first comment block is empty.
    let file = [info, &[4, 0, 0, 8], &[0; 8], &more, comment].concat();
    let (header, bytes_read) = audio(&file);
    assert_eq!(header.expect("the file is accepted").tags, Tags::default());
    // The last megabyte of the file is searched for the last frame.
    assert!(bytes_read < 3 * file.len() + FEW_READS, "{bytes_read} of {}", file.len());

    for (blocks, words) in [
        ([1, 0, 0, 0].repeat(1100), "no end"),
        ([vec![6, 0xFF, 0xFF, 0xFF], vec![0; 0xFF_FFFF]].concat().repeat(3), "32 MB"),
    ] {
        let (result, bytes_read) = audio(&[info, &blocks, comment].concat());
        let said = message((result, 0));
        assert!(said.contains(words), "{said}");
        assert!(bytes_read < FEW_READS, "{bytes_read}");
    }
}

#[test]
fn the_frames_of_an_mp3_are_counted_up_to_six_hours() {
    // 8 kHz, 8 kbit/s, mono: 72 bytes for 576 samples, so six hours are 21.6 MB.
    let mut frame = [0; 72];
    frame[..4].copy_from_slice(&[0xFF, 0xE3, 0x18, 0xC0]);
    let file = frame.repeat(700_000);
    let (result, bytes_read) = audio(&file);
    assert!(message((result, 0)).contains("6 hours"));
    assert!(bytes_read < 23_000_000, "{bytes_read} of {}", file.len());
}

#[test]
fn of_tags_stacked_before_an_mp3_a_little_is_read() {
    let song = made::mp3(SECONDS, RATE_HZ, 1, "x");
    let huge = [b"ID3\x03\0\0\x0F\x7F\x7F\x7F".as_slice(), &vec![0; 33_554_431]].concat();
    let (header, bytes_read) = audio(&[huge.as_slice(), &song].concat());
    header.expect("the file is accepted");
    assert!(bytes_read < song.len() * 2 + 2 * MB, "{bytes_read}");
}

#[test]
fn of_what_stands_between_the_frames_of_an_mp3_each_byte_is_read_a_few_times() {
    let song = made::mp3(SECONDS, RATE_HZ, 1, "x");
    let empty = b"ID3\x03\0\0\0\0\0\0";
    let footer = |bytes: u32| [b"APETAGEX".as_slice(), &[0; 4], &bytes.to_le_bytes(), &[0; 16]].concat();
    for between in [
        empty.repeat(300_000),
        [b"\n".as_slice(), empty].concat().repeat(300_000),
        // Each line break may begin an APE tag that has only a footer, and the footer is far away.
        [[b"\n".as_slice(), empty].concat().repeat(300_000), footer(7)].concat(),
        [b"\xFF\xFB\x92\x64".as_slice(), &footer(36)].concat().repeat(80_000),
        footer(u32::MAX).repeat(80_000),
        b"LYRICSBEGINLYRICSEND".repeat(150_000),
        b"LYRICSBEGIN".repeat(250_000),
        b"\xFF\xFB\x92\x64".repeat(700_000),
        vec![0; 3_000_000],
    ] {
        for file in
            [[&song, &between].map(Vec::as_slice).concat(), [&song, &between, &song].map(Vec::as_slice).concat()]
        {
            let (_, bytes_read) = audio(&file);
            assert!(bytes_read < 6 * file.len() + FEW_READS, "{bytes_read} of {}: {:?}", file.len(), &between[..20]);
        }
    }
}

#[test]
fn a_jpeg_in_many_pieces_is_refused() {
    let plain = made::cover_jpeg(640, 1);
    let (start, body) = plain.split_at(2);
    let (picture, end) = body.split_at(body.len() - 2);
    let segments = |count: usize| [start, &[0xFF, 0xFE, 0, 2].repeat(count), body].concat();
    let scan = [0xFF, 0xDA, 0, 8, 1, 1, 0, 1, 63, 0];
    let scans = |count: usize| [start, picture, &scan.repeat(count), end].concat();
    // A profile as large as the whole file has 576 parts, and thorough encoders write about 20 scans.
    cover(&segments(600)).0.expect("many parts of a profile are no reason to refuse a cover");
    cover(&scans(40)).0.expect("many scans are no reason to refuse a cover");
    assert!(message(cover(&segments(3000))).contains("too many pieces"));
    assert!(message(cover(&scans(200))).contains("100 progressive scans"));
    // Both are refused while the header is walked.
    let (result, bytes_read) = cover(&segments(5_000_000));
    assert!(result.is_err());
    assert!(bytes_read < FEW_READS, "{bytes_read}");
}

/// One file of every kind of audio.
fn samples() -> Vec<Vec<u8>> {
    vec![
        made::wav(SECONDS, RATE_HZ, 16, 1),
        made::aiff(SECONDS, RATE_HZ, 24, 1),
        made::flac(SECONDS, RATE_HZ, 16, 1, "x"),
        made::mp3(SECONDS, RATE_HZ, 1, "x"),
        made::alac(SECONDS, RATE_HZ, 1, "x"),
        made::alac_in_fragments(SECONDS, RATE_HZ, 2, |_, _| ()),
    ]
}

#[test]
fn both_looks_at_every_kind_of_file_end_at_their_deadline() {
    let folder = tempfile::tempdir().expect("a folder for a test");
    let (path, copy) = (folder.path().join("upload"), folder.path().join("copy"));
    let over = Deadline::after(Duration::ZERO);
    for file in samples() {
        std::fs::write(&path, &file).expect("a file for a test");
        assert!(matches!(validate_audio(&path, &MediaLimits::default(), &over), Err(MediaError::OutOfTime)));
        assert!(matches!(examine_audio(&path, &copy, &over), Err(MediaError::OutOfTime)));
    }
    for file in [made::cover_png(640, 1), made::cover_jpeg(640, 1)] {
        std::fs::write(&path, &file).expect("a file for a test");
        assert!(matches!(examine_cover(&path, &over), Err(MediaError::OutOfTime)));
    }
}

#[test]
fn a_walk_that_is_given_up_ends_at_its_next_read() {
    // The MP3 has frames to count for 600 kB, and the M4A has boxes to walk through for 2 MB.
    let mp3 = made::mp3(25.0, RATE_HZ, 1, "x");
    let boxes = [made::alac(SECONDS, RATE_HZ, 1, "x"), made::mp4_box(b"free", &[]).repeat(240_000)].concat();
    for file in [mp3, boxes] {
        let deadline = Deadline::never();
        let bytes_read = Arc::new(AtomicU64::new(0));
        let given_up = Some((200_000, deadline.end_on_drop()));
        let counted = Counted { file: Cursor::new(file.clone()), bytes_read: Arc::clone(&bytes_read), given_up };
        let mut source = Source::new(counted, &deadline).expect("reading from memory cannot fail");
        let result = validate::audio_of(&mut source, &MediaLimits::default());
        assert!(matches!(result, Err(MediaError::OutOfTime)));
        let bytes_read = bytes_read.load(Ordering::Relaxed);
        assert!((200_000..300_000).contains(&bytes_read), "{bytes_read}");
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

#[test]
fn a_decoder_that_panics_ends_in_no_answer() {
    assert_eq!(catch_decoder_panic(|| 7), Some(7));
    assert_eq!(catch_decoder_panic(|| -> u8 { panic!("as a decoder does that meets something unforeseen") }), None);
}
