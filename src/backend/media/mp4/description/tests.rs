use super::*;
use crate::domain::media::{
    AudioCodec,
    mp4_description::{PICTURE_CHILDREN_START, stream_kind},
};

/// Builds an ES descriptor as encoders write it, with the codec's own bytes if it has any.
fn esds(stream_kind: u8, config: &[u8]) -> Vec<u8> {
    esds_with(0, &[], stream_kind, config)
}

/// Builds an ES descriptor with the optional fields that `flags` announce.
fn esds_with(flags: u8, options: &[u8], stream_kind: u8, config: &[u8]) -> Vec<u8> {
    let mut decoder = vec![stream_kind, 0x15, 0, 0, 0, 0, 2, 0xEE, 0, 0, 2, 0xEE, 0];
    if !config.is_empty() {
        decoder.extend([5, 0x80, 0x80, 0x80, config.len() as u8]);
        decoder.extend(config);
    }
    let mut stream = [&[0, 1, flags], options].concat();
    stream.extend([4, 0x80, 0x80, 0x80, decoder.len() as u8]);
    stream.extend(decoder);
    let mut esds = vec![0, 0, 0, 0, 3, 0x80, 0x80, 0x80, stream.len() as u8];
    esds.extend(stream);
    [&(esds.len() as u32 + 8).to_be_bytes(), b"esds".as_slice(), &esds].concat()
}

/// Builds a sample entry whose boxes begin at `children_start`.
fn entry(kind: &[u8; 4], children_start: usize, children: &[u8]) -> Vec<u8> {
    let mut entry = vec![0; children_start];
    entry[4..8].copy_from_slice(kind);
    entry.extend(children);
    entry
}

fn sentence(entry: &[u8]) -> String {
    sound(entry).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn aac_says_its_rate_and_channels_in_two_bytes() {
    let sound = sound(&entry(b"mp4a", 36, &esds(0x40, &[0x12, 0x10]))).expect("AAC-LC, 44.1 kHz, stereo");
    assert_eq!((sound.codec, sound.sample_rate_hz, sound.channels), (AudioCodec::Aac, 44_100, 2));
}

#[test]
fn optional_fields_of_an_es_descriptor_are_passed_over() {
    for (flags, options) in [
        (0x1F, [].as_slice()),
        (0x80, &[4, 4]),
        (0x40, &[3, b'u', b'r', b'l']),
        (0x40, &[0]),
        (0x20, &[4, 4]),
        (0xE0, &[4, 4, 3, b'u', b'r', b'l', 4, 4]),
    ] {
        let sound = sound(&entry(b"mp4a", 36, &esds_with(flags, options, 0x40, &[0x12, 0x10])));
        assert_eq!(sound.map(|sound| sound.sample_rate_hz).ok(), Some(44_100), "{flags:#x}");
    }
    // The descriptor claims a text that is longer than itself.
    let cut = esds_with(0x40, &[255], 0x40, &[0x12, 0x10]);
    assert!(sentence(&entry(b"mp4a", 36, &cut)).contains("damaged"));
}

#[test]
fn every_version_of_quicktimes_entry_is_read() {
    let mut cookie = vec![0, 0, 0, 0, 0, 0, 16, 0, 0, 24, 40, 10, 14, 2, 0, 255];
    cookie.extend([0; 8]);
    cookie.extend(96_000_u32.to_be_bytes());
    let boxed = |kind: &[u8; 4], body: &[u8]| [&(body.len() as u32 + 8).to_be_bytes(), kind.as_slice(), body].concat();
    let wave = boxed(b"wave", &[boxed(b"frma", b"alac"), boxed(b"alac", &cookie)].concat());
    for (version, children_start) in [(0, 36), (1, 52), (2, 72)] {
        let mut entry = entry(b"alac", children_start, &wave);
        entry[17] = version;
        let sound = sound(&entry).expect("ALAC, 96 kHz, 24 bit");
        assert_eq!((sound.codec, sound.sample_rate_hz, sound.bit_depth), (AudioCodec::Alac, 96_000, Some(24)));
    }
}

#[test]
fn codecs_that_we_do_not_take_are_called_by_their_names() {
    for (kind, config, name) in [
        (0x40, [0x2B, 0x92, 0, 0, 0].as_slice(), "HE-AAC"),
        (0x40, &[0xEB, 0x09, 0x88, 0, 0], "HE-AAC"),
        (0x40, &[0x12, 0x10, 0x56, 0xE5, 0xA0], "HE-AAC"),
        (0x40, &[0x0A, 0x10], "AAC Main"),
        (0x40, &[0xF8, 0x80, 0, 0], "MPEG-4 ALS"),
        (0x40, &[0xF9, 0x40, 0, 0], "xHE-AAC"),
        (0x40, &[0x0A, 0x10], "We cannot decode"),
        (0x40, &[0x1A, 0x10], "AAC SSR"),
        (0x40, &[0x22, 0x10], "AAC LTP"),
        (0x40, &[0x32, 0x10], "AAC Scalable"),
        (0x40, &[0x8A, 0x10], "ER AAC LC"),
        (0x40, &[0xBA, 0x10], "AAC-LD"),
        (0x66, &[], "AAC Main"),
        (0x40, &[0xF9, 0x40, 0, 0], "We cannot decode"),
        (0x6B, &[], "MP3"),
        (0x69, &[], "MP3"),
        (0xA5, &[], "AC-3"),
        (0xA6, &[], "E-AC-3"),
        (0xAD, &[], "Opus"),
        (0xDD, &[], "Vorbis"),
        (0x20, &[], "neither ALAC nor AAC"),
    ] {
        let said = sentence(&entry(b"mp4a", 36, &esds(kind, config)));
        assert!(said.contains(name), "{name}: {said}");
    }
    for (kind, name) in [
        (b".mp3", "MP3"),
        (b"fLaC", "FLAC"),
        (b"Opus", "Opus"),
        (b"ac-3", "AC-3"),
        (b"ec-3", "E-AC-3"),
        (b"sowt", "PCM"),
        (b"drms", "protected"),
        (b"abcd", "neither ALAC nor AAC"),
    ] {
        let said = sentence(&entry(kind, 36, &[]));
        assert!(said.contains(name), "{name}: {said}");
    }
    assert!(sentence(&entry(b"mp4a", 36, &esds(0x40, &[0x12, 0x10]))[..50]).contains("damaged"));
}

#[test]
fn a_still_picture_is_no_video() {
    for (is_picture, entry) in [
        (true, entry(b"jpeg", PICTURE_CHILDREN_START, &[])),
        (true, entry(b"png ", PICTURE_CHILDREN_START, &[])),
        (true, entry(b"mp4v", PICTURE_CHILDREN_START, &esds(stream_kind::JPEG, &[]))),
        (false, entry(b"mp4v", PICTURE_CHILDREN_START, &esds(0x20, &[]))),
        (false, entry(b"avc1", PICTURE_CHILDREN_START, &[])),
        (false, vec![]),
    ] {
        assert_eq!(is_still(&entry), is_picture);
    }
}
