//! Finds the track numbers in file names, and decides which of them belong to a list.

use crate::domain::{codes::to_ascii, text::is_dash};

/// The largest step between two numbers of one list. Numbers further apart hardly belong to one list.
const MAX_STEP: u32 = 3;

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
pub(super) fn accept_lists(numbers: &mut [Option<Number>]) {
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
pub(super) fn after_second(stem: &[char], number: &Number) -> usize {
    let ascii: Vec<char> = stem[number.end..].iter().map(|c| to_ascii(*c)).collect();
    let second =
        Number::at(&ascii, 0).filter(|second| second.is_certain && second.lead == Lead::Nothing && second.is_padded);
    number.end + second.map_or(0, |second| second.end)
}
