//! Compares the precheck with the server's validation.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
};

use proptest::prelude::*;
use tempfile::NamedTempFile;
use testing::fixtures::{self as made, WavFormat, mp4_box};

use super::*;
use crate::{
    backend::media::{Deadline, MediaError, validate_audio, validate_cover},
    domain::media::MediaLimits,
};

/// Larger than any audio file or cover of these tests.
const LIMITS: MediaLimits = MediaLimits { max_audio_bytes: 1 << 33, max_cover_bytes: 1 << 26 };

fn file_of(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file is written");
    file.write_all(bytes).expect("a temporary file is written");
    file
}

/// Runs the precheck as the browser does. Returns why it refuses the file, and how many bytes it read.
fn looked(kind: UploadKind, file: &NamedTempFile) -> (Option<String>, u64) {
    let mut file = File::open(file.path()).expect("the file exists");
    let mut known = PartialFile::new(file.metadata().expect("the file exists").len());
    let mut read = 0;
    loop {
        match precheck(kind, &known) {
            Precheck::Passed => return (None, read),
            Precheck::Refused(message) => return (Some(message), read),
            Precheck::Reads(range) => {
                assert!(range.start < range.end && range.end <= known.length, "{range:?} of {}", known.length);
                let mut bytes = vec![0; (range.end - range.start) as usize];
                file.seek(SeekFrom::Start(range.start)).expect("the file exists");
                file.read_exact(&mut bytes).expect("the file exists");
                read += bytes.len() as u64;
                assert!(read <= 64 * MAX_PIECES as u64 * 1024, "the precheck ends");
                known.add(range.start, bytes);
            }
        }
    }
}

fn checked(kind: UploadKind, file: &NamedTempFile) -> Option<String> {
    let checked = match kind {
        UploadKind::Audio => validate_audio(file.path(), &LIMITS, &Deadline::never()).map(drop),
        UploadKind::Cover => validate_cover(file.path(), &LIMITS, &Deadline::never()).map(drop),
    };
    match checked {
        Ok(()) => None,
        Err(MediaError::Refused(refusal)) => Some(refusal.message),
        Err(error) => panic!("the precheck failed: {error}"),
    }
}

/// Makes a WAV with any numbers in its header.
fn wav_of(channels: u16, hz: u32, bits: u16, tag: u16) -> Vec<u8> {
    let mut file = made::wav(0.1, 44_100, 16, 1);
    let frame_bytes = channels.saturating_mul(bits.div_ceil(8));
    file[20..22].copy_from_slice(&tag.to_le_bytes());
    file[22..24].copy_from_slice(&channels.to_le_bytes());
    file[24..28].copy_from_slice(&hz.to_le_bytes());
    file[32..34].copy_from_slice(&frame_bytes.to_le_bytes());
    file[34..36].copy_from_slice(&bits.to_le_bytes());
    file
}

/// Inserts a chunk of `bytes` bytes between a WAV's head and its other chunks.
fn behind_a_chunk(wav: &[u8], bytes: u32) -> Vec<u8> {
    let chunk = [b"bext".as_slice(), &bytes.to_le_bytes(), &vec![7; bytes as usize]].concat();
    [&wav[..12], &chunk, &wav[12..]].concat()
}

fn flac_of(channels: u64, hz: u64, bits: u64) -> Vec<u8> {
    let mut file = made::flac(0.1, 44_100, 16, 1, "x");
    let packed = u64::from_be_bytes(file[18..26].try_into().expect("eight bytes")) & 0xF_FFFF_FFFF;
    let packed = hz << 44 | (channels - 1) << 41 | (bits - 1) << 36 | packed;
    file[18..26].copy_from_slice(&packed.to_be_bytes());
    file
}

/// Makes an MP4 with one track for each pair of a handler and a sample entry.
fn mp4_of(tracks: &[(&[u8; 4], &[u8; 4])]) -> Vec<u8> {
    let track = |(handler, codec): &(&[u8; 4], &[u8; 4])| {
        let entry = mp4_box(codec, &[&[0; 70]]);
        let tables = mp4_box(b"stbl", &[&mp4_box(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1], &entry])]);
        let handler = mp4_box(b"hdlr", &[&[0; 8], *handler, &[0; 12]]);
        let head = mp4_box(b"tkhd", &[&[0, 0, 0, 1], &[0; 80]]);
        mp4_box(b"trak", &[&head, &mp4_box(b"mdia", &[&handler, &mp4_box(b"minf", &[&tables])])])
    };
    let tracks: Vec<u8> = tracks.iter().flat_map(track).collect();
    let media = mp4_box(b"mdat", &[&[0; 200_000]]);
    [mp4_box(b"ftyp", &[b"M4A \0\0\0\0"]), media, mp4_box(b"moov", &[&tracks])].concat()
}

/// An AAC-LC of 44.1 kHz, mono, whose `moov` comes after its samples.
fn aac() -> Vec<u8> {
    made::case("m4a_editlist_plays_3_of_12s.m4a")
}

/// The place of the first `bytes` in a file.
fn place_of(bytes: &[u8], file: &[u8]) -> usize {
    file.windows(bytes.len()).position(|window| window == bytes).expect("the file has these bytes")
}

/// Makes an AAC with another AudioSpecificConfig.
fn aac_of(config: [u8; 2]) -> Vec<u8> {
    let mut file = aac();
    let at = place_of(&[5, 0x80, 0x80, 0x80, 5, 0x12, 0x08], &file) + 5;
    file[at..at + 2].copy_from_slice(&config);
    file
}

/// Makes an AAC whose stream or sample entry says that it is of another kind.
fn aac_called(old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut file = aac();
    let at = place_of(old, &file);
    file[at..at + new.len()].copy_from_slice(new);
    file
}

fn mp3_at(version: u8, rate: u8) -> Vec<u8> {
    // Each frame is a header of MPEG-2, layer III, at 64 kbit/s.
    let frame = |bytes: usize| {
        let mut frame = vec![0; bytes];
        frame[..4].copy_from_slice(&[0xFF, 0xE0 | version << 3 | 3, 0x80 | rate << 2, 0x64]);
        frame
    };
    frame(72 * 64_000 / 22_050).repeat(40)
}

#[test]
fn of_an_empty_file_nothing_is_read() {
    assert_eq!(looked(UploadKind::Audio, &file_of(&[])), (None, 0));
    assert_eq!(looked(UploadKind::Cover, &file_of(&[])).1, 0);
}

#[test]
fn what_breaks_a_rule_is_refused_in_the_servers_words() {
    let id3 = |file: &[u8]| [b"ID3\x04\0\0\0\0\x02\0".as_slice(), &[0; 256], file].concat();
    let words = |text: &str| text.as_bytes().repeat(100);
    let cases = [
        ("six channels", wav_of(6, 48_000, 24, 1)),
        ("three channels", flac_of(3, 48_000, 24)),
        ("22.05 kHz", wav_of(2, 22_050, 16, 1)),
        ("384 kHz", wav_of(2, 384_000, 16, 1)),
        ("8 bit", wav_of(2, 44_100, 8, 1)),
        ("behind other chunks", behind_a_chunk(&wav_of(2, 32_000, 16, 1), 600_000)),
        ("extensible, 6 channels", {
            let mut file = made::wav_as(WavFormat::Extensible, 0.1, 44_100, 24, 1);
            file[22] = 6;
            file[32] = 18;
            file
        }),
        ("ADPCM in WAV", wav_of(2, 44_100, 4, 0x11)),
        ("no samples", {
            let mut file = made::wav(0.1, 44_100, 16, 1);
            file.truncate(44);
            file[40..44].fill(0);
            file
        }),
        ("AIFF at 32 kHz", made::aiff(0.1, 32_000, 16, 1)),
        ("ambisonic WAV", {
            let mut file = made::wav_as(WavFormat::Extensible, 0.1, 44_100, 24, 1);
            let guid = [1, 0, 0, 0, 0x21, 0x07, 0xD3, 0x11, 0x86, 0x44, 0xC8, 0xC1, 0xCA, 0, 0, 0];
            file[44..60].copy_from_slice(&guid);
            file
        }),
        ("A-law in AIFF", made::aifc(b"alaw", 0.1, 44_100, 16, 1)),
        ("unsigned AIFF", made::aifc(b"raw ", 0.1, 44_100, 16, 1)),
        ("unsigned AIFF of 8 bit", made::aifc(b"raw ", 0.1, 44_100, 8, 1)),
        ("AIFF of a new kind", made::aifc(b"lpcm", 0.1, 44_100, 16, 1)),
        ("AIFF with 12 bit", {
            let mut file = made::aiff(0.1, 44_100, 16, 1);
            file[27] = 12;
            file
        }),
        ("FLAC at 16 kHz", flac_of(2, 16_000, 16)),
        ("FLAC with 8 bit", flac_of(2, 44_100, 8)),
        ("WAV behind ID3", id3(&made::wav(0.1, 44_100, 16, 1))),
        ("AIFF behind ID3", id3(&made::aiff(0.1, 44_100, 16, 1))),
        ("AIFF-C behind ID3", id3(&made::aifc(b"sowt", 0.1, 44_100, 16, 1))),
        ("M4A behind ID3", id3(&made::alac(0.1, 44_100, 1, "x"))),
        ("ADTS behind ID3", id3(&b"\xFF\xF1\x50\x80\x02\x1F\xFC".repeat(100))),
        ("WAV behind two tags", id3(&id3(&made::wav(0.1, 44_100, 16, 1)))),
        ("FLAC behind ID3", id3(&flac_of(5, 44_100, 16))),
        ("MP3 at 22.05 kHz", mp3_at(2, 0)),
        ("MP3 at 22.05 kHz behind ID3", id3(&mp3_at(2, 0))),
        ("ALAC at 22.05 kHz, moov behind", made::alac(0.1, 22_050, 1, "x")),
        ("a video", mp4_of(&[(b"soun", b"mp4a"), (b"vide", b"avc1")])),
        ("a video without sound", mp4_of(&[(b"vide", b"hvc1")])),
        ("pictures alone", mp4_of(&[(b"vide", b"jpeg")])),
        ("protected", mp4_of(&[(b"soun", b"drms")])),
        ("AAC at 22.05 kHz", aac_of([0x13, 0x88])),
        ("AAC at 32 kHz", aac_of([0x12, 0x88])),
        ("AAC with six channels", aac_of([0x12, 0x30])),
        ("HE-AAC", aac_of([0x2B, 0x92])),
        ("HE-AAC behind AAC-LC", aac_called(&[0x56, 0xE5, 0], &[0x56, 0xE5, 0x80])),
        ("AAC Main", aac_of([0x0A, 0x08])),
        ("xHE-AAC", aac_of([0xF9, 0x40])),
        ("MP3 in MP4", aac_called(&[0x40, 0x15, 0, 0], &[0x6B, 0x15, 0, 0])),
        ("Opus in MP4", mp4_of(&[(b"soun", b"Opus")])),
        ("AC-3 in MP4", mp4_of(&[(b"soun", b"ac-3")])),
        ("PCM in QuickTime", mp4_of(&[(b"soun", b"sowt")])),
        ("something new in MP4", mp4_of(&[(b"soun", b"abcd")])),
        ("text", words("These are words. ")),
        ("text behind ID3", id3(&words("These are words. "))),
        ("a drawing", made::svg()),
        ("Ogg", words("OggS")),
        ("RF64", words("RF64")),
        ("ZIP", words("PK\x03\x04")),
        ("PDF", words("%PDF-1.7 ")),
        ("PNG", made::cover_png(64, 1)),
        ("JPEG", made::cover_jpeg(64, 1)),
    ];
    for (what, bytes) in cases {
        let file = file_of(&bytes);
        let (refusal, read) = looked(UploadKind::Audio, &file);
        assert!(refusal.is_some(), "{what} is refused");
        assert_eq!(refusal, checked(UploadKind::Audio, &file), "{what}");
        assert!(read <= 3 * READ_BYTES, "{what}: {read} bytes were read");
    }
}

#[test]
fn what_is_no_cover_is_refused_in_the_servers_words() {
    let jpeg = made::cover_jpeg(300, 1);
    let segments: Vec<u8> = (0..5).flat_map(|_| [b"\xFF\xE2\xFF\xFE".as_slice(), &[9; 65_532]].concat()).collect();
    let cases = [
        ("small PNG", made::cover_png(300, 1)),
        ("oblong PNG", made::picture_png(1600, 900, 1)),
        ("huge PNG", made::png_declaring(65_535, 65_535)),
        ("small JPEG", jpeg.clone()),
        ("JPEG behind a large profile", [&jpeg[..2], &segments, &jpeg[2..]].concat()),
        ("drawing", made::svg()),
        ("song", made::wav(0.1, 44_100, 16, 1)),
        ("GIF", b"GIF89a and more".to_vec()),
        ("WebP", b"RIFF\0\0\0\0WEBPVP8 ".to_vec()),
        ("HEIC", b"\0\0\0\x18ftypheic".to_vec()),
        ("text", b"words".to_vec()),
    ];
    for (what, bytes) in cases {
        let file = file_of(&bytes);
        let (refusal, _) = looked(UploadKind::Cover, &file);
        assert!(refusal.is_some(), "{what} is refused");
        assert_eq!(refusal, checked(UploadKind::Cover, &file), "{what}");
    }
}

#[test]
fn what_is_too_long_says_so_in_its_header() {
    let header = &wav_of(1, 44_100, 16, 1)[..44];
    for (seconds, is_too_long) in [(21_599, false), (21_600, false), (21_601, true)] {
        let bytes: u32 = 44_100 * 2 * seconds;
        let mut header = header.to_vec();
        header[40..44].copy_from_slice(&bytes.to_le_bytes());
        let file = file_of(&header);
        // The file is sparse, so that nothing is written to the disk.
        file.as_file().set_len(u64::from(bytes) + 44).expect("the disk supports sparse files");
        let (refusal, read) = looked(UploadKind::Audio, &file);
        assert_eq!(refusal, checked(UploadKind::Audio, &file));
        assert_eq!(refusal.is_some_and(|why| why.contains("longer than 6 hours")), is_too_long, "{seconds} s");
        assert_eq!(read, READ_BYTES, "of two gigabytes");
    }
}

#[test]
fn whatever_the_server_takes_passes() {
    let audio = [
        made::wav(0.5, 44_100, 16, 1),
        made::wav(0.5, 192_000, 24, 1),
        made::wav_as(WavFormat::Extensible, 0.5, 44_100, 24, 1),
        wav_of(2, 44_100, 32, 3),
        behind_a_chunk(&made::wav(0.5, 44_100, 16, 1), 200_001),
        made::aiff(0.5, 96_000, 24, 1),
        made::aifc(b"sowt", 0.5, 44_100, 16, 1),
        made::aifc(b"42ni", 0.5, 44_100, 24, 1),
        {
            // Its header says 0 frames, although the file holds some.
            let mut file = made::aiff(0.5, 44_100, 16, 1);
            file[22..26].fill(0);
            file
        },
        made::flac(0.5, 48_000, 24, 1, "x"),
        made::mp3(0.5, 44_100, 1, "x"),
        made::alac(0.5, 44_100, 1, "x"),
        made::alac_in_fragments(0.5, 44_100, 2, |_, _| ()),
        made::alac(0.5, 192_000, 1, "x"),
        aac(),
        aac_of([0x11, 0x88]),
        aac_of([0x12, 0x10]),
    ];
    for bytes in audio {
        assert_eq!(looked(UploadKind::Audio, &file_of(&bytes)).0, None);
    }
    for bytes in [made::cover_png(640, 1), made::cover_jpeg(3000, 1), made::animated_png(&made::cover_png(640, 1))] {
        assert_eq!(looked(UploadKind::Cover, &file_of(&bytes)).0, None);
    }
}

#[test]
fn an_mp3_behind_other_bytes_is_left_to_the_server() {
    let mp3 = made::mp3(0.5, 44_100, 1, "x");
    let frames = &mp3[place_of(&[0xFF, 0xFB], &mp3)..];
    // The size of a tag is written in bytes of 7 bits.
    let tag = [b"ID3\x04\0\0\0\x04\x22\x70".as_slice(), &[0; 70_000]].concat();
    for (what, before) in [
        ("zeros that end in the last byte read", vec![0; READ_BYTES as usize - 1]),
        ("a zero and a large tag", [&[0], tag.as_slice()].concat()),
        ("a large tag and a zero", [tag.as_slice(), &[0]].concat()),
        ("bytes that end in the last byte read", vec![b'x'; READ_BYTES as usize - 1]),
    ] {
        let file = file_of(&[&before, frames].concat());
        assert_eq!(checked(UploadKind::Audio, &file), None, "{what}");
        assert_eq!(looked(UploadKind::Audio, &file).0, None, "{what}");
    }
}

#[test]
fn a_file_that_ends_too_early_is_left_to_the_server() {
    let files = [made::wav(0.1, 44_100, 16, 1), made::aiff(0.1, 44_100, 16, 1), made::flac(0.1, 44_100, 16, 1, "x")];
    for file in files.into_iter().chain([made::mp3(0.1, 44_100, 1, "x"), made::alac(0.1, 44_100, 1, "x")]) {
        for end in 16..file.len().min(300) {
            assert_eq!(looked(UploadKind::Audio, &file_of(&file[..end])).0, None, "{end} bytes of {:?}", &file[..8]);
        }
    }
}

#[test]
fn a_length_that_stands_for_unknown_is_left_to_the_server() {
    let numbers = [0, 8, 0x1FC0_0000, 0x7F00_0008, 0x7FFF_F000, 0x7FFF_FFFF, 0x8000_0000, u32::MAX];
    for number in numbers {
        let mut wav = wav_of(1, 44_100, 16, 1);
        wav[40..44].copy_from_slice(&number.to_le_bytes());
        let mut frames = made::aiff(0.1, 44_100, 16, 1);
        frames[22..26].copy_from_slice(&number.to_be_bytes());
        let mut sound = made::aiff(0.1, 44_100, 16, 1);
        sound[42..46].copy_from_slice(&number.to_be_bytes());
        for file in [wav, frames, sound] {
            assert_eq!(looked(UploadKind::Audio, &file_of(&file)).0, None, "{number:#X} in {:?}", &file[..4]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The browser refuses no file that the server would accept, reads little, and doesn't panic. The test changes up
    /// to three bytes in the file's header.
    #[test]
    fn what_the_browser_refuses_the_server_refuses(
        kind in 0_usize..7,
        changes in prop::collection::vec((0_usize..120, any::<u8>()), 1..4),
    ) {
        let mut bytes = match kind {
            0 => made::wav(0.05, 44_100, 16, 1),
            1 => made::wav_as(WavFormat::Extensible, 0.05, 44_100, 24, 1),
            2 => made::aiff(0.05, 44_100, 16, 1),
            3 => made::flac(0.05, 44_100, 16, 1, "x"),
            4 => made::mp3(0.3, 44_100, 1, "x"),
            5 => made::alac(0.05, 44_100, 1, "x"),
            _ => made::cover_png(640, 1),
        };
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        let kind = if kind == 6 { UploadKind::Cover } else { UploadKind::Audio };
        let file = file_of(&bytes);
        if let (Some(words), _) = looked(kind, &file) {
            prop_assert!(checked(kind, &file).is_some(), "{words}");
        }
    }

    /// The test changes up to three bytes in the file's description of the sound.
    #[test]
    fn what_the_browser_refuses_in_an_mp4_the_server_refuses(
        is_aac in any::<bool>(),
        changes in prop::collection::vec((0_usize..110, any::<u8>()), 1..4),
    ) {
        let mut bytes = if is_aac { aac() } else { made::alac(0.05, 44_100, 1, "x") };
        let description = place_of(b"stsd", &bytes);
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(description + at) {
                *place = byte;
            }
        }
        let file = file_of(&bytes);
        if let (Some(words), _) = looked(UploadKind::Audio, &file) {
            prop_assert!(checked(UploadKind::Audio, &file).is_some(), "{words}");
        }
    }

    #[test]
    fn a_file_may_end_where_its_next_part_would_begin(bytes in 0..200_000_u32) {
        let size = [bytes >> 21, bytes >> 14, bytes >> 7, bytes].map(|seven_bits| (seven_bits & 0x7F) as u8);
        let tag = [b"ID3\x04\0\0".as_slice(), &size, &vec![0; bytes as usize]].concat();
        prop_assert_eq!(looked(UploadKind::Audio, &file_of(&tag)).0, None);
    }

    #[test]
    fn anything_at_all_is_looked_at_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..2000), is_cover in any::<bool>()) {
        let kind = if is_cover { UploadKind::Cover } else { UploadKind::Audio };
        looked(kind, &file_of(&bytes));
    }
}
