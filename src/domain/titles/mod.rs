//! Guesses the titles of tracks from file names, for files whose tags have no title.

mod numbers;

#[cfg(test)]
mod tests;

use self::numbers::{Number, accept_lists, after_second};
use super::text::{TITLE_MAX_CHARS, is_unseen, shown};

/// Extensions of audio files.
const AUDIO_ENDINGS: [&str; 16] = [
    "aac", "aif", "aifc", "aiff", "alac", "bwf", "caf", "flac", "m4a", "mp3", "mp4", "oga", "ogg", "opus", "wav",
    "wave",
];

/// Guesses the title from the name of a single file: `03 - night_bus.wav` gives `night bus`, `7 Rings.wav` gives `7
/// Rings`.
pub fn title_from_file_name(name: &str) -> String {
    titles_from_file_names(&[name]).pop().unwrap_or_default()
}

/// Guesses the titles from the names of files that were chosen together, in the same order.
///
/// A number in front is a track number in two cases. Either its layout is certain by itself ("01 Intro", "1. Intro",
/// "1-01 Intro", "(1) Intro", "Track 01 Intro", "Ana - 01 - Intro"). Or the numbers of one layout count from 1 through
/// most of the files: "1 Intro" and "2 Verse", or "A1", "A2" and "B1", or "101", "102" and "201", but not "7 Rings" and
/// "8 Mile". Digits of every script count. A name with nothing visible but its extension gives an empty title.
pub fn titles_from_file_names<S: AsRef<str>>(names: &[S]) -> Vec<String> {
    let stems: Vec<Vec<char>> = names.iter().map(|name| stem(name.as_ref()).chars().collect()).collect();
    let mut numbers: Vec<Option<Number>> = stems.iter().map(|stem| Number::of(stem)).collect();
    accept_lists(&mut numbers);
    let title = |(stem, number): (&Vec<char>, &Option<Number>)| {
        let start = number.as_ref().filter(|number| number.is_certain).map_or(0, |number| after_second(stem, number));
        let title: String = stem[start..].iter().take(TITLE_MAX_CHARS).collect();
        shown(&title)
    };
    stems.iter().zip(&numbers).map(title).collect()
}

/// A file name without its folders and its extension, as one line.
fn stem(name: &str) -> String {
    let name = shown(name.rsplit(['/', '\\']).next().unwrap_or(name));
    let mut stem = name.as_str();
    // "Intro.wav.mp3" has two extensions; "Vol.2" and "Mr. Blue" have none.
    let mut is_first = true;
    while let Some((rest, ending)) = stem.rsplit_once('.') {
        let ending = ending.trim_end_matches(is_unseen);
        let is_audio = AUDIO_ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending));
        let is_some = ending.len() <= 5
            && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && ending.bytes().any(|byte| byte.is_ascii_alphabetic());
        if !(is_audio || is_first && is_some && !shown(rest).is_empty()) {
            break;
        }
        stem = rest;
        is_first = false;
    }
    shown(&stem.replace('_', " "))
}
