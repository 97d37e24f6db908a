//! Tests MP3 files whose tags are wrong, and files that were cut, joined or overwritten: all of the sound is counted
//! and heard, or the file is refused.

mod damage;
mod kinds;
mod lengths;
mod padding;
mod tags;

use std::io::Cursor;

use testing::fixtures::case;

use super::{
    Deadline, Result,
    walk::{self, Walk},
};
use crate::{
    backend::media::{MediaError, Refusal, examine_audio, source::Source, validate},
    domain::media::{AudioFacts, MediaLimits},
};

const FRAME_SAMPLES: u64 = 1152;
/// Bytes of a frame of [`song`] (64 kbit/s at 44.1 kHz), without the padding byte that nearly all of them have.
const FRAME_BYTES: usize = 208;

/// Returns four seconds of sound, mono, without any tag.
fn song() -> Vec<u8> {
    let mut song = case("mp3_newline_after.mp3");
    song.truncate(song.len() - 2);
    song
}

/// Returns where each frame begins, and where the last one ends.
fn boundaries(song: &[u8]) -> Vec<usize> {
    let mut source = Source::new(Cursor::new(song.to_vec()), &Deadline::never()).unwrap();
    let (start, first) = walk::find_first(&mut source, 0).unwrap().unwrap();
    let mut walk = Walk::new(&mut source, start..start, first, None).unwrap();
    let mut boundaries = vec![start as usize];
    while let Some(place) = walk.next(&mut source).unwrap() {
        boundaries.push(place.end as usize);
    }
    boundaries
}

fn validated(file: &[u8]) -> Result<validate::AudioHeader> {
    let mut source = Source::new(Cursor::new(file.to_vec()), &Deadline::never()).unwrap();
    validate::audio_of(&mut source, &MediaLimits::default())
}

/// Returns the number of samples of each channel.
fn length(file: &[u8]) -> u64 {
    validated(file).unwrap_or_else(|error| panic!("{error}")).frames.unwrap()
}

fn refusal<T>(verdict: Result<T>) -> String {
    match verdict {
        Err(MediaError::Refused(Refusal { message, .. })) => message,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("the file was taken"),
    }
}

fn examined(file: &[u8]) -> Result<AudioFacts> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("upload");
    std::fs::write(&path, file).unwrap();
    examine_audio(&path, &folder.path().join("copy"), &Deadline::never()).map(|(facts, _)| facts)
}

/// Returns bytes that are neither text nor zeros, the same in every run. No frame begins in them.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8 & 0x7F
    };
    (0..count).map(|_| next()).collect()
}

fn id3v1() -> Vec<u8> {
    let mut tag = b"TAGNight Bus".to_vec();
    tag.resize(128, 0);
    tag
}

fn id3v2(content: usize) -> Vec<u8> {
    [b"ID3\x03\0\0\0\0".as_slice(), &[(content >> 7) as u8, content as u8 & 0x7F], &noise(content)].concat()
}

/// Builds an APE tag with a header and a footer, or with only the footer, as in version 1.
fn ape(has_header: bool) -> Vec<u8> {
    let item = [10_u32.to_le_bytes().as_slice(), &[0; 4], b"Title\0", b"Night Bus!"].concat();
    let end = |flags: u32| {
        let size = item.len() as u32 + 32;
        let numbers = [if has_header { 2000 } else { 1000 }, size, 1, flags].map(u32::to_le_bytes).concat();
        [b"APETAGEX".as_slice(), &numbers, &[0; 8]].concat()
    };
    match has_header {
        true => [end(0xA000_0000), item.clone(), end(0x8000_0000)].concat(),
        false => [item.clone(), end(0)].concat(),
    }
}

/// Builds a frame of zeros that describes the frames behind it.
fn info_frame(name: &[u8; 4], flags: u32, numbers: &[u32], gaps: Option<(u32, u32)>) -> Vec<u8> {
    let mut frame = [[0xFF, 0xFB, 0x50, 0xC4].as_slice(), &[0; 17], name, &flags.to_be_bytes()].concat();
    frame.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    if let Some((delay, padding)) = gaps {
        frame.extend(b"LAME3.100");
        frame.resize(frame.len() + 12, 0);
        frame.extend(&(delay << 12 | padding).to_be_bytes()[1..]);
    }
    frame.resize(FRAME_BYTES, 0);
    frame
}

#[test]
fn files_of_other_tools_are_heard_whole() {
    // Samples, LUFS and dBTP as mpg123 and ffmpeg decode them.
    for (name, samples, lufs, dbtp) in [
        ("mp3_cut_by_mp3splt.mp3", 87_599, -24.6, -14.2),
        ("mp3_id3v2_between_two_songs.mp3", 357_120, -25.1, -14.3),
        ("mp3_ms_with_different_block_types.mp3", 133_632, -17.8, -3.1),
        ("mp3_mixed_blocks.mp3", 92_160, -11.7, 3.3),
        ("mp3_newline_after.mp3", 178_560, -25.1, -14.3),
        ("mp3_vbr_without_xing.mp3", 442_368, -9.9, 1.1),
        ("mp3_xing_counts_0.mp3", 177_455, -24.7, -14.2),
        ("mp3_xing_counts_itself.mp3", 177_455, -24.7, -14.2),
    ] {
        let file = case(name);
        assert_eq!(length(&file), samples, "{name}");
        let facts = examined(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(facts.duration_ms.unsigned_abs(), samples * 1000 / 44_100, "{name}");
        assert!((facts.integrated_lufs.unwrap() - lufs).abs() < 0.11, "{name}: {:?}", facts.integrated_lufs);
        assert!((facts.true_peak_dbtp.unwrap() - dbtp).abs() < 0.3, "{name}: {:?}", facts.true_peak_dbtp);
    }
    let hole = refusal(validated(&case("mp3_zero_hole.mp3")));
    assert!(hole.contains("damaged: at 0:02"), "{hole}");
}
