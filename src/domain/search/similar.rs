//! Words that differ by a mistake of typing.
//!
//! A word is cut into one part more than the mistakes that are allowed. So each allowed mistake leaves a part whole, and
//! an index of parts finds all candidates.

use std::collections::BTreeSet;

use super::SIMILAR_MIN_CHARS;

/// The number of letters from which on a word may have two mistakes.
const TWO_EDITS_MIN_CHARS: usize = 8;

/// How many letters of a word may be missing, added or replaced.
fn edits_allowed(chars: usize) -> usize {
    match chars {
        0..SIMILAR_MIN_CHARS => 0,
        SIMILAR_MIN_CHARS..TWO_EDITS_MIN_CHARS => 1,
        _ => 2,
    }
}

/// The parts of a word that an index keeps, each with its place and the length of the word.
pub fn parts(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    bounds(letters.len()).enumerate().map(|(part, (from, to))| key(letters.len(), part, &letters[from..to])).collect()
}

/// The parts of which a word that is similar to `typed` has at least one. Swapped neighbours in a short word are two
/// edits here: see [`with_swapped_letters`].
pub fn possible_parts(typed: &str) -> BTreeSet<String> {
    let letters: Vec<char> = typed.chars().collect();
    let edits = edits_allowed(letters.len());
    let mut possible = BTreeSet::new();
    for length in letters.len().saturating_sub(edits).max(SIMILAR_MIN_CHARS)..=letters.len() + edits {
        let edits = edits.min(edits_allowed(length));
        for (part, (from, to)) in bounds(length).enumerate() {
            for shifted in from.saturating_sub(edits)..=from + edits {
                possible.extend(letters.get(shifted..shifted + to - from).map(|letters| key(length, part, letters)));
            }
        }
    }
    possible
}

/// The words that a short word may be if two of its neighbouring letters were swapped.
pub fn with_swapped_letters(typed: &str) -> Vec<String> {
    let mut letters: Vec<char> = typed.chars().collect();
    if edits_allowed(letters.len()) != 1 {
        return Vec::new();
    }
    let swap = |at: usize| {
        letters.swap(at, at + 1);
        let word = String::from_iter(&letters);
        letters.swap(at, at + 1);
        word
    };
    (0..typed.chars().count() - 1).map(swap).collect()
}

/// How many letters of `word` are missing, added, replaced or swapped in `typed`, if these are no more than are
/// allowed.
pub fn edits_between(typed: &str, word: &str) -> Option<usize> {
    let (typed, word): (Vec<char>, Vec<char>) = (typed.chars().collect(), word.chars().collect());
    let allowed = edits_allowed(typed.len()).min(edits_allowed(word.len()));
    if typed.len().abs_diff(word.len()) > allowed {
        return None;
    }
    // The rows of the table of distances (optimal string alignment): the one before the last, the last, and this one.
    let (mut last, mut row) = (Vec::new(), (0..=word.len()).collect::<Vec<_>>());
    for (i, a) in typed.iter().enumerate() {
        let before = std::mem::replace(&mut last, row);
        row = vec![i + 1];
        for (j, b) in word.iter().enumerate() {
            let mut edits = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == word[j - 1] && typed[i - 1] == *b {
                edits = edits.min(before[j - 1] + 1);
            }
            row.push(edits);
        }
    }
    row.last().copied().filter(|edits| *edits <= allowed)
}

/// Where the parts of a word of this length begin and end.
fn bounds(length: usize) -> impl Iterator<Item = (usize, usize)> {
    let parts = edits_allowed(length) + 1;
    (0..parts).map(move |part| (part * length / parts, (part + 1) * length / parts))
}

fn key(length: usize, part: usize, letters: &[char]) -> String {
    format!("{length}.{part}.{}", String::from_iter(letters))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_found(typed: &str, word: &str) -> bool {
        let kept = parts(word);
        let is_candidate = possible_parts(typed).iter().any(|part| kept.contains(part))
            || with_swapped_letters(typed).iter().any(|swapped| swapped == word);
        is_candidate && edits_between(typed, word).is_some()
    }

    #[test]
    fn one_mistake_in_a_short_word_and_two_in_a_long_one() {
        for (typed, word) in [
            ("novaa", "nova"),
            ("nvoa", "nova"),
            ("xova", "nova"),
            ("midnigt", "midnight"),
            ("midnihgt", "midnight"),
            ("imdnight", "midnight"),
            ("midnightt", "midnight"),
            ("transcontinentel", "transcontinental"),
            ("trancontinantal", "transcontinental"),
        ] {
            assert!(is_found(typed, word), "{typed} {word}");
        }
        for (typed, word) in [("nov", "nova"), ("mdnigt", "midnigh"), ("nova", "luna"), ("midnight", "daylight")] {
            assert!(!is_found(typed, word), "{typed} {word}");
        }
        assert_eq!(edits_between("midnight", "midnight"), Some(0));
    }

    /// One of the four kinds of mistakes, at a place.
    fn edited(word: &str, kind: u8, at: usize, letter: char) -> String {
        let mut letters: Vec<char> = word.chars().collect();
        let at = at % letters.len();
        match kind % 4 {
            0 => drop(letters.remove(at)),
            1 => letters.insert(at, letter),
            2 => letters[at] = letter,
            _ => {
                let next = (at + 1).min(letters.len() - 1);
                letters.swap(at, next);
            }
        }
        letters.into_iter().collect()
    }

    proptest! {
        #[test]
        fn one_mistake_is_always_found(word in "[a-eä]{5,20}", kind: u8, at: usize, letter in "[a-z]") {
            let typed = edited(&word, kind, at, letter.chars().next().unwrap());
            prop_assert!(is_found(&typed, &word), "{typed} {word}");
        }

        #[test]
        fn two_mistakes_in_a_long_word_are_found(
            word in "[a-eä]{10,20}", kinds: (u8, u8), at: (usize, usize), letter in "[a-z]",
        ) {
            let letter = letter.chars().next().unwrap();
            let typed = edited(&edited(&word, kinds.0 % 3, at.0, letter), kinds.1 % 3, at.1, letter);
            prop_assert!(is_found(&typed, &word), "{typed} {word}");
        }
    }
}
