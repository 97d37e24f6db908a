//! Tests that many or huge tags cost no more work than their bytes, and that the frames of an MP3 are counted up to a
//! limit.

use testing::fixtures as made;

use super::{FEW_READS, MB, RATE_HZ, SECONDS, audio, message};
use crate::domain::media::Tags;

fn tags(file: &[u8]) -> Tags {
    audio(file).0.expect("the file is accepted").tags
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
        // Each zero may begin an APE tag that has only a footer, and no footer follows. The frames are those of the song:
        // 192 kbit/s, stereo, borrowing nothing.
        [vec![0], [b"\xFF\xFB\xB0\x04".as_slice(), &[0; 32], &[0x55; 590]].concat().repeat(2)].concat().repeat(1000),
    ] {
        for file in
            [[&song, &between].map(Vec::as_slice).concat(), [&song, &between, &song].map(Vec::as_slice).concat()]
        {
            let (_, bytes_read) = audio(&file);
            assert!(bytes_read < 6 * file.len() + FEW_READS, "{bytes_read} of {}: {:?}", file.len(), &between[..20]);
        }
    }
}
