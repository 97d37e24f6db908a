//! Tests the validation and the examination of every kind of file, good and bad.

use std::{io::Cursor, path::PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;
use testing::fixtures::{self as made, WavFormat};

use super::{
    Deadline, MediaError, Refusal, examine_audio, examine_cover,
    source::{Source, be32},
    validate, validate_audio, validate_cover,
};
use crate::domain::media::{
    AudioCodec, AudioContainer, AudioFacts, CoverColour, CoverFormat, MediaLimits, PackagingNote, Peaks, Tags,
};

const SECONDS: f64 = 1.5;
const RATE_HZ: u32 = 44_100;

/// A file under a name that says nothing.
struct Spooled {
    path: PathBuf,
    /// Path of the listening copy, if the file gets one.
    copy: PathBuf,
    _folder: TempDir,
}

fn spool(bytes: &[u8]) -> Spooled {
    let folder = tempfile::tempdir().expect("a folder for a test");
    let path = folder.path().join("upload");
    std::fs::write(&path, bytes).expect("a file for a test");
    Spooled { path, copy: folder.path().join("copy"), _folder: folder }
}

impl Spooled {
    fn examined(&self) -> Result<(AudioFacts, Peaks), MediaError> {
        examine_audio(&self.path, &self.copy, &Deadline::never())
    }
}

fn refusal<T>(result: Result<T, MediaError>) -> Refusal {
    match result {
        Err(MediaError::Refused(refusal)) => refusal,
        Err(MediaError::Io(error)) => panic!("I/O failed: {error}"),
        Err(MediaError::OutOfTime) => panic!("there is no deadline"),
        Ok(_) => panic!("the file was taken"),
    }
}

fn audio_refusal(bytes: &[u8]) -> (u16, String) {
    let Refusal { status, message } =
        refusal(validate_audio(&spool(bytes).path, &MediaLimits::default(), &Deadline::never()));
    (status, message)
}

fn cover_refusal(bytes: &[u8]) -> (u16, String) {
    let Refusal { status, message } =
        refusal(validate_cover(&spool(bytes).path, &MediaLimits::default(), &Deadline::never()));
    (status, message)
}

fn examine(bytes: &[u8]) -> (AudioFacts, Peaks) {
    let spooled = spool(bytes);
    validate_audio(&spooled.path, &MediaLimits::default(), &Deadline::never()).expect("the file is accepted");
    spooled.examined().expect("the file decodes")
}

#[test]
fn every_kind_of_audio_is_taken_for_what_it_is() {
    let cases = [
        (made::wav(SECONDS, RATE_HZ, 16, 1), "audio/wav", AudioContainer::Wav, AudioCodec::Pcm, Some(16)),
        (made::wav(SECONDS, RATE_HZ, 24, 1), "audio/wav", AudioContainer::Wav, AudioCodec::Pcm, Some(24)),
        (made::aiff(SECONDS, RATE_HZ, 24, 1), "audio/aiff", AudioContainer::Aiff, AudioCodec::Pcm, Some(24)),
        (made::flac(SECONDS, RATE_HZ, 24, 1, "x"), "audio/flac", AudioContainer::Flac, AudioCodec::Flac, Some(24)),
        (made::alac(SECONDS, RATE_HZ, 1, "x"), "audio/mp4", AudioContainer::Mp4, AudioCodec::Alac, Some(16)),
        (made::mp3(SECONDS, RATE_HZ, 1, "x"), "audio/mpeg", AudioContainer::Mp3, AudioCodec::Mp3, None),
    ];
    for (bytes, content_type, container, codec, bit_depth) in cases {
        let spooled = spool(&bytes);
        let validated =
            validate_audio(&spooled.path, &MediaLimits::default(), &Deadline::never()).expect("the file is accepted");
        assert_eq!((validated.content_type, validated.container, validated.codec), (content_type, container, codec));
        assert_eq!((validated.sample_rate_hz, validated.channels, validated.bit_depth), (44_100, 2, bit_depth));
        let declared_ms = validated.duration_ms.expect("the header says the length");
        assert!(declared_ms.abs_diff(1500) < 60, "{container:?}: {declared_ms} ms");

        let (facts, Peaks(peaks)) = spooled.examined().expect("the file decodes");
        assert_eq!((facts.container, facts.codec, facts.bit_depth), (container, codec, bit_depth));
        assert!(facts.duration_ms.abs_diff(1500) < 60, "{container:?}: {} ms", facts.duration_ms);
        // All of them hold the same song, so they measure alike.
        let (lufs, peak) = (facts.integrated_lufs.expect("it has sound"), facts.true_peak_dbtp.expect("it has sound"));
        assert!((-30.0..-10.0).contains(&lufs), "{container:?}: {lufs} LUFS");
        assert!((-3.5..-0.5).contains(&peak), "{container:?}: {peak} dBTP");
        assert_eq!(facts.clipped_samples, 0);
        assert_eq!(peaks.len(), Peaks::BUCKETS);
        assert!(peaks.iter().any(|peak| *peak > 150) && peaks[0] < 20);
    }
}

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

/// Encodes loud sound of 24 bits whose blocks also hold silence, as drums do.
#[test]
fn a_copy_is_never_much_longer_than_the_sound() {
    for (burst_samples, shift) in [(50, 0), (300, 0), (1500, 0), (300, 1), (300, 3)] {
        let mut file = made::aiff(2.0, RATE_HZ, 24, 1);
        let start = file.windows(4).position(|bytes| bytes == b"SSND").expect("there is sound") + 16;
        let mut state = 1_u32;
        for (number, sample) in file[start..].chunks_exact_mut(3).enumerate() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let is_loud = number / (2 * burst_samples) % 2 == 0;
            let value = if is_loud { state.cast_signed() >> (8 + shift) } else { 0 };
            sample.copy_from_slice(&value.to_be_bytes()[1..]);
        }
        let spooled = spool(&file);
        let (facts, _) = spooled.examined().expect("the file decodes");
        let copy = std::fs::read(&spooled.copy).expect("a copy was made");
        assert!(copy.len() < file.len() * 102 / 100, "{} of {} bytes", copy.len(), file.len());
        assert_eq!(examine(&copy).0.true_peak_dbtp, facts.true_peak_dbtp);
    }
}

#[test]
fn what_not_every_browser_plays_is_copied_sample_by_sample() {
    // The MD5 of all samples, as FLAC keeps it.
    let sound = |flac: &[u8]| flac[26..42].to_vec();
    let cases = [
        (made::aiff(SECONDS, RATE_HZ, 16, 1), made::flac(SECONDS, RATE_HZ, 16, 1, "x")),
        (made::aiff(SECONDS, 96_000, 24, 2), made::flac(SECONDS, 96_000, 24, 2, "x")),
        (made::alac(SECONDS, RATE_HZ, 3, "x"), made::flac(SECONDS, RATE_HZ, 16, 3, "x")),
    ];
    for (file, same) in cases {
        let spooled = spool(&file);
        let (facts, peaks) = spooled.examined().expect("the file decodes");
        assert_eq!(facts.played_as(), "audio/flac");
        let copy = std::fs::read(&spooled.copy).expect("a copy was made");
        assert_eq!(sound(&copy), sound(&same));
        assert!(copy.len() < file.len() * 9 / 10, "{} of {} bytes", copy.len(), file.len());
        let (copied, copied_peaks) = examine(&copy);
        assert_eq!((copied.container, copied.codec), (AudioContainer::Flac, AudioCodec::Flac));
        let same_sound =
            AudioFacts { container: facts.container, codec: facts.codec, has_listening_copy: true, ..copied };
        assert_eq!((same_sound, copied_peaks), (facts, peaks));
    }
    for plays_everywhere in [made::wav(SECONDS, RATE_HZ, 24, 1), made::flac(SECONDS, RATE_HZ, 16, 1, "x")] {
        let spooled = spool(&plays_everywhere);
        assert!(!spooled.examined().expect("the file decodes").0.has_listening_copy);
        assert!(!spooled.copy.exists());
    }
}

#[test]
fn high_rates_are_copied_at_their_rate() {
    for (rate_hz, bits) in [(88_200, 24), (176_400, 24), (192_000, 16)] {
        let spooled = spool(&made::aiff(SECONDS, rate_hz, bits, 1));
        let (facts, _) = spooled.examined().expect("the file decodes");
        let (copied, _) = examine(&std::fs::read(&spooled.copy).expect("a copy was made"));
        assert_eq!((copied.sample_rate_hz, copied.bit_depth), (rate_hz.cast_signed(), Some(bits.cast_signed())));
        assert_eq!((copied.duration_ms, copied.true_peak_dbtp), (facts.duration_ms, facts.true_peak_dbtp));
    }
}

#[test]
fn a_disk_that_takes_no_copy_is_no_fault_of_the_file() {
    let spooled = spool(&made::aiff(SECONDS, RATE_HZ, 16, 1));
    let nowhere = spooled.path.join("copy");
    assert!(matches!(examine_audio(&spooled.path, &nowhere, &Deadline::never()), Err(MediaError::Io(_))));
}

#[test]
fn a_file_tells_how_it_is_called() {
    let tags = |bytes: &[u8]| {
        validate_audio(&spool(bytes).path, &MediaLimits::default(), &Deadline::never())
            .expect("the file is accepted")
            .tags
    };
    assert_eq!(
        tags(&made::flac(SECONDS, RATE_HZ, 16, 1, "Night Bus")),
        Tags {
            title: Some("Night Bus".into()),
            artist: Some("Ana Vwaza".into()),
            album: Some("Late Lines".into()),
            isrc: Some("NLA502600017".into()),
            disc_number: None,
            track_number: Some(3),
        }
    );
    assert_eq!(tags(&made::mp3(SECONDS, RATE_HZ, 1, "Früh")).title, Some("Früh".into()));
    assert_eq!(tags(&made::alac(SECONDS, RATE_HZ, 1, "Tram")).title, Some("Tram".into()));
    let wav = made::wav_with_title(SECONDS, RATE_HZ, 16, 1, "Bus");
    assert_eq!(tags(&wav).title, Some("Bus".into()));
    assert_eq!(examine(&wav).0.packaging, vec![]);
}

#[test]
fn a_name_is_never_asked() {
    let folder = tempfile::tempdir().expect("a folder for a test");
    let path = folder.path().join("song.flac");
    std::fs::write(&path, made::mp3(SECONDS, RATE_HZ, 1, "x")).expect("a file for a test");
    assert_eq!(
        validate_audio(&path, &MediaLimits::default(), &Deadline::never()).expect("an MP3").container,
        AudioContainer::Mp3
    );
}

#[test]
fn what_stores_mind_about_a_wav_is_noted() {
    let extensible = made::wav_as(WavFormat::Extensible, SECONDS, RATE_HZ, 24, 1);
    assert_eq!(examine(&extensible).0.packaging, vec![PackagingNote::Extensible]);
    let mut with_tail = made::wav(SECONDS, RATE_HZ, 16, 1);
    with_tail.extend(b"LIST\x04\0\0\0INFO");
    assert_eq!(examine(&with_tail).0.packaging, vec![PackagingNote::TrailingData]);

    let mut float = made::wav(SECONDS, RATE_HZ, 16, 1);
    // The format tag, the bytes of a frame and the bits declare 32-bit floats, and every sample is 0.
    float[20] = 3;
    float[32..36].copy_from_slice(&[8, 0, 32, 0]);
    float[44..].fill(0);
    assert_eq!(examine(&float).0.packaging, vec![PackagingNote::FloatingPoint]);
}

/// Builds a WAV of 32-bit floats, the same in both channels.
fn float_wav(sample: impl Fn(usize) -> f32) -> Vec<u8> {
    let mut float = made::wav(SECONDS, RATE_HZ, 16, 1);
    float[20] = 3;
    float[32..36].copy_from_slice(&[8, 0, 32, 0]);
    for (at, frame) in float[44..].chunks_exact_mut(8).enumerate() {
        let sample = sample(at).to_le_bytes();
        frame.copy_from_slice(&[sample, sample].concat());
    }
    float
}

/// A sine of 441 Hz.
fn sine(amplitude: f32) -> impl Fn(usize) -> f32 {
    move |at| (at as f32 / 100.0 * std::f32::consts::TAU).sin() * amplitude
}

#[test]
fn a_floating_point_wav_above_full_scale_is_a_fact() {
    for (amplitude, dbtp) in [(10.0, 20.0), (15.9, 24.03)] {
        let (facts, _) = examine(&float_wav(sine(amplitude)));
        let (lufs, peak) = (facts.integrated_lufs.expect("it has sound"), facts.true_peak_dbtp.expect("it has sound"));
        assert!((peak - dbtp).abs() < 0.1 && lufs > dbtp - 5.0, "{lufs} LUFS, {peak} dBTP");
    }
}

#[test]
fn floats_that_were_scaled_as_whole_numbers_are_refused() {
    // The energy in both channels is just above what the meter can count, though the peak is below +24 dBFS.
    let square = |at: usize| if at % 4 < 2 { 15.8 } else { -15.8 };
    for (file, times) in [
        (float_wav(sine(16.2)), "16 times"),
        (float_wav(sine(32_768.0)), "32768 times"),
        (float_wav(sine(3e30)), "more than a million times"),
        (float_wav(square), "16 times"),
    ] {
        let Refusal { status, message } = refusal(spool(&file).examined());
        assert!(status == 422 && message.contains(times) && message.contains("full scale at 1.0"), "{message}");
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
fn every_kind_of_pcm_in_an_aiff_is_read() {
    for (kind, bits) in [(b"NONE", 16), (b"twos", 16), (b"sowt", 16), (b"in24", 24), (b"42ni", 24), (b"NONE", 24)] {
        let file = made::aifc(kind, SECONDS, RATE_HZ, bits, 1);
        assert_eq!(examine(&file), examine(&made::aiff(SECONDS, RATE_HZ, bits, 1)), "{kind:?}");
    }
    let wide = examine(&made::aifc(b"in32", SECONDS, RATE_HZ, 32, 1));
    assert_eq!(examine(&made::aifc(b"23ni", SECONDS, RATE_HZ, 32, 1)), wide);
    assert_eq!(wide.0.true_peak_dbtp, examine(&made::aiff(SECONDS, RATE_HZ, 24, 1)).0.true_peak_dbtp);
}

#[test]
fn other_kinds_in_an_aiff_are_called_by_their_name() {
    for (kind, bits, words) in [
        (b"ulaw", 16, "µ-law"),
        (b"ALAW", 16, "A-law"),
        (b"ima4", 16, "ADPCM"),
        (b"MAC3", 8, "MACE"),
        (b"ACE2", 8, "compressed audio"),
        (b"raw ", 16, "unsigned samples"),
        (b"lpcm", 16, "in a format that we don't know"),
    ] {
        let (status, message) = audio_refusal(&made::aifc(kind, 0.2, RATE_HZ, bits, 1));
        assert!(status == 415 && message.contains(words), "{kind:?}: {message}");
    }
    // Plain samples, but with too few bits.
    let (status, message) = audio_refusal(&made::aifc(b"raw ", 0.2, RATE_HZ, 8, 1));
    assert!(status == 422 && message.contains("8 bit"), "{message}");
}

#[test]
fn wavs_that_are_not_what_they_seem_are_called_by_their_name() {
    let mut packed = made::wav(0.2, RATE_HZ, 24, 1);
    packed[32] = 8;
    let (status, message) = audio_refusal(&packed);
    assert!(status == 422 && message.contains("We cannot decode") && message.contains("24 bits in 32"), "{message}");

    let mut extensible = made::wav_as(WavFormat::Extensible, 0.2, RATE_HZ, 24, 1);
    for (sub_format, words) in [
        ([1, 0, 0, 0, 0x21, 0x07, 0xD3, 0x11, 0x86, 0x44, 0xC8, 0xC1, 0xCA, 0, 0, 0], "ambisonic"),
        ([3, 0, 0, 0, 0x21, 0x07, 0xD3, 0x11, 0x86, 0x44, 0xC8, 0xC1, 0xCA, 0, 0, 0], "ambisonic"),
        ([9; 16], "in a format that we don't know"),
    ] {
        extensible[44..60].copy_from_slice(&sub_format);
        let (status, message) = audio_refusal(&extensible);
        assert!(status == 415 && message.contains(words), "{message}");
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
        assert_eq!(refusal.status, 422);
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
fn other_kinds_of_files_are_called_by_their_name() {
    let id3 = [b"ID3\x03\0\0\0\0\0\x40".as_slice(), &[0; 64]].concat();
    for (bytes, name) in [
        (b"OggS\0\x02".to_vec(), "Ogg"),
        (b"\x1A\x45\xDF\xA3webm".to_vec(), "WebM"),
        (b"RF64\xFF\xFF\xFF\xFFWAVE".to_vec(), "RF64"),
        (made::case("ogg_with_flac.flac"), "FLAC in an Ogg container"),
        (made::case("adts_behind_id3.aac"), "bare AAC stream"),
        ([id3.as_slice(), &made::wav(0.1, RATE_HZ, 16, 1)].concat(), "WAV behind an ID3 tag"),
        ([id3.as_slice(), &made::aiff(0.1, RATE_HZ, 16, 1)].concat(), "AIFF behind an ID3 tag"),
        ([id3.as_slice(), &made::alac(0.1, RATE_HZ, 1, "x")].concat(), "MP4 behind an ID3 tag"),
        ([id3.as_slice(), b"wvpk\0\0\0\0"].concat(), "WavPack"),
        (b"Just words. ".repeat(2000), "not an audio file"),
        (made::cover_png(640, 1), "picture"),
        (vec![0; 100_000], "not an audio file"),
    ] {
        let (status, message) = audio_refusal(&bytes);
        assert!(status == 415 && message.contains(name), "{status} {message}");
    }
    for (bytes, name) in [
        (made::svg(), "SVG"),
        (b"\xEF\xBB\xBF <!doctype html><p>".to_vec(), "web page"),
        (b"GIF89a".to_vec(), "GIF"),
        (b"RIFF\0\0\0\0WEBPVP8 ".to_vec(), "WebP"),
        (b"\0\0\0\x18ftypheic".to_vec(), "HEIC"),
        (made::wav(0.1, RATE_HZ, 16, 1), "not a JPEG"),
    ] {
        let (status, message) = cover_refusal(&bytes);
        assert!(status == 415 && message.contains(name), "{status} {message}");
    }
}

#[test]
fn limits_are_sizes_of_what_is_there() {
    let limits = MediaLimits { max_audio_bytes: 1000, max_cover_bytes: 1000 };
    assert_eq!(
        refusal(validate_audio(&spool(&made::wav(1.0, RATE_HZ, 16, 1)).path, &limits, &Deadline::never())).status,
        413
    );
    assert_eq!(refusal(validate_cover(&spool(&made::cover_png(700, 1)).path, &limits, &Deadline::never())).status, 413);
    assert_eq!(audio_refusal(b"").0, 422);
    assert_eq!(cover_refusal(b"").0, 422);
}

/// Builds a WAV with some bytes of its header replaced.
fn wav_with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = made::wav(0.2, RATE_HZ, 16, 1);
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

#[test]
fn impossible_wav_headers_are_refused() {
    for (file, word) in [
        (wav_with(40, &[0xFF; 4]), "how long"),
        (wav_with(40, &[0; 4]), "how long"),
        (wav_with(24, &[0; 4]), "44.1"),
        (wav_with(24, &[0xFF; 4]), "192"),
        (wav_with(24, &22_050_u32.to_le_bytes()), "22.05 kHz"),
        (wav_with(22, &[0xFF, 0xFF]), "contradict"),
        (wav_with(22, &[0, 0]), "contradict"),
        (wav_with(34, &[0, 0]), "sample size"),
        (wav_with(16, &[0xF0, 0xFF, 0xFF, 0xFF]), "incomplete"),
        (wav_with(36, b"junk"), "incomplete"),
    ] {
        let (status, message) = audio_refusal(&file);
        assert!(status == 422 && message.contains(word), "{word}: {message}");
    }
    let mut six_channels = wav_with(22, &[6, 0]);
    six_channels[32] = 12;
    assert!(audio_refusal(&six_channels).1.contains("6 channels"));
    let mut too_many_channels = wav_with(22, &[0xFF, 0xFF]);
    too_many_channels[32..36].copy_from_slice(&[0xFF, 0xFF, 8, 0]);
    assert!(audio_refusal(&too_many_channels).1.contains("65535 channels"));
    for (tag, name) in [(0x55, "MP3"), (0x11, "ADPCM"), (0x06, "A-law"), (0x99, "compressed audio")] {
        let (status, message) = audio_refusal(&wav_with(20, &[tag, 0]));
        assert!(status == 415 && message.contains(name), "{status} {message}");
    }
}

#[test]
fn a_file_without_sound_is_refused() {
    assert!(audio_refusal(&made::wav(0.0, RATE_HZ, 16, 1)).1.contains("no sound"));
}

#[test]
fn a_cover_is_measured_and_scaled() {
    for (bytes, format, edges) in [
        (made::cover_png(1800, 4), CoverFormat::Png, vec![160, 640, 1600]),
        (made::cover_jpeg(1800, 5), CoverFormat::Jpeg, vec![160, 640, 1600]),
        (made::cover_png(1000, 6), CoverFormat::Png, vec![160, 640, 1000]),
        (made::cover_jpeg(640, 7), CoverFormat::Jpeg, vec![160, 640]),
    ] {
        let spooled = spool(&bytes);
        let validated =
            validate_cover(&spooled.path, &MediaLimits::default(), &Deadline::never()).expect("the cover is accepted");
        assert_eq!(validated.content_type, format.content_type());
        let (facts, thumbnails) = examine_cover(&spooled.path, &Deadline::never()).expect("the cover decodes");
        assert_eq!(facts, validated.facts);
        assert_eq!((facts.format, facts.colour, facts.has_alpha), (format, CoverColour::Rgb, false));
        assert_eq!(thumbnails.iter().map(|thumbnail| thumbnail.edge_px).collect::<Vec<_>>(), edges);
        for thumbnail in thumbnails {
            let picture = image::load_from_memory(&thumbnail.jpeg).expect("a thumbnail is a JPEG");
            assert_eq!((picture.width() as i32, picture.height() as i32), (thumbnail.edge_px, thumbnail.edge_px));
        }
    }
}

#[test]
fn covers_in_every_colour_have_thumbnails() {
    let picture = image::load_from_memory(&made::cover_png(700, 8)).expect("a cover");
    for (converted, colour, bits, has_alpha) in [
        (image::DynamicImage::from(picture.to_luma8()), CoverColour::Grayscale, 8, false),
        (picture.to_luma_alpha16().into(), CoverColour::Grayscale, 16, true),
        (picture.to_rgba8().into(), CoverColour::Rgb, 8, true),
        (picture.to_rgb16().into(), CoverColour::Rgb, 16, false),
    ] {
        let mut bytes = Cursor::new(Vec::new());
        converted.write_to(&mut bytes, image::ImageFormat::Png).expect("writing to memory cannot fail");
        let (facts, thumbnails) =
            examine_cover(&spool(bytes.get_ref()).path, &Deadline::never()).expect("the cover decodes");
        assert_eq!((facts.colour, facts.bits_per_channel, facts.has_alpha), (colour, bits, has_alpha));
        assert_eq!(thumbnails.len(), 3);
    }
}

#[test]
fn what_was_transparent_becomes_white() {
    let glass = image::RgbaImage::from_pixel(640, 640, image::Rgba([200, 0, 0, 0]));
    let mut bytes = Cursor::new(Vec::new());
    glass.write_to(&mut bytes, image::ImageFormat::Png).expect("writing to memory cannot fail");
    let (_, thumbnails) = examine_cover(&spool(bytes.get_ref()).path, &Deadline::never()).expect("the cover decodes");
    let smallest = image::load_from_memory(&thumbnails[0].jpeg).expect("a thumbnail is a JPEG").into_rgb8();
    assert!(smallest.pixels().all(|pixel| pixel.0.iter().all(|value| *value > 250)));
}

#[test]
fn covers_that_would_harm_are_refused_by_their_header() {
    assert!(cover_refusal(&made::png_declaring(65_535, 65_535)).1.contains("6000"));
    assert!(cover_refusal(&made::png_declaring(u32::MAX, u32::MAX)).1.contains("6000"));
    assert!(cover_refusal(&made::animated_png(&made::cover_png(700, 1))).1.contains("animated"));
    assert!(cover_refusal(&made::picture_png(1600, 900, 1)).1.contains("square"));
    assert!(cover_refusal(&made::cover_png(300, 1)).1.contains("640"));

    let plain = made::cover_png(700, 1);
    let carrying = |kind: &[u8; 4], bytes: u32| {
        let mut bomb = [&plain[..33], &bytes.to_be_bytes(), kind].concat();
        bomb.resize(bomb.len() + bytes as usize + 4, 0);
        bomb.extend(&plain[33..]);
        cover_refusal(&bomb).1
    };
    assert!(carrying(b"eXIf", 9 << 20).contains("other data"));
    assert!(carrying(b"zTXt", 2 << 20).contains("profiles and texts"));
}

#[test]
fn a_picture_without_the_pixels_that_its_header_promises_is_refused() {
    // The header promises 3,000 × 3,000 pixels, and the stream behind it is broken.
    let spooled = spool(&made::png_declaring(3000, 3000));
    validate_cover(&spooled.path, &MediaLimits::default(), &Deadline::never()).expect("its header is fine");
    assert_eq!(refusal(examine_cover(&spooled.path, &Deadline::never())).status, 422);
}

/// One small file of every kind.
fn samples() -> Vec<Vec<u8>> {
    vec![
        made::wav_with_title(0.3, RATE_HZ, 16, 1, "x"),
        made::aiff(0.3, RATE_HZ, 24, 1),
        made::flac(0.3, RATE_HZ, 16, 1, "x"),
        made::mp3(0.3, RATE_HZ, 1, "x"),
        made::alac(0.3, RATE_HZ, 1, "x"),
        made::cover_png(640, 1),
        made::cover_jpeg(640, 1),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 50, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_get_a_verdict(kind in 0_usize..8, bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let magics: [&[u8]; 8] = [
            b"",
            b"RIFF\0\0\0\0WAVE",
            b"FORM\0\0\0\0AIFC",
            b"fLaC",
            b"ID3\x03\0\0\0\0\0\x10",
            b"\0\0\0\x08ftyp",
            b"\x89PNG\r\n\x1A\n",
            b"\xFF\xD8\xFF",
        ];
        let file = [magics[kind], &bytes].concat();
        let limits = MediaLimits::default();
        let _ = validate::audio_of(&mut Source::new(Cursor::new(file.clone()), &Deadline::never())?, &limits);
        let _ = validate::cover_of(&mut Source::new(Cursor::new(file), &Deadline::never())?, &limits);
    }

    #[test]
    fn mutated_headers_get_a_verdict(
        kind in 0_usize..7,
        changes in prop::collection::vec((0_usize..600, any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut file = SAMPLES.with(|samples| samples[kind].clone());
        for (at, byte) in changes {
            file[at] = byte;
        }
        let limits = MediaLimits::default();
        let _ = validate::audio_of(&mut Source::new(Cursor::new(file.clone()), &Deadline::never())?, &limits);
        let _ = validate::cover_of(&mut Source::new(Cursor::new(file.clone()), &Deadline::never())?, &limits);
        file.truncate(cut.index(file.len()));
        let _ = validate::audio_of(&mut Source::new(Cursor::new(file.clone()), &Deadline::never())?, &limits);
        let _ = validate::cover_of(&mut Source::new(Cursor::new(file), &Deadline::never())?, &limits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn mutated_files_decode_or_are_refused(
        kind in 0_usize..7,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let mut file = SAMPLES.with(|samples| samples[kind].clone());
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let spooled = spool(&file);
        for verdict in [spooled.examined().err(), examine_cover(&spooled.path, &Deadline::never()).err()] {
            prop_assert!(!matches!(verdict, Some(MediaError::Io(_))), "{verdict:?}");
        }
    }
}

thread_local! {
    static SAMPLES: Vec<Vec<u8>> = samples();
}

#[test]
fn numbers_that_are_not_there_are_zero() {
    assert_eq!(be32(&[1, 2, 3], 0), 0);
    assert_eq!(be32(&[1, 2, 3, 4, 5], 1), 0x0203_0405);
}
