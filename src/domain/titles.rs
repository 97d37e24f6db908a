//! Guesses the titles of tracks from file names, for files whose tags have no title.

use super::{
    codes::to_ascii,
    text::{TITLE_MAX_CHARS, is_dash, shown},
};

/// Extensions of audio files.
const AUDIO_ENDINGS: [&str; 16] = [
    "aac", "aif", "aifc", "aiff", "alac", "bwf", "caf", "flac", "m4a", "mp3", "mp4", "oga", "ogg", "opus", "wav",
    "wave",
];
/// The largest step between two numbers of one list. Numbers further apart hardly belong to one list.
const MAX_STEP: u32 = 3;

/// Guesses the title from the name of a single file: `03 - night_bus.wav` gives `night bus`, `7 Rings.wav` gives `7
/// Rings`.
pub fn title_from_file_name(name: &str) -> String {
    titles_from_file_names(&[name]).pop().unwrap_or_default()
}

/// Guesses the titles from the names of files that were chosen together, in the same order.
///
/// A number in front is a track number in two cases. Either its layout is certain by itself ("01 Intro", "1. Intro",
/// "1-01 Intro", "(1) Intro", "Track 01 Intro", "Ana - 01 - Intro"). Or the numbers of one layout count from 1 through
/// most of the files: "1 Intro" and "2 Verse", or "A1", "A2" and "B1", but not "7 Rings" and "8 Mile".
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
    let mut stem = name.rsplit(['/', '\\']).next().unwrap_or(name);
    // "Intro.wav.mp3" has two extensions; "Vol.2" and "Mr. Blue" have none.
    let mut is_first = true;
    while let Some((rest, ending)) = stem.rsplit_once('.') {
        let is_audio = AUDIO_ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending));
        let is_some = ending.len() <= 5
            && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && ending.bytes().any(|byte| byte.is_ascii_alphabetic());
        if !(is_audio || is_first && is_some) || shown(rest).is_empty() {
            break;
        }
        stem = rest;
        is_first = false;
    }
    shown(&stem.replace('_', " "))
}

/// The text right before a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead {
    Nothing,
    Bracket,
    /// The word "Track".
    Word,
    Hash,
    /// The side of a record, A to H.
    Side,
    /// The number of a disc, and a dash or a dot.
    Disc,
}

/// The characters between a number and the title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    Nothing,
    Space,
    /// A dash without spaces.
    Dash,
    /// A dot, a bracket, a colon, or a dash with spaces.
    Mark,
}

/// A number in a file name that may be a track number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Number {
    /// The text before the number, usually an artist.
    prefix: Vec<char>,
    lead: Lead,
    gap: Gap,
    digits: usize,
    /// Whether the number has a leading zero.
    is_padded: bool,
    /// The number, with its disc or side as thousands: 1-07 is 1007.
    value: u32,
    /// The index of the title's first character.
    end: usize,
    is_certain: bool,
}

impl Number {
    /// Finds the first number that is certain by itself, or else the first number.
    fn of(stem: &[char]) -> Option<Self> {
        let ascii: Vec<char> = stem.iter().map(|c| to_ascii(*c)).collect();
        let is_separator = |at: usize| ascii[at] == ' ' && is_dash(ascii[at + 1]) && ascii[at + 2] == ' ';
        let parts = (0..ascii.len().saturating_sub(3)).filter(|at| is_separator(*at)).map(|at| at + 3);
        let candidates: Vec<Self> =
            std::iter::once(0).chain(parts).filter_map(|start| Self::at(&ascii, start)).collect();
        candidates.iter().find(|number| number.is_certain).or(candidates.first()).cloned()
    }

    fn at(stem: &[char], start: usize) -> Option<Self> {
        let text = stem.get(start..)?;
        let (lead, lead_chars) = lead(text);
        let first = text[lead_chars..].iter().take_while(|c| c.is_ascii_digit()).count();
        let mut value = read(&text[lead_chars..lead_chars + first])?;
        let mut at = lead_chars + first;
        let (mut lead, mut digits, mut is_padded) = (lead, first, first > 1 && text[lead_chars] == '0');
        match lead {
            Lead::Side => value += 1000 * u32::from(text[0].to_ascii_uppercase() as u8 - b'A' + 1),
            Lead::Bracket => {
                if !matches!(text.get(at), Some(')' | ']')) {
                    return None;
                }
            }
            Lead::Nothing if first <= 2 && text.get(at).is_some_and(|c| *c == '.' || is_dash(*c)) => {
                let second = text[at + 1..].iter().take_while(|c| c.is_ascii_digit()).count();
                if (1..=2).contains(&second) {
                    (lead, digits, is_padded) = (Lead::Disc, second, second > 1 && text[at + 1] == '0');
                    value = value * 1000 + read(&text[at + 1..at + 1 + second])?;
                    at += 1 + second;
                }
            }
            Lead::Nothing | Lead::Word | Lead::Hash | Lead::Disc => {}
        }
        let (gap, gap_chars) = gap(&text[at..])?;
        let end = at + gap_chars;
        let title = text.get(end..).filter(|title| title.iter().any(|c| c.is_alphanumeric()))?;
        let has_letters = title.iter().any(|c| c.is_alphabetic());
        let is_certain = match (lead, gap) {
            (_, Gap::Nothing) | (Lead::Hash, _) => false,
            (Lead::Nothing, Gap::Space | Gap::Dash) => is_padded && digits == 2 && start == 0,
            (Lead::Nothing, Gap::Mark) => is_padded || digits <= 2 && has_letters && start == 0,
            (Lead::Bracket, _) => digits <= 2 && start == 0,
            (Lead::Word, gap) => is_padded || gap == Gap::Mark,
            (Lead::Side, gap) => gap == Gap::Mark && start == 0,
            (Lead::Disc, _) => is_padded,
        };
        let prefix = stem[..start].to_vec();
        Some(Self { prefix, lead, gap, digits, is_padded, value, end: start + end, is_certain })
    }

    fn has_layout_of(&self, other: &Self) -> bool {
        (&self.prefix, self.lead, self.gap) == (&other.prefix, other.lead, other.gap)
    }
}

fn lead(text: &[char]) -> (Lead, usize) {
    let digit_at = |at: usize| text.get(at).is_some_and(char::is_ascii_digit);
    match text {
        ['(' | '[', ..] if digit_at(1) => (Lead::Bracket, 1),
        ['#', ..] if digit_at(1) => (Lead::Hash, 1),
        ['A'..='H' | 'a'..='h', ..] if digit_at(1) => (Lead::Side, 1),
        [word @ .., _] if word.len() > 5 && word[..5].iter().collect::<String>().eq_ignore_ascii_case("track") => {
            let spaces = word[5..].iter().take_while(|c| **c == ' ').count();
            if digit_at(5 + spaces) { (Lead::Word, 5 + spaces) } else { (Lead::Nothing, 0) }
        }
        _ => (Lead::Nothing, 0),
    }
}

/// Reads up to three digits as a number.
fn read(digits: &[char]) -> Option<u32> {
    (1..=3)
        .contains(&digits.len())
        .then(|| digits.iter().filter_map(|c| c.to_digit(10)).fold(0, |value, digit| value * 10 + digit))
}

/// The kind and length of the gap between a number and a title. `None` if the number goes on: "2.0", "5:30".
fn gap(text: &[char]) -> Option<(Gap, usize)> {
    let is_mark = |c: &char| matches!(c, '.' | ')' | ']' | ':' | '、');
    let is_gap = |c: &&char| is_mark(c) || **c == ' ' || is_dash(**c);
    let length = text.iter().take_while(is_gap).count();
    let (run, rest) = text.split_at(length);
    let has_space = run.contains(&' ');
    let kind = match run {
        [] => Gap::Nothing,
        run if run.iter().any(is_mark) || has_space && run.iter().any(|c| is_dash(*c)) => Gap::Mark,
        _ if has_space => Gap::Space,
        _ => Gap::Dash,
    };
    let goes_on =
        !has_space && rest.first().is_some_and(char::is_ascii_digit) && !run.iter().any(|c| matches!(c, ')' | ']'));
    (!goes_on).then_some((kind, length))
}

/// Accepts numbers that count from 1 through most of the files, and numbers that continue a list of certain ones.
fn accept_lists(numbers: &mut [Option<Number>]) {
    for index in 0..numbers.len() {
        let Some(first) = numbers[index].clone().filter(|number| !number.is_certain) else { continue };
        let is_of_list = |number: &Number| number.has_layout_of(&first) && number.is_padded == first.is_padded;
        let mut values: Vec<u32> =
            numbers.iter().flatten().filter(|number| is_of_list(number)).map(|number| number.value).collect();
        values.sort_unstable();
        if values.len() * 2 > numbers.len() && counts_up(&values, first.lead, numbers.len()) {
            numbers
                .iter_mut()
                .flatten()
                .filter(|number| is_of_list(number))
                .for_each(|number| number.is_certain = true);
        }
    }
    // Each pass accepts one more number; the loop ends when none is left to accept.
    while let Some(next) =
        numbers.iter().position(|number| number.as_ref().is_some_and(|number| continues(number, numbers)))
    {
        if let Some(number) = &mut numbers[next] {
            number.is_certain = true;
        }
    }
}

/// Whether sorted numbers form a list that starts at its beginning and has at most `files` entries.
fn counts_up(values: &[u32], lead: Lead, files: usize) -> bool {
    let are_distinct = values.windows(2).all(|pair| pair[0] < pair[1]);
    are_distinct
        && values.len() > 1
        && match lead {
            // A1, A2, B1: each side starts at 1 again.
            Lead::Side => {
                let follows = |pair: &[u32]| pair[1] == pair[0] + 1 || pair[1] == (pair[0] / 1000 + 1) * 1000 + 1;
                values[0] == 1001 && values.windows(2).all(follows)
            }
            _ => {
                values.contains(&1)
                    && values.last().is_some_and(|last| usize::try_from(*last).is_ok_and(|last| last <= files))
            }
        }
}

/// Whether a number that isn't certain by itself is close to a certain one of its layout and width: "10 Outro" to "09
/// Verse".
fn continues(number: &Number, numbers: &[Option<Number>]) -> bool {
    let is_near = |other: &Number| other.value.abs_diff(number.value) <= MAX_STEP && other.value != number.value;
    !number.is_certain
        && numbers.iter().flatten().any(|other| {
            other.is_certain && other.has_layout_of(number) && other.digits == number.digits && is_near(other)
        })
}

/// The index at which the title begins: after the number, and after a second one with a leading zero, as in "02 - 02 -
/// Intro".
fn after_second(stem: &[char], number: &Number) -> usize {
    let ascii: Vec<char> = stem[number.end..].iter().map(|c| to_ascii(*c)).collect();
    let second =
        Number::at(&ascii, 0).filter(|second| second.is_certain && second.lead == Lead::Nothing && second.is_padded);
    number.end + second.map_or(0, |second| second.end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::text::parse_line;

    #[test]
    fn a_file_that_comes_alone_keeps_a_number_of_its_title() {
        for (name, title) in [
            ("03 - night_bus.wav", "night bus"),
            ("Night Bus.flac", "Night Bus"),
            ("01 - Intro.wav", "Intro"),
            ("1-01 Intro.wav", "Intro"),
            ("01. Intro.wav", "Intro"),
            ("01 Intro.wav", "Intro"),
            ("1. 2 Become 1.wav", "2 Become 1"),
            ("01 - 7 Rings.mp3", "7 Rings"),
            ("(01) Intro.wav", "Intro"),
            ("[1] Intro.wav", "Intro"),
            ("1) Intro.wav", "Intro"),
            ("01-intro.wav", "intro"),
            ("01 – Intro.wav", "Intro"),
            ("001 - Intro.wav", "Intro"),
            ("01_intro_master_v2.wav", "intro master v2"),
            ("02 - 02 - x.wav", "x"),
            ("Track 01 - Intro.wav", "Intro"),
            ("Ana Lima - 01 - Intro.wav", "Intro"),
            ("50 Cent - 01 - Intro.wav", "Intro"),
            ("A1 - Intro.wav", "Intro"),
            ("０１．Intro.wav", "Intro"),
            ("０１　Intro.wav", "Intro"),
            ("01、夜行バス.wav", "夜行バス"),
            ("2.03 Intro.wav", "Intro"),
            ("C:\\Music\\01. Intro.wav", "Intro"),
            ("Intro.wav.mp3", "Intro"),
            ("01 - 1979.wav", "1979"),
            // These numbers belong to the title.
            ("7 Rings.wav", "7 Rings"),
            ("24 Hours.wav", "24 Hours"),
            ("2-step.wav", "2-step"),
            ("808 Beat.wav", "808 Beat"),
            ("808 - Beat.wav", "808 - Beat"),
            ("3 AM.wav", "3 AM"),
            ("99 Problems.wav", "99 Problems"),
            ("99Luftballons.mp3", "99Luftballons"),
            ("1979.wav", "1979"),
            ("7.wav", "7"),
            ("7 - 11.wav", "7 - 11"),
            ("9-11 Memorial.wav", "9-11 Memorial"),
            ("50-50 Love.wav", "50-50 Love"),
            ("24-7.wav", "24-7"),
            ("007 Theme.wav", "007 Theme"),
            ("(500) Days.wav", "(500) Days"),
            ("#1 Crush.wav", "#1 Crush"),
            ("A1 Sauce.wav", "A1 Sauce"),
            ("U2 - One.wav", "U2 - One"),
            ("2.0 Remix.wav", "2.0 Remix"),
            ("5:30 Train.wav", "5:30 Train"),
            ("4 33.wav", "4 33"),
            ("1+1.wav", "1+1"),
            ("80s Mix.wav", "80s Mix"),
            ("Track 01.wav", "Track 01"),
            ("Tracks 1 to 3.wav", "Tracks 1 to 3"),
            ("Vol.2", "Vol.2"),
            ("Mr. Blue", "Mr. Blue"),
            (".wav", ".wav"),
            ("../../etc/passwd", "passwd"),
            ("\u{202E}Night\u{200B} Bus\u{3164}.wav", "Night Bus"),
        ] {
            assert_eq!(title_from_file_name(name), title, "{name}");
        }
    }

    #[test]
    fn files_that_come_together_tell_which_numbers_count() {
        let whole: [&[&str]; 13] = [
            &["7 Rings", "8 Mile"],
            &["24 Hours", "25 Minutes", "26 Seconds"],
            &["99 Problems", "100 Problems"],
            &["808 Beat", "909 Beat"],
            &["2-step", "3-step"],
            &["3 AM", "Intro", "Outro"],
            &["2 Hearts", "3 AM", "Intro"],
            &["1 Thing", "3 AM"],
            &["1 Thing", "2 Become 1", "Intro", "Verse", "Bridge", "Outro"],
            &["1 Thing", "1 More Time"],
            &["A1 Sauce", "B2 Bomber"],
            &["A2 x", "A3 y"],
            &["#1 Crush", "Hello"],
        ];
        for titles in whole {
            let names: Vec<String> = titles.iter().map(|title| format!("{title}.wav")).collect();
            assert_eq!(titles_from_file_names(&names), titles);
        }
        let lists: [(&[&str], &[&str]); 14] = [
            (&["1 Intro", "2 Verse"], &["Intro", "Verse"]),
            (&["2 Verse", "1 Intro", "3 AM"], &["Verse", "Intro", "AM"]),
            (&["1-intro", "2-step", "3-outro"], &["intro", "step", "outro"]),
            (&["01 - Intro", "2-step"], &["Intro", "2-step"]),
            (&["01 Intro", "02 7 Rings", "24 Hours"], &["Intro", "7 Rings", "24 Hours"]),
            (&["01 Intro", "3 AM"], &["Intro", "3 AM"]),
            (&["09 Verse", "10 Outro", "12 Hours"], &["Verse", "Outro", "Hours"]),
            (&["A1 Intro", "A2 Verse", "B1 Outro"], &["Intro", "Verse", "Outro"]),
            (&["Track 1 Intro", "Track 2 Verse"], &["Intro", "Verse"]),
            (&["#1 Intro", "#2 Verse"], &["Intro", "Verse"]),
            (&["1-09 Intro", "1-10 Verse", "2-01 Outro"], &["Intro", "Verse", "Outro"]),
            (&["01Intro", "02Verse"], &["Intro", "Verse"]),
            (&["Ana - 1 - Intro", "Ana - 2 - Verse"], &["Intro", "Verse"]),
            (&["Ana - 01 Intro", "Ana - 02 Verse"], &["Intro", "Verse"]),
        ];
        for (names, titles) in lists {
            let names: Vec<String> = names.iter().map(|name| format!("{name}.wav")).collect();
            assert_eq!(titles_from_file_names(&names), titles);
        }
    }

    /// Generates a title, which may begin with a number of its own.
    fn title() -> impl Strategy<Value = String> {
        ("([1-9][0-9]{0,2} )?", "[A-Z][a-z]{1,6}( [A-Z][a-z]{1,6}){0,2}")
            .prop_map(|(number, words)| format!("{number}{words}"))
    }

    proptest! {
        #[test]
        fn whatever_files_are_called_their_titles_are_valid_ones(names in prop::collection::vec("[0-9]{0,3}[ .)(_-]{0,3}\\PC{0,40}", 0..12)) {
            let titles = titles_from_file_names(&names);
            prop_assert_eq!(titles.len(), names.len());
            for title in titles {
                prop_assert_eq!(parse_line(&title, TITLE_MAX_CHARS), Ok(title));
            }
        }

        #[test]
        fn numbers_of_a_list_are_left_out_and_titles_kept(titles in prop::collection::vec(title(), 1..30), layout in 0usize..6) {
            let name = |(index, title): (usize, &String)| match layout {
                0 => format!("{:02} - {title}.wav", index + 1),
                1 => format!("{:02}. {title}.flac", index + 1),
                2 => format!("1-{:02} {title}.mp3", index + 1),
                3 => format!("{:02}_{}.wav", index + 1, title.replace(' ', "_")),
                4 => format!("Ana Lima - {:02} - {title}.wav", index + 1),
                _ => format!("({}) {title}.m4a", index + 1),
            };
            let names: Vec<String> = titles.iter().enumerate().map(name).collect();
            prop_assert_eq!(titles_from_file_names(&names), titles);
        }

        #[test]
        fn bare_numbers_count_from_one_or_not_at_all(words in prop::collection::vec("[A-Z][a-z]{1,6}", 2..20), first in 1usize..4) {
            let names: Vec<String> = words.iter().enumerate().map(|(index, word)| format!("{} {word}", index + first)).collect();
            let expected = if first == 1 { words } else { names.clone() };
            prop_assert_eq!(titles_from_file_names(&names), expected);
        }

        #[test]
        fn the_order_of_files_does_not_matter(names in prop::collection::vec("(0?[1-9]|1[0-2])[ -.][A-C]?", 0..8)) {
            let mut backwards: Vec<String> = titles_from_file_names(&names.iter().rev().collect::<Vec<_>>());
            backwards.reverse();
            prop_assert_eq!(titles_from_file_names(&names), backwards);
        }
    }
}
