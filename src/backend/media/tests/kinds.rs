//! Tests that every kind of file is taken for what it is, by its content, and that others are called by their name.

use testing::fixtures::{self as made, WavFormat};

use super::{RATE_HZ, SECONDS, audio_refusal, cover_refusal, examine, spool};
use crate::{
    backend::media::{Deadline, validate_audio},
    domain::media::{AudioCodec, AudioContainer, MediaLimits, PackagingNote, Peaks, Tags},
};

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
