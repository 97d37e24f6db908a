//! The functions that the fuzz targets call, and that a test calls with the inputs kept in `fuzz/corpus`. Each must
//! return without a panic for any bytes.

use std::{fmt::Debug, io::Write};

use base64::{Engine, prelude::BASE64_STANDARD};
use object_store::path::Path;
use tempfile::NamedTempFile;

use super::{
    media::{self, Deadline, MediaError, examine_audio, examine_cover, validate_audio, validate_cover},
    storage::supabase::responses::{Entry, SupabaseError},
};
use crate::domain::{
    account::{Email, parse_artist_name},
    codes::{Gtin, Isrc},
    media::{
        MAX_CHANNELS, MAX_SAMPLE_RATE_HZ, MAX_TRACK_MS, MIN_BIT_DEPTH, MIN_SAMPLE_RATE_HZ, MediaLimits, PartialFile,
        Peaks, Precheck, precheck,
    },
    problem::FileRefusal,
    range::RequestedRange,
    release::{RawDetails, TITLE_MAX_CHARS, date_field, parse_date, title_hints},
    review::Reason,
    text::{is_blank, is_removed, parse_line},
    titles::{title_from_file_name, titles_from_file_names},
    upload::{Checksum, RawIntent, UploadKind, UploadTarget, parse_metadata},
};

/// Fuzzes a media file. Both validation and examination must end in a result, and the two must agree.
pub fn media(bytes: &[u8]) {
    let mut file = NamedTempFile::new().expect("the disk has room for a small file");
    file.write_all(bytes).expect("the disk has room for a small file");
    let limits = MediaLimits::default();

    let validated = accepted(validate_audio(file.path(), &limits, &Deadline::never()));
    if let Some(validated) = &validated {
        assert_passes(UploadKind::Audio, bytes);
        assert!((MIN_SAMPLE_RATE_HZ..=MAX_SAMPLE_RATE_HZ).contains(&validated.sample_rate_hz));
        assert!((1..=MAX_CHANNELS).contains(&validated.channels));
        assert!(validated.bit_depth.is_none_or(|bits| bits >= MIN_BIT_DEPTH));
        assert!(validated.duration_ms.is_none_or(|milliseconds| (0..=MAX_TRACK_MS).contains(&milliseconds)));
        let tags = &validated.tags;
        for text in [&tags.title, &tags.artist, &tags.album, &tags.isrc].into_iter().flatten() {
            assert!(!text.is_empty() && !text.contains(is_removed), "{text:?}");
        }
    }
    let copy = NamedTempFile::new().expect("the disk has room for a small file");
    if let Some((facts, Peaks(peaks))) = accepted(examine_audio(file.path(), copy.path(), &Deadline::never())) {
        let validated = validated.expect("an audio file that decodes has a valid header");
        assert_eq!(
            (facts.container, facts.codec, facts.channels),
            (validated.container, validated.codec, validated.channels)
        );
        assert_eq!((facts.sample_rate_hz, facts.bit_depth), (validated.sample_rate_hz, validated.bit_depth));
        assert!((0..=MAX_TRACK_MS).contains(&facts.duration_ms));
        assert!((1..=Peaks::BUCKETS).contains(&peaks.len()));
        if facts.has_listening_copy {
            let (copied, Peaks(copied_peaks)) = accepted(examine_audio(copy.path(), file.path(), &Deadline::never()))
                .expect("our listening copy can be decoded");
            assert_eq!((copied.duration_ms, copied.sample_rate_hz), (facts.duration_ms, facts.sample_rate_hz));
            assert_eq!((copied.channels, copied_peaks.len()), (facts.channels, peaks.len()));
        }
    }

    let validated = accepted(validate_cover(file.path(), &limits, &Deadline::never()));
    if validated.is_some() {
        assert_passes(UploadKind::Cover, bytes);
    }
    if let Some((facts, thumbnails)) = accepted(examine_cover(file.path(), &Deadline::never())) {
        assert_eq!(validated.map(|validated| validated.facts).as_ref(), Some(&facts));
        assert!(!thumbnails.is_empty());
        assert!(thumbnails.iter().all(|thumbnail| (1..=facts.width_px).contains(&thumbnail.edge_px)));
    }
}

/// Asserts that the browser, which reads a few pieces of a file before it sends it, does not refuse the file.
fn assert_passes(kind: UploadKind, bytes: &[u8]) {
    let mut known = PartialFile::new(bytes.len() as u64);
    loop {
        match precheck(kind, &known) {
            Precheck::Passed => return,
            Precheck::Refused(why) => panic!("the browser refuses what the server takes: {why}"),
            Precheck::Reads(range) => {
                let piece =
                    bytes.get(range.start as usize..range.end as usize).expect("the precheck reads within the file");
                assert!(!piece.is_empty());
                known.add(range.start, piece.to_vec());
            }
        }
    }
}

/// The result for a file; `None` if the file is refused. A refusal must have a message, and a status that blames the
/// file.
fn accepted<T>(result: Result<T, MediaError>) -> Option<T> {
    match result {
        Ok(found) => Some(found),
        Err(MediaError::Refused(media::Refusal { kind, message })) => {
            assert!(kind != FileRefusal::Lost && !message.is_empty(), "{kind:?} {message}");
            None
        }
        Err(MediaError::Io(error)) => panic!("taken for a fault of the disk: {error}"),
        Err(MediaError::OutOfTime) => panic!("there is no deadline"),
    }
}

/// Asserts that a parsed value parses to itself after it is written out.
fn reads_back<T: Debug + PartialEq, E: Debug + PartialEq>(value: &T, again: Result<T, E>) {
    assert_eq!(again.as_ref(), Ok(value));
}

/// Fuzzes the parsers of codes and dates.
pub fn codes(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(isrc) = Isrc::parse(&text) {
        assert!(isrc.as_str().len() == 12 && isrc.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        reads_back(&isrc, Isrc::parse(isrc.as_str()));
        reads_back(&isrc, Isrc::parse(&isrc.to_string()));
    }
    if let Ok(gtin) = Gtin::parse(&text) {
        reads_back(&gtin, Gtin::parse(&gtin.to_string()));
    }
    if let Ok(date) = parse_date(&text) {
        reads_back(&date, parse_date(&date_field(date)));
    }
}

/// Fuzzes the parsers of forms. Each line is one field of a release's details; the whole text is also used as a single
/// field.
pub fn forms(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n').map(str::to_owned);
    let mut line = || lines.next().unwrap_or_default();
    let details = RawDetails {
        title: line(),
        title_version: line(),
        kind: line(),
        genre: line(),
        language: line(),
        release_date: line(),
        label: line(),
        gtin: line(),
        p_line: line(),
        c_line: line(),
    };
    if let Ok(details) = details.parse() {
        reads_back(&details, RawDetails::from(&details).parse());
    }
    if let Ok(name) = parse_artist_name(&text) {
        reads_back(&name, parse_artist_name(&name));
    }
    if let Ok(email) = Email::parse(&text) {
        reads_back(&email, Email::parse(email.as_str()));
    }
    if let Ok(reason) = Reason::parse(&text) {
        reads_back(&reason, Reason::parse(reason.as_str()));
    }
    let names: Vec<&str> = text.split('\n').collect();
    for title in titles_from_file_names(&names).into_iter().chain([title_from_file_name(&text)]) {
        reads_back(&title, parse_line(&title, TITLE_MAX_CHARS));
    }
    let _ = title_hints(&text);
}

/// Fuzzes the parser of upload intents. The first lines are target, length, SHA-256 and fingerprint; the rest is the
/// file's name.
pub fn intent(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.splitn(5, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (Ok(target), Ok(length)) = (line().parse::<UploadTarget>(), line().parse::<i64>()) else { return };
    reads_back(&target, target.to_string().parse());
    let raw = RawIntent {
        target,
        length,
        sha256: Some(line()).filter(|hash| !hash.is_empty()).map(str::to_owned),
        fingerprint: line().to_owned(),
        file_name: line().to_owned(),
    };
    let limits = MediaLimits::default();
    match raw.parse(&limits) {
        Ok(intent) => {
            let name = &intent.file_name;
            assert!(!is_blank(name) && name.len() <= 255, "{name:?}");
            assert!(
                !name.contains(is_removed) && !name.contains(char::is_control) && !name.contains(['/', '\\']),
                "{name:?}"
            );
            assert!(intent.length > 0 && intent.length.unsigned_abs() <= limits.max_audio_bytes);
            let again = RawIntent {
                sha256: intent.sha256.as_ref().map(hex::encode),
                fingerprint: intent.fingerprint.clone(),
                file_name: name.clone(),
                ..raw
            };
            reads_back(&intent, again.parse(&limits));
        }
        Err(problem) => assert!(matches!(problem.status(), 400 | 413 | 422), "{problem:?}"),
    }
}

/// Fuzzes the parser of the header `Upload-Metadata`.
pub fn metadata(bytes: &[u8]) {
    match parse_metadata(bytes) {
        Ok(metadata) => {
            let pair = |(key, value): (&String, &String)| format!("{key} {}", BASE64_STANDARD.encode(value));
            let written = metadata.iter().map(pair).collect::<Vec<_>>().join(",");
            reads_back(&metadata, parse_metadata(written.as_bytes()));
        }
        Err(problem) => assert_eq!(problem.status(), 400),
    }
}

/// Fuzzes the parser of the header `Upload-Checksum`.
pub fn checksum(bytes: &[u8]) {
    match Checksum::parse(bytes) {
        Ok(checksum) => {
            let written = match &checksum {
                Checksum::Sha1(digest) => format!("sha1 {}", BASE64_STANDARD.encode(digest)),
                Checksum::Sha256(digest) => format!("sha256 {}", BASE64_STANDARD.encode(digest)),
            };
            reads_back(&checksum, Checksum::parse(written.as_bytes()));
        }
        Err(problem) => assert_eq!(problem.status(), 400),
    }
}

/// Fuzzes the parser of the header `Range`. The input is a file's size, a space and the header.
pub fn range(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Some((size, header)) = text.split_once(' ') else { return };
    let Ok(size_bytes) = size.parse::<u64>() else { return };
    let requested = RequestedRange::parse(header, size_bytes);
    if let RequestedRange::Part(part) = &requested {
        assert!(part.start < part.end && part.end <= size_bytes, "{part:?} of {size_bytes}");
        let written = format!("bytes={}-{}", part.start, part.end - 1);
        assert_eq!(RequestedRange::parse(&written, size_bytes), requested);
    }
}

/// Fuzzes the parsers of Supabase Storage's responses. The input is the status of a refusal, a space and its body; or
/// an entry of a listing.
pub fn supabase(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some((status, body)) = text.split_once(' ')
        && let Ok(status) = status.parse::<u16>()
    {
        let refusal = SupabaseError::parse(status, body.as_bytes());
        let is_missing = refusal.code == "NoSuchKey";
        let error = refusal.into_error("audio/a");
        // An object that is believed to be missing is uploaded again, or its row is deleted.
        assert_eq!(matches!(error, object_store::Error::NotFound { .. }), is_missing, "{error}");
    }
    if let Ok(entry) = serde_json::from_str::<Entry>(&text) {
        let folder = Path::from("audio");
        if let Ok(location) = entry.location(&folder) {
            // Otherwise the listing would leave its folder, or never end.
            assert!(location.prefix_matches(&folder) && location != folder, "{location}");
            if let Ok(meta) = entry.into_meta(location.clone()) {
                assert_eq!(meta.location, location);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, ffi::OsString, fs, path::Path as FilePath};

    use super::*;

    #[test]
    fn every_fuzz_target_replays_its_corpus() {
        type Target = (&'static str, fn(&[u8]));
        let targets: [Target; 8] = [
            ("checksum", checksum),
            ("codes", codes),
            ("forms", forms),
            ("intent", intent),
            ("media", media),
            ("metadata", metadata),
            ("range", range),
            ("supabase", supabase),
        ];
        let fuzz = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        for (name, target) in targets {
            let inputs = fs::read_dir(fuzz.join("corpus").join(name)).expect("a target has a corpus");
            let mut replayed = 0;
            for input in inputs {
                let path = input.expect("a corpus can be read").path();
                // The test harness prints this line only if the test fails.
                println!("{}", path.display());
                target(&fs::read(&path).expect("a corpus can be read"));
                replayed += 1;
            }
            assert!(replayed > 0, "the corpus of {name} is empty");
        }
        let programs = fs::read_dir(fuzz.join("fuzz_targets")).expect("the fuzz targets can be read");
        let programs: BTreeSet<_> = programs.map(|program| program.expect("a fuzz target").file_name()).collect();
        let replayed: BTreeSet<_> = targets.iter().map(|(name, _)| OsString::from(format!("{name}.rs"))).collect();
        assert_eq!(programs, replayed);
    }
}
