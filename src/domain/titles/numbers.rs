//! Finds the track numbers in file names, and decides which of them belong to a list.

use crate::domain::text::{is_dash, is_unseen, to_ascii};

/// The largest step between two numbers of one list. Numbers further apart hardly belong to one list.
const MAX_STEP: u32 = 3;
/// The brackets that people put around numbers, as pairs.
const BRACKETS: [(char, char); 9] = [
    ('(', ')'),
    ('[', ']'),
    ('{', '}'),
    ('<', '>'),
    ('【', '】'),
    ('〔', '〕'),
    ('「', '」'),
    ('『', '』'),
    ('《', '》'),
];

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
    /// The number of a disc, and a dash or a dot. The word "CD" or "Disc" may come before it.
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
pub(super) struct Number {
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
    pub(super) is_certain: bool,
}

impl Number {
    /// Finds the first number that is certain by itself, or else the first number.
    pub(super) fn of(stem: &[char]) -> Option<Self> {
        let (ascii, places) = visible(stem);
        let is_separator = |at: usize| ascii[at] == ' ' && is_dash(ascii[at + 1]) && ascii[at + 2] == ' ';
        let parts = (0..ascii.len().saturating_sub(3)).filter(|at| is_separator(*at)).map(|at| at + 3);
        let candidates: Vec<Self> =
            std::iter::once(0).chain(parts).filter_map(|start| Self::at(&ascii, start)).collect();
        let found = candidates.iter().find(|number| number.is_certain).or(candidates.first())?;
        Some(Self { end: places[found.end - 1] + 1, ..found.clone() })
    }

    fn at(stem: &[char], start: usize) -> Option<Self> {
        let text = stem.get(start..)?;
        let (lead, lead_chars) = lead(text);
        let first = digits(&text[lead_chars..]);
        let mut value = read(&text[lead_chars..lead_chars + first])?;
        let mut at = lead_chars + first;
        let (mut lead, mut digits, mut is_padded) = (lead, first, first > 1 && text[lead_chars] == '0');
        match lead {
            Lead::Side => value += 1000 * u32::from(text[0].to_ascii_uppercase() as u8 - b'A' + 1),
            Lead::Bracket => {
                if !text.get(at).is_some_and(|c| is_closing(*c)) {
                    return None;
                }
            }
            Lead::Nothing | Lead::Disc => {
                let second = second_number(&text[at..], lead).filter(|_| first <= 2);
                if let Some((gap, second)) = second {
                    (lead, digits, is_padded) = (Lead::Disc, second, second > 1 && text[at + gap] == '0');
                    value = value * 1000 + read(&text[at + gap..at + gap + second])?;
                    at += gap + second;
                } else if lead == Lead::Disc {
                    return None;
                }
            }
            Lead::Word | Lead::Hash => {}
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
            (Lead::Disc, gap) => is_padded || lead_chars > 0 && gap == Gap::Mark,
        };
        let prefix = stem[..start].to_vec();
        Some(Self { prefix, lead, gap, digits, is_padded, value, end: start + end, is_certain })
    }

    /// Whether the number may be one of a list. A number that touches its title belongs to it, unless it has a leading
    /// zero: "1st", "2nd", "3rd".
    fn may_be_listed(&self) -> bool {
        self.gap != Gap::Nothing || self.is_padded
    }

    fn has_layout_of(&self, other: &Self) -> bool {
        (&self.prefix, self.lead, self.gap) == (&other.prefix, other.lead, other.gap)
    }
}

/// Makes a text without invisible characters, in ASCII as far as its characters have an equivalent. Also returns the
/// place of each of its characters in `stem`.
fn visible(stem: &[char]) -> (Vec<char>, Vec<usize>) {
    let seen = stem.iter().enumerate().filter(|(_, c)| **c == ' ' || !is_unseen(**c));
    seen.map(|(place, c)| (to_ascii(*c), place)).unzip()
}

/// The number of digits at the beginning of a text.
fn digits(text: &[char]) -> usize {
    text.iter().take_while(|c| c.is_ascii_digit()).count()
}

fn lead(text: &[char]) -> (Lead, usize) {
    let digit_at = |at: usize| text.get(at).is_some_and(char::is_ascii_digit);
    match text {
        [open, ..] if digit_at(1) && BRACKETS.iter().any(|(known, _)| known == open) => (Lead::Bracket, 1),
        ['#' | '№', ..] if digit_at(1) => (Lead::Hash, 1),
        ['A'..='H' | 'a'..='h', ..] if digit_at(1) => (Lead::Side, 1),
        _ => {
            let words = [("track", Lead::Word), ("cd", Lead::Disc), ("disc", Lead::Disc), ("disk", Lead::Disc)];
            let of_word = |(word, lead): (&str, Lead)| after_word(text, word).map(|chars| (lead, chars));
            words.into_iter().find_map(of_word).unwrap_or((Lead::Nothing, 0))
        }
    }
}

/// The length of `word` and the gap behind it, if a text begins with it and a number follows: "Track 1", "track_01",
/// "CD-1".
fn after_word(text: &[char], word: &str) -> Option<usize> {
    let letters = word.len();
    let is_there = text.get(..letters)?.iter().collect::<String>().eq_ignore_ascii_case(word);
    let gap = text[letters..].iter().take_while(|c| matches!(c, ' ' | '.' | '#') || is_dash(**c)).count();
    (is_there && digits(&text[letters + gap..]) > 0).then_some(letters + gap)
}

/// Finds the number of a track behind the number of its disc: the length of the gap between them, and the number of
/// digits.
fn second_number(text: &[char], lead: Lead) -> Option<(usize, usize)> {
    let gap = match lead {
        // Behind the word for a disc, any gap will do: "CD1 01", "Disc 1 - 01".
        Lead::Disc => text.iter().take_while(|c| matches!(c, ' ' | '.' | ':') || is_dash(**c)).count(),
        _ => usize::from(text.first().is_some_and(|c| *c == '.' || is_dash(*c))),
    };
    let digits = digits(&text[gap..]);
    (gap > 0 && (1..=2).contains(&digits)).then_some((gap, digits))
}

fn is_closing(c: char) -> bool {
    BRACKETS.iter().any(|(_, closing)| *closing == c)
}

/// Reads up to three digits as a number.
fn read(digits: &[char]) -> Option<u32> {
    (1..=3)
        .contains(&digits.len())
        .then(|| digits.iter().filter_map(|c| c.to_digit(10)).fold(0, |value, digit| value * 10 + digit))
}

/// The kind and length of the gap between a number and a title. `None` if the number goes on: "2.0", "5:30", "1\u{20E3}".
fn gap(text: &[char]) -> Option<(Gap, usize)> {
    let is_mark =
        |c: &char| is_closing(*c) || matches!(c, '.' | ':' | '|' | '~' | '、' | '。' | '､' | '｡' | '・' | '·' | '•');
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
    let is_keycap = text.first() == Some(&'\u{20E3}');
    let goes_on = !has_space && rest.first().is_some_and(char::is_ascii_digit) && !run.iter().any(|c| is_closing(*c));
    (!goes_on && !is_keycap).then_some((kind, length))
}

/// Accepts numbers that count from 1 through at least three of four files, and numbers that continue a list of certain
/// ones.
pub(super) fn accept_lists(numbers: &mut [Option<Number>]) {
    for index in 0..numbers.len() {
        let is_open = |number: &Number| !number.is_certain && number.may_be_listed();
        let Some(first) = numbers[index].clone().filter(is_open) else { continue };
        let is_of_list = |number: &Number| number.has_layout_of(&first) && number.is_padded == first.is_padded;
        let mut values: Vec<u32> =
            numbers.iter().flatten().filter(|number| is_of_list(number)).map(|number| number.value).collect();
        values.sort_unstable();
        if values.len() * 4 >= numbers.len() * 3 && counts_up(&values, first.lead, numbers.len()) {
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

/// Whether sorted numbers form a list that starts at its beginning. A list of `files` entries may lack one of four.
fn counts_up(values: &[u32], lead: Lead, files: usize) -> bool {
    let (Some(&first), Some(&last)) = (values.first(), values.last()) else { return false };
    let are_distinct = values.windows(2).all(|pair| pair[0] < pair[1]);
    // A1, A2, B1: each side or disc starts at 1 again, and may be written as hundreds (101, 102, 201).
    let counts_in = |part: u32| {
        let follows = |pair: &[u32]| pair[1] == pair[0] + 1 || pair[1] == (pair[0] / part + 1) * part + 1;
        first % part == 1 && values.windows(2).all(follows)
    };
    let reaches = usize::try_from(last).is_ok_and(|last| last <= files + files / 4);
    are_distinct
        && values.len() > 1
        && match lead {
            Lead::Side => first == 1001 && counts_in(1000),
            Lead::Disc => counts_in(1000),
            _ => values[..2] == [1, 2] && reaches || values.len() > 2 && first > 100 && counts_in(100),
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
/// Intro". A second one that is another number may belong to the title, unless a mark follows it: "02 - 03 Bonnie".
pub(super) fn after_second(stem: &[char], number: &Number) -> usize {
    let (text, places) = visible(&stem[number.end..]);
    let second = Number::at(&text, 0).filter(|second| {
        let is_track = second.gap == Gap::Mark || second.value == number.value % 1000;
        second.is_certain && second.lead == Lead::Nothing && second.is_padded && is_track
    });
    number.end + second.map_or(0, |second| places[second.end - 1] + 1)
}
