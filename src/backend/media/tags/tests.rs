//! Tests every kind of tag, well-formed and malformed.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::backend::media::Deadline;

fn source(bytes: &[u8]) -> Source {
    Source::new(Cursor::new(bytes.to_vec()), &Deadline::never()).expect("reading from memory cannot fail")
}

fn synchsafe(number: usize) -> [u8; 4] {
    [21, 14, 7, 0].map(|shift| (number >> shift & 0x7F) as u8)
}

/// Builds a tag with these frames, behind an extended header if there is one.
fn id3(version: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    [b"ID3".as_slice(), &[version, 0, flags], &synchsafe(body.len()), body].concat()
}

fn frame(version: u8, id: &str, flags: u8, content: &[u8]) -> Vec<u8> {
    let size = match version {
        2 => (content.len() as u32).to_be_bytes()[1..].to_vec(),
        3 => (content.len() as u32).to_be_bytes().to_vec(),
        _ => synchsafe(content.len()).to_vec(),
    };
    let flags: &[u8] = if version == 2 { &[] } else { &[0, flags] };
    [id.as_bytes(), &size, flags, content].concat()
}

fn of_id3(tag: &[u8]) -> Tags {
    id3_in(&mut source(tag), 0..tag.len() as u64).expect("nothing is refused here")
}

fn all_that_is_used() -> Tags {
    Tags {
        title: Some("Night Bus".into()),
        artist: Some("Ana Vwaza".into()),
        album: Some("Late Lines".into()),
        isrc: Some("NLA502600017".into()),
        disc_number: Some(2),
        track_number: Some(3),
    }
}

#[test]
fn a_number_is_read_in_every_script_and_width() {
    for (text, expected) in [
        ("7", Some(7)),
        ("07/12", Some(7)),
        ("０７／１２", Some(7)),
        ("٠٧", Some(7)),
        ("०७ / १२", Some(7)),
        ("\u{200E}7\u{FEFF}", Some(7)),
        ("", None),
        ("/12", None),
        ("0", None),
        ("-7", None),
        ("1000", None),
        ("⑦", None),
        ("seven", None),
    ] {
        assert_eq!(number(text), expected, "{text}");
    }
}

fn title(title: &str) -> Tags {
    Tags { title: Some(title.into()), ..Tags::default() }
}

#[test]
fn texts_lose_what_cannot_be_seen() {
    assert_eq!(clean(" Night\t\u{202E}Bus\r\n "), Some("Night Bus".into()));
    assert_eq!(clean("\0\u{200E}"), None);
    assert_eq!(clean("\u{3164}\u{FE0F}"), None);
    assert_eq!(text(b"Caf\xE9\0rest"), Some("Café".into()));
    assert_eq!(clean(&"ä".repeat(999)).unwrap().chars().count(), MAX_TEXT_CHARS);
}

#[test]
fn a_number_may_name_the_total() {
    assert_eq!(number("7/12"), Some(7));
    assert_eq!(number(" 03 "), Some(3));
    for text in ["0", "A1", "", "/12", "1000", "-1"] {
        assert_eq!(number(text), None, "{text}");
    }
}

#[test]
fn id3_texts_come_in_every_encoding_and_in_every_version() {
    let utf16 = |text: &str, unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
    let (little, big) = (utf16("Früh", u16::to_le_bytes), utf16("Früh", u16::to_be_bytes));
    let contents = [
        [b"\0".as_slice(), b"Fr\xFCh"].concat(),
        [b"\0".as_slice(), b"Fr\xFCh\0"].concat(),
        [b"\x01\xFF\xFE".as_slice(), &little].concat(),
        [b"\x01\xFE\xFF".as_slice(), &big, &[0, 0]].concat(),
        // Contents without a byte order mark, or with half a terminator.
        [b"\x01".as_slice(), &little].concat(),
        [b"\x01".as_slice(), &big].concat(),
        [b"\x01\xFF\xFE".as_slice(), &little, &[0]].concat(),
        [b"\x02".as_slice(), &big].concat(),
        [b"\x03".as_slice(), "Früh".as_bytes()].concat(),
        // The first of two values counts.
        [b"\x03".as_slice(), "Früh\0Spät".as_bytes()].concat(),
    ];
    for content in contents {
        for (version, id) in [(2, "TT2"), (3, "TIT2"), (4, "TIT2")] {
            let tag = id3(version, 0, &frame(version, id, 0, &content));
            assert_eq!(of_id3(&tag), title("Früh"), "2.{version} {content:?}");
        }
    }
    assert_eq!(of_id3(&id3(3, 0, &frame(3, "TT2\0", 0, b"\0Old name"))), title("Old name"));
    for nothing in [b"".as_slice(), b"\x09x", b"\x01", b"\x01\xFF", b"\x01\xFF\xFE", b"\x03\xFF\xFF"] {
        let others = [frame(4, "TIT2", 0, nothing), frame(4, "TALB", 0, b"\x03Late Lines")].concat();
        let tags = of_id3(&id3(4, 0, &others));
        assert_eq!(tags.album.as_deref(), Some("Late Lines"), "{nothing:?} does not affect other frames");
    }
}

#[test]
fn id3_flags_are_understood() {
    let text = b"\x03Night Bus".as_slice();
    let plain = frame(4, "TIT2", 0, text);
    // The size of an extended header excludes its own four bytes in 2.3, and includes them in 2.4.
    assert_eq!(
        of_id3(&id3(3, 0x40, &[[0, 0, 0, 6, 0, 0, 0, 0, 0, 0].as_slice(), &frame(3, "TIT2", 0, text)].concat())),
        title("Night Bus")
    );
    assert_eq!(
        of_id3(&id3(
            3,
            0x40,
            &[[0, 0, 0, 10, 0x80, 0, 0, 0, 0, 0, 1, 2, 3, 4].as_slice(), &frame(3, "TIT2", 0, text)].concat()
        )),
        title("Night Bus")
    );
    assert_eq!(of_id3(&id3(4, 0x40, &[[0, 0, 0, 6, 1, 0].as_slice(), &plain].concat())), title("Night Bus"));
    assert_eq!(
        of_id3(&id3(4, 0x40, &[[0, 0, 0, 12, 1, 0x20, 5, 1, 2, 3, 4, 5].as_slice(), &plain].concat())),
        title("Night Bus")
    );
    // The frames have a data length indicator, a group, or both.
    let length = [&[0, 0, 0, text.len() as u8], text].concat();
    assert_eq!(of_id3(&id3(4, 0, &frame(4, "TIT2", 1, &length))), title("Night Bus"));
    assert_eq!(of_id3(&id3(4, 0, &frame(4, "TIT2", 0x41, &[b"g".as_slice(), &length].concat()))), title("Night Bus"));
    assert_eq!(of_id3(&id3(3, 0, &frame(3, "TIT2", 0x20, &[b"g", text].concat()))), title("Night Bus"));
    // A tag is unsynchronised as a whole, by a frame's flag, or by the tag's flag.
    let (utf16, stuffed) = (b"\x01\xFF\xFEN\0i\0".as_slice(), b"\x01\xFF\0\xFEN\0i\0".as_slice());
    let mut whole = frame(3, "TIT2", 0, utf16);
    whole.splice(12..12, [0]);
    assert_eq!(of_id3(&id3(3, 0x80, &whole)), title("Ni"));
    assert_eq!(of_id3(&id3(4, 0, &frame(4, "TIT2", 2, stuffed))), title("Ni"));
    assert_eq!(of_id3(&id3(4, 0x80, &frame(4, "TIT2", 2, stuffed))), title("Ni"));
    // Compressed and encrypted frames are skipped.
    for flags in [0x08, 0x04] {
        let tag = id3(4, 0, &[frame(4, "TIT2", flags, &length), frame(4, "TALB", 0, b"\0Late Lines")].concat());
        assert_eq!(of_id3(&tag), Tags { album: Some("Late Lines".into()), ..Tags::default() });
    }
}

#[test]
fn a_picture_before_the_texts_is_passed_over_without_reading_it() {
    let picture = vec![0xFF; 3_000_000];
    for version in [3, 4] {
        let frames = [
            frame(version, "APIC", 0, &picture),
            frame(version, "GEOB", 0, &picture),
            frame(version, "TIT2", 0, b"\0Night Bus"),
        ];
        assert_eq!(of_id3(&id3(version, 0, &frames.concat())), title("Night Bus"));
    }
    // Old versions of iTunes wrote the sizes of 2.4 as in 2.3.
    let itunes =
        [b"APIC".as_slice(), &3_000_000_u32.to_be_bytes(), &[0, 0], &picture, &frame(4, "TIT2", 0, b"\0Night Bus")]
            .concat();
    assert_eq!(of_id3(&id3(4, 0, &itunes)), title("Night Bus"));
    let small =
        [b"COMM".as_slice(), &300_u32.to_be_bytes(), &[0, 0], &[1; 300], &frame(4, "TIT2", 0, b"\0Night Bus")].concat();
    assert_eq!(of_id3(&id3(4, 0, &small)), title("Night Bus"));
}

#[test]
fn all_that_is_used_is_read_from_every_kind_of_tag() {
    let expected = all_that_is_used();
    let frames = [
        ("TIT2", "Night Bus"),
        ("TPE1", "Ana Vwaza"),
        ("TALB", "Late Lines"),
        ("TSRC", "NL-A50-26-00017"),
        ("TRCK", "03/12"),
        ("TPOS", "2/2"),
    ];
    let frames: Vec<u8> =
        frames.iter().flat_map(|(id, text)| frame(4, id, 0, &[b"\x03", text.as_bytes()].concat())).collect();
    assert_eq!(of_id3(&id3(4, 0, &frames)), expected);

    let comments = [
        "encoder=x",
        "Title=Night Bus",
        "TITLE=Another one",
        "artist=Ana Vwaza",
        "ALBUM=Late Lines",
        "ISRC=none yet",
        "isrc=NLA502600017",
        "TRACKNUMBER=3/12",
        "discnumber=2",
    ];
    let comments: Vec<u8> = comments
        .iter()
        .flat_map(|comment| [&(comment.len() as u32).to_le_bytes(), comment.as_bytes()].concat())
        .collect();
    let picture = [b"METADATA_BLOCK_PICTURE=".as_slice(), &[b'A'; 500_000]].concat();
    let picture = [&(picture.len() as u32).to_le_bytes(), picture.as_slice()].concat();
    let block = [&[4, 0, 0, 0], b"Tool".as_slice(), &[10, 0, 0, 0], &picture, &comments].concat();
    assert_eq!(vorbis_comment(&mut source(&block), 0..block.len() as u64).unwrap(), expected);

    let item = |key: &str, value: &[u8]| {
        [&(value.len() as u32).to_le_bytes(), [0; 4].as_slice(), key.as_bytes(), b"\0", value].concat()
    };
    let items = [
        item("Cover Art (Front)", &[7; 100_000]),
        item("TITLE", b"Night Bus\0Another one"),
        item("Artist", b"Ana Vwaza"),
        item("Album", b"Late Lines"),
        item("ISRC", b"NLA502600017"),
        item("Track", b"3/12"),
        item("Disc", b"2"),
    ];
    let items = items.concat();
    let end = |flags: u32| {
        let size = (items.len() as u32 + 32).to_le_bytes();
        [b"APETAGEX\xD0\x07\0\0".as_slice(), &size, &7_u32.to_le_bytes(), &flags.to_le_bytes(), &[0; 8]].concat()
    };
    let sound = vec![0x55; 5000];
    let ape = [end(0xA000_0000), items.clone(), end(0x8000_0000)].concat();
    let mut old = [b"TAG".as_slice(), b"Nothing of this", &[0; 110]].concat();
    for behind in [vec![], old.clone(), b"\r\n".to_vec(), [vec![0; 3000], old.clone()].concat()] {
        assert_eq!(trailing(&mut source(&[sound.as_slice(), &ape, &behind].concat())).unwrap(), expected);
        let without_header = [items.clone(), end(0)].concat();
        assert_eq!(trailing(&mut source(&[sound.as_slice(), &without_header, &behind].concat())).unwrap(), expected);
    }
    let lyrics = b"LYRICSBEGININD0000200000021LYRICS200";
    let whole = [sound.as_slice(), &ape, lyrics, &old].concat();
    assert_eq!(trailing(&mut source(&whole)).unwrap(), expected);
    let appended = id3(4, 0x10, &frames);
    let footer = [b"3DI".as_slice(), &appended[3..10]].concat();
    assert_eq!(trailing(&mut source(&[sound.as_slice(), &appended, &footer, &old].concat())).unwrap(), expected);

    // ID3v1 stands alone, with its number behind the comment.
    old[3..33].fill(b' ');
    old[3..8].copy_from_slice(b"Fr\xFCh\0");
    old[63..73].copy_from_slice(b"Late Lines");
    old[126] = 3;
    let expected =
        Tags {
            title: Some("Früh".into()), album: Some("Late Lines".into()), track_number: Some(3), ..Tags::default()
        };
    assert_eq!(trailing(&mut source(&[sound.as_slice(), &old].concat())).unwrap(), expected);
    assert_eq!(trailing(&mut source(&sound)).unwrap(), Tags::default());
}

#[test]
fn items_of_an_m4a_are_read_one_by_one() {
    let boxed = |kind: &[u8], body: &[u8]| [&(body.len() as u32 + 8).to_be_bytes(), kind, body].concat();
    let data = |kind: u32, value: &[u8]| boxed(b"data", &[&kind.to_be_bytes(), [0; 4].as_slice(), value].concat());
    let mut tags = Tags::default();
    let named = |name: &[u8], value: &[u8]| {
        [boxed(b"mean", b"\0\0\0\0com.apple.iTunes"), boxed(b"name", &[&[0; 4], name].concat()), data(1, value)]
            .concat()
    };
    for (kind, body) in [
        (b"\xA9nam", data(1, b"\xFF\xFF")),
        (b"\xA9nam", vec![0, 0, 0, 200, b'd', b'a', b't', b'a', 0]),
        (b"\xA9nam", [data(1, b"Night Bus"), data(1, b"Another one")].concat()),
        (b"\xA9ART", data(1, b"Ana Vwaza")),
        (b"\xA9alb", data(1, b"Late Lines")),
        (b"trkn", data(0, &[0, 0, 0, 3, 0, 12, 0, 0])),
        (b"disk", data(0, &[0, 0, 0, 2, 0, 2])),
        (b"----", named(b"ISRC", b"NLA502600017")),
    ] {
        mp4_item(&mut tags, &mut source(&body), kind, 0..body.len() as u64).unwrap();
    }
    assert_eq!(tags, all_that_is_used());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_make_some_tags(version in 2u8..5, flags: u8, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        of_id3(&id3(version, flags, &bytes));
        vorbis_comment(&mut source(&bytes), 0..bytes.len() as u64).unwrap();
        riff_info(&[b"INFO".as_slice(), &bytes].concat());
        for end in [b"".as_slice(), b"LYRICS200", b"APETAGEX\xD0\x07\0\0\x80\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", b"3DI\x04\0\0\0\0\x01\x10"] {
            trailing(&mut source(&[bytes.as_slice(), end].concat())).unwrap();
        }
        for kind in [b"\xA9nam", b"trkn", b"disk", b"----"] {
            mp4_item(&mut Tags::default(), &mut source(&bytes), kind, 0..bytes.len() as u64).unwrap();
        }
    }

    #[test]
    fn one_frame_that_is_broken_takes_no_other_along(version in 3u8..5, content in prop::collection::vec(any::<u8>(), 0..40), flags in prop::sample::select(vec![0u8, 1, 2, 4, 8, 0x20, 0x40, 0x80])) {
        let frames = [frame(version, "TALB", flags, &content), frame(version, "TIT2", 0, b"\0Night Bus")].concat();
        prop_assert_eq!(of_id3(&id3(version, 0, &frames)).title, Some("Night Bus".into()));
    }
}
