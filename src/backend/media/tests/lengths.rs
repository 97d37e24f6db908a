//! Tests lengths that are wrong or unknown, and files that are cut off, damaged or without sound.

use testing::fixtures as made;

use super::{RATE_HZ, SECONDS, audio_refusal, cover_refusal, examine, refusal, spool};
use crate::{
    backend::media::{Deadline, examine_cover, source::be32, validate_audio, validate_cover},
    domain::media::MediaLimits,
};

#[test]
fn an_aiff_is_as_long_as_its_sound_whatever_its_header_counts() {
    let whole = made::aiff(SECONDS, RATE_HZ, 16, 1);
    let at = whole.windows(4).position(|bytes| bytes == b"COMM").expect("it has a header") + 10;
    for counted in [0_u32, 1, 30_000] {
        let mut file = whole.clone();
        file[at..at + 4].copy_from_slice(&counted.to_be_bytes());
        assert_eq!(examine(&file), examine(&whole), "{counted}");
    }
}

#[test]
fn what_stands_behind_an_mp4_is_harmless_and_what_is_missing_is_not() {
    let whole = made::alac(SECONDS, RATE_HZ, 1, "x");
    let id3v1 = [b"TAGNight Bus".as_slice(), &[0; 116]].concat();
    for behind in [id3v1.as_slice(), b"APETAGEX\xD0\x07\0\0 and more", b"\r\n", b"Just a few words."] {
        assert_eq!(examine(&[whole.as_slice(), behind].concat()), examine(&whole), "{behind:?}");
    }
    for left in [whole.len() - 1, whole.len() / 2, 40] {
        let spooled = spool(&whole[..left]);
        let validated = validate_audio(&spooled.path, &MediaLimits::default(), &Deadline::never());
        assert!(validated.is_err(), "{left} of {} bytes", whole.len());
    }
}

#[test]
fn a_length_that_stands_for_unknown_is_called_that() {
    let with = |file: &[u8], changes: &[(usize, [u8; 4])]| {
        let mut file = file.to_vec();
        for (at, number) in changes {
            file[*at..at + 4].copy_from_slice(number);
        }
        audio_refusal(&file)
    };
    let unknown = "does not say how long it is";
    let wav = made::wav(SECONDS, RATE_HZ, 16, 1);
    let bytes = wav.len() as u32;
    for (declared, words) in [
        // From ffmpeg, from mpg123 and an export that was interrupted, and from SoX with 16 and 24 bit.
        (u32::MAX, unknown),
        (0, unknown),
        (0x7FFF_F000, unknown),
        (0x7FFF_EFFC, unknown),
        // The highest numbers, with and without the header.
        (0x7FFF_FFFF, unknown),
        (0x7FFF_FFFF - 36, unknown),
        (0x8000_0000, unknown),
        (0xFFFF_FFFE, unknown),
        (u32::MAX - 44, unknown),
        // The length of the file, and the length in its header.
        (bytes, unknown),
        (bytes - 8, unknown),
        // Any other number is a real length.
        (bytes - 44 + 8, "incomplete"),
        (bytes - 44 + 4096, "incomplete"),
        (0x7000_0000, "incomplete"),
        (3_000_000_000, "incomplete"),
    ] {
        let (status, message) = with(&wav, &[(40, declared.to_le_bytes())]);
        assert!(status == 422 && message.contains(words), "{declared:#X}: {message}");
    }

    for file in [made::aiff(SECONDS, RATE_HZ, 16, 1), made::aifc(b"sowt", SECONDS, RATE_HZ, 16, 1)] {
        let at = |name: &[u8]| file.windows(4).position(|bytes| bytes == name).expect("it has this chunk");
        let (frames_at, sound_at) = (at(b"COMM") + 10, at(b"SSND") + 4);
        let (bytes, sound, frames) = (file.len() as u32, be32(&file, sound_at), be32(&file, frames_at));
        for (declared, counted, words) in [
            // From ffmpeg, from an interrupted export, and from SoX with 16 and 24 bit.
            (0, 0, unknown),
            (8, 0, unknown),
            (0x7F00_0008, 0x1FC0_0000, unknown),
            (0x7F00_0004, 0x152A_AAAA, unknown),
            (u32::MAX, 0, unknown),
            (0x7FFF_FFFF, frames, unknown),
            (0x8000_0000, frames, unknown),
            (bytes, frames, unknown),
            (bytes - 8, frames, unknown),
            (sound, 0x1FC0_0000, unknown),
            (sound, 0x7FFF_FFFF, unknown),
            (sound, u32::MAX, unknown),
            (sound + 4096, frames, "incomplete"),
            (sound, frames + 1, "incomplete"),
            (0x7000_0000, frames, "incomplete"),
        ] {
            let (status, message) =
                with(&file, &[(sound_at, declared.to_be_bytes()), (frames_at, counted.to_be_bytes())]);
            assert!(status == 422 && message.contains(words), "{declared:#X}, {counted:#X}: {message}");
        }
    }
}

#[test]
fn a_file_without_sound_says_how_long_it_is() {
    let wav = made::wav(0.0, RATE_HZ, 16, 1);
    let aiff = made::aiff(0.0, RATE_HZ, 16, 1);
    for (file, behind) in [(wav, b"LIST\x0C\0\0\0INFOand such"), (aiff, b"ANNO\0\0\0\x0CNot a sound.")] {
        let (_, message) = audio_refusal(&[file.as_slice(), behind].concat());
        assert!(message.contains("no sound"), "{message}");
    }
}

#[test]
fn what_is_cut_off_is_called_incomplete() {
    let files = [
        made::wav(SECONDS, RATE_HZ, 16, 1),
        made::aiff(SECONDS, RATE_HZ, 16, 1),
        made::flac(SECONDS, RATE_HZ, 16, 1, "x"),
        made::alac(SECONDS, RATE_HZ, 1, "x"),
        made::mp3(SECONDS, RATE_HZ, 1, "x"),
    ];
    for file in files {
        for cut in [made::truncated(&file), file[..file.len() - 7].to_vec()] {
            let (status, message) = audio_refusal(&cut);
            assert_eq!(status, 422);
            assert!(message.contains("incomplete"), "{:?}: {message}", &file[..4]);
        }
    }
    let cover = made::cover_png(700, 1);
    assert!(cover_refusal(&made::truncated(&cover)).1.contains("incomplete"));
    let cover = made::cover_jpeg(700, 1);
    assert!(cover_refusal(&made::truncated(&cover)).1.contains("incomplete"));
}

#[test]
fn damage_that_no_header_shows_is_found_by_decoding() {
    for file in [made::flac(SECONDS, RATE_HZ, 16, 1, "x"), made::flac(SECONDS, RATE_HZ, 24, 2, "x")] {
        let spooled = spool(&made::damaged_in_the_middle(&file));
        validate_audio(&spooled.path, &MediaLimits::default(), &Deadline::never()).expect("its header is fine");
        let refusal = refusal(spooled.examined());
        assert_eq!(refusal.kind.status(), 422);
        assert!(refusal.message.contains("damaged"), "{}", refusal.message);
    }
    let spooled = spool(&made::damaged_in_the_middle(&made::cover_png(700, 3)));
    validate_cover(&spooled.path, &MediaLimits::default(), &Deadline::never()).expect("its header is fine");
    assert!(refusal(examine_cover(&spooled.path, &Deadline::never())).message.contains("damaged"));
}

#[test]
fn a_checksum_that_is_wrong_is_damage() {
    let mut file = made::flac(SECONDS, RATE_HZ, 16, 1, "x");
    // The MD5 of the samples ends STREAMINFO.
    file[41] ^= 1;
    assert!(refusal(spool(&file).examined()).message.contains("checksum"));
}

#[test]
fn a_file_without_sound_is_refused() {
    assert!(audio_refusal(&made::wav(0.0, RATE_HZ, 16, 1)).1.contains("no sound"));
}
