//! Names for files that people download.

#[cfg(test)]
mod tests;

use std::fmt::Write;

use super::{
    media::{AudioContainer, CoverFormat},
    text::{is_blank, is_removed, is_space, is_unseen},
    upload::UNNAMED,
};

/// The longest name, in bytes. File systems allow 255; a browser adds " (1)", and ".crdownload" while it downloads.
const NAME_MAX_BYTES: usize = 240;
/// The longest name of a file in an archive, in bytes. Windows allows 260 characters for a whole path.
const PORTABLE_MAX_BYTES: usize = 120;
/// Names that Windows reserves for devices, whatever extension follows. COM and LPT with a digit are reserved as well.
/// Source: Microsoft, "Naming Files, Paths, and Namespaces".
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
/// Extensions of audio files and pictures: all kinds that somebody may have uploaded under such a name.
const MEDIA_EXTENSIONS: [&str; 17] = [
    "wav", "wave", "bwf", "flac", "aif", "aiff", "aifc", "m4a", "m4b", "mp4", "mov", "mp3", "jpg", "jpeg", "jpe",
    "jfif", "png",
];

/// Makes the name under which an original is saved: the file's own name, or `fallback` (a name without extension) if
/// nothing of the own name is left.
///
/// The result has no folders, no invisible characters, no names that a file system reserves, and at most 240 bytes. It
/// ends in an extension of audio files or pictures. If the file's own name has another extension, the one of
/// `content_type` is appended, so that nothing is saved as a program or a web page.
pub fn download_name(own: &str, fallback: &str, content_type: &str) -> String {
    let own: String = own.rsplit(['/', '\\']).next().unwrap_or(own).chars().filter(|c| !is_removed(*c)).collect();
    // Dots and invisible characters at the end must not hide the extension.
    let (stem, extension) = match split(own.trim_end_matches(|c| c == '.' || is_unseen(c))) {
        (stem, Some(extension)) => (stem, extension),
        (_, None) => (own.as_str(), extension_of(content_type)),
    };
    // The title of a track may itself come from a file name, so the fallback is cleaned as well.
    let stems = [stem, split(fallback).0].map(harmless);
    let stem = stems.into_iter().find(|stem| !stem.is_empty() && stem != UNNAMED);
    cut(&stem.unwrap_or_else(|| UNNAMED.into()), extension, NAME_MAX_BYTES)
}

/// Makes a name fit for an archive. Every file system takes the result, also inside a folder.
pub fn portable_name(name: &str) -> String {
    let is_reserved = |c: char| matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    let safe: String = name.chars().map(|c| if c.is_control() || is_reserved(c) { '_' } else { c }).collect();
    let safe = harmless(&safe);
    match split(&safe) {
        (stem, Some(extension)) => cut(stem, extension, PORTABLE_MAX_BYTES),
        _ if safe.is_empty() => UNNAMED.into(),
        (stem, None) => trimmed(until(stem, PORTABLE_MAX_BYTES)).to_owned(),
    }
}

/// Makes the header `Content-Disposition` (RFC 6266) that saves a file as `name`: in full as `filename*` (RFC 8187),
/// and in ASCII as `filename` for clients that know only that. The header is pure ASCII.
pub fn content_disposition(name: &str) -> String {
    // Clients read quoted pairs and percent signs in different ways (RFC 6266, appendix D), so they are left out.
    let plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\' | '%');
    let ascii: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{}", percent_encoded(name))
}

/// Percent-encodes a text: everything but ASCII letters, digits, `-`, `.` and `_` becomes `%` and two digits for each
/// byte of UTF-8. The result is safe in a URL and in an extended parameter of a header.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        // Writing to a String can't fail.
        let _ = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => write!(encoded, "{}", char::from(byte)),
            _ => write!(encoded, "%{byte:02X}"),
        };
    }
    encoded
}

/// Splits a name into its stem and its extension of an audio file or picture, if it has one.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('.') {
        Some((stem, extension)) if is_media(extension) => (stem, Some(extension)),
        _ => (name, None),
    }
}

fn is_media(extension: &str) -> bool {
    MEDIA_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn extension_of(content_type: &str) -> &'static str {
    let audio = [
        (AudioContainer::Wav, "wav"),
        (AudioContainer::Aiff, "aiff"),
        (AudioContainer::Flac, "flac"),
        (AudioContainer::Mp3, "mp3"),
        (AudioContainer::Mp4, "m4a"),
    ]
    .map(|(kind, extension)| (kind.content_type(), extension));
    let pictures = [(CoverFormat::Jpeg, "jpg"), (CoverFormat::Png, "png")]
        .map(|(kind, extension)| (kind.content_type(), extension));
    let known = audio.into_iter().chain(pictures).find(|(kind, _)| *kind == content_type);
    known.map_or("bin", |(_, extension)| extension)
}

/// Cleans a stem: puts it on one line and removes separators, invisible characters, and dots and spaces at its ends.
/// Some systems hide a file whose name begins with a dot, and others drop a dot at the end.
fn harmless(stem: &str) -> String {
    let line = stem.chars().filter(|c| !is_removed(*c)).map(|c| match c {
        '/' | '\\' => '_',
        c if is_space(c) => ' ',
        c => c,
    });
    let line: String = line.collect();
    if is_blank(&line) { String::new() } else { trimmed(&line).to_owned() }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c == '.' || c == ' ')
}

/// Whether Windows takes the name for a device.
fn is_device(stem: &str) -> bool {
    // "CON.live" is a device as well.
    let name = stem.split('.').next().unwrap_or(stem).trim_end().to_uppercase();
    let is_numbered = |name: &str| {
        let mut rest = name.strip_prefix("COM").or_else(|| name.strip_prefix("LPT")).unwrap_or_default().chars();
        matches!((rest.next(), rest.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
    };
    DEVICES.contains(&name.as_str()) || is_numbered(&name)
}

/// Joins `stem.extension` in at most `max_bytes`, which has to be more than the extension needs.
fn cut(stem: &str, extension: &str, max_bytes: usize) -> String {
    let guard = if is_device(stem) { "_" } else { "" };
    let stem = trimmed(until(stem, max_bytes.saturating_sub(extension.len() + 1 + guard.len())));
    format!("{guard}{stem}.{extension}")
}

fn until(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}
