use proptest::prelude::*;

use super::*;

const FALLBACK: &str = "Late Lines - 03 Night Bus";

fn wav(own: &str) -> String {
    download_name(own, FALLBACK, "audio/wav")
}

#[test]
fn a_file_keeps_its_own_name() {
    for own in [
        "song.wav",
        "Überraschung – größer.wav",
        "7\" Mix (it's live).wav",
        "夜のバス 🚌.wav",
        "Señor Ñandú.WAV",
        "a.b.c.flac",
        "100 % sure; really=true.wav",
        "song ❤\u{FE0F}.wav",
        "  inside  two  blanks.wav",
    ] {
        assert_eq!(wav(own), own.trim_start(), "{own}");
    }
}

#[test]
fn a_name_without_extension_keeps_what_shapes_its_last_character() {
    for own in ["song ❤\u{FE0F}", "بيت\u{200D}", "क्\u{200D}", "song.mix ❤\u{FE0F}"] {
        assert_eq!(wav(own), format!("{own}.wav"), "{own:?}");
    }
    assert_eq!(wav("song ❤\u{FE0F}. "), "song ❤\u{FE0F}.wav");
    assert_eq!(wav("song.wav\u{FE0F}"), "song.wav");
}

#[test]
fn what_a_computer_would_stumble_over_is_mended() {
    for (own, saved) in [
        ("../../etc/passwd", "passwd.wav"),
        ("C:\\Music\\song.wav", "song.wav"),
        ("two\r\nlines: x\0.wav", "two  lines: x.wav"),
        ("gnp\u{202E}vaw.exe\u{202C}.wav", "gnpvaw.exe.wav"),
        ("\u{2067}\u{FEFF}song.wav", "song.wav"),
        ("...hidden.wav", "hidden.wav"),
        ("dots and blanks . . .wav", "dots and blanks.wav"),
        ("CON.wav", "_CON.wav"),
        ("com1.live.wav", "_com1.live.wav"),
        ("lpt³.wav", "_lpt³.wav"),
        ("nul", "_nul.wav"),
        ("Control.wav", "Control.wav"),
        ("COM10.wav", "COM10.wav"),
        // The extension counts, whatever nobody sees in or behind it.
        ("song.wav ", "song.wav"),
        ("song.wav.", "song.wav"),
        ("song.wav\u{202E}", "song.wav"),
        ("song.wav\u{200E}", "song.wav"),
        ("song.w\u{200B}av\u{3000}", "song.wav"),
        ("song.wav\r\n", "song.wav"),
        ("song.exe .wav", "song.exe.wav"),
        ("song.wav .exe", "song.wav .exe.wav"),
        ("a\u{2028}b.wav", "a b.wav"),
        ("\u{3164}song\u{2800}.wav", "song.wav"),
        ("con .wav", "_con.wav"),
        ("aux.", "_aux.wav"),
        ("CON\u{200B}.wav", "_CON.wav"),
    ] {
        assert_eq!(wav(own), saved, "{own:?}");
    }
}

#[test]
fn a_name_that_is_none_is_made_of_release_and_track() {
    for own in ["", ".wav", "...", " . .WAV", "\u{202E}.wav", "\u{3164}.wav", "/", "a/", "file", "\r\n"] {
        assert_eq!(wav(own).to_lowercase(), format!("{}.wav", FALLBACK.to_lowercase()), "{own:?}");
    }
    assert_eq!(download_name(".jpg", "AC/DC \u{202E}- cover", "image/jpeg"), "AC_DC - cover.jpg");
    assert_eq!(download_name(".wav", "Late Lines - 07 .wav", "audio/wav"), "Late Lines - 07.wav");
    assert_eq!(download_name("", "\u{202E}", "image/png"), "file.png");
}

#[test]
fn nothing_is_saved_as_a_program_or_a_page() {
    assert_eq!(wav("song.html"), "song.html.wav");
    assert_eq!(wav("Vol. 1"), "Vol. 1.wav");
    assert_eq!(wav("wav"), "wav.wav");
    for (content_type, extension) in [
        ("audio/wav", "wav"),
        ("audio/aiff", "aiff"),
        ("audio/flac", "flac"),
        ("audio/mpeg", "mp3"),
        ("audio/mp4", "m4a"),
        ("image/jpeg", "jpg"),
        ("image/png", "png"),
        ("text/html", "bin"),
    ] {
        assert_eq!(download_name("cover.svg", "x", content_type), format!("cover.svg.{extension}"));
    }
}

#[test]
fn a_long_name_keeps_its_extension() {
    let long = format!("{}.flac", "ü".repeat(300));
    let saved = wav(&long);
    assert_eq!((saved.len(), saved.ends_with("ü.flac")), (239, true), "{saved}");
    assert_eq!(portable_name(&saved).len(), 119);
}

#[test]
fn a_name_in_an_archive_is_one_that_every_file_system_takes() {
    for (name, portable) in [
        ("odd: name?.wav", "odd_ name_.wav"),
        ("7\" <Mix> a|b*.wav", "7_ _Mix_ a_b_.wav"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a\\b:c\u{0}d", "a_b_c_d"),
        ("Nachtbus – größer.wav", "Nachtbus – größer.wav"),
        ("Vol. 2", "Vol. 2"),
        ("..", "file"),
        ("", "file"),
    ] {
        assert_eq!(portable_name(name), portable, "{name:?}");
    }
}

#[test]
fn the_header_carries_the_name_twice() {
    for (name, header) in [
        ("song.wav", "attachment; filename=\"song.wav\"; filename*=UTF-8''song.wav"),
        ("größer.wav", "attachment; filename=\"gr__er.wav\"; filename*=UTF-8''gr%C3%B6%C3%9Fer.wav"),
        ("7\" a\\b 50%.wav", "attachment; filename=\"7_ a_b 50_.wav\"; filename*=UTF-8''7%22%20a%5Cb%2050%25.wav"),
        ("🚌;x='y'.wav", "attachment; filename=\"_;x='y'.wav\"; filename*=UTF-8''%F0%9F%9A%8C%3Bx%3D%27y%27.wav"),
        ("a\r\nSet-Cookie: b", "attachment; filename=\"a__Set-Cookie: b\"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20b"),
    ] {
        assert_eq!(content_disposition(name), header, "{name:?}");
    }
}

proptest! {
    #[test]
    fn whatever_a_file_is_called_it_is_saved_as_a_harmless_media_file(own in ".{0,300}", fallback in ".{0,80}") {
        let saved = download_name(&own, &fallback, "audio/flac");
        prop_assert!(saved.len() <= NAME_MAX_BYTES, "{saved}");
        prop_assert!(!saved.contains(['/', '\\']) && !saved.chars().any(is_removed), "{saved:?}");
        prop_assert!(saved.rsplit_once('.').is_some_and(|(stem, extension)| !stem.is_empty() && is_media(extension)));
        prop_assert!(!saved.starts_with(['.', ' ']) && !is_device(&saved), "{saved:?}");
        let header = content_disposition(&saved);
        prop_assert!(header.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{header}");
        prop_assert_eq!(header.matches('"').count(), 2);
        let in_archive = portable_name(&saved);
        prop_assert!(in_archive.len() <= PORTABLE_MAX_BYTES && !in_archive.contains(['/', ':', '?', '"']), "{in_archive}");
    }
}
