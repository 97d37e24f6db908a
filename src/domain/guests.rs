//! Guests in titles and artist names: how people write "featuring", and how stores want it.

use super::text::{is_unseen, to_ascii};

/// How people write "featuring", without the dot of an abbreviation.
const WORDS: [&str; 3] = ["featuring", "feat", "ft"];

/// A word for "featuring" with names around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marker {
    /// The index of its first character.
    start: usize,
    /// The index after its last character: its dot, if it has one.
    end: usize,
}

/// A text as far as it is seen, with the place of each character in the original.
struct Seen {
    chars: Vec<char>,
    places: Vec<usize>,
}

impl Seen {
    fn new(text: &str) -> Self {
        let seen = text.char_indices().filter(|(_, c)| c.is_whitespace() || !is_unseen(*c));
        let (places, chars) = seen.map(|(place, c)| (place, if c.is_whitespace() { ' ' } else { c })).unzip();
        Self { chars, places }
    }

    /// Finds the words for "featuring" that introduce a guest: something stands before and after them.
    fn markers(&self) -> Vec<Marker> {
        (0..self.chars.len()).filter_map(|start| self.marker_at(start)).collect()
    }

    fn marker_at(&self, start: usize) -> Option<Marker> {
        if start > 0 && is_of_word(&self.chars[start - 1]) {
            return None;
        }
        let letters = self.chars[start..].iter().take_while(|c| is_of_word(c)).count();
        let word: String =
            self.chars[start..start + letters].iter().map(|c| to_ascii(*c).to_ascii_lowercase()).collect();
        let mut end = start + letters;
        // "That feat's mine" is about a deed.
        if !WORDS.contains(&word.as_str()) || matches!(self.chars.get(end), Some('\'' | '’')) {
            return None;
        }
        let has_dot = self.chars.get(end).is_some_and(|c| to_ascii(*c) == '.');
        end += usize::from(has_dot);
        let has_name = self.chars[end..].iter().any(|c| c.is_alphanumeric());
        (has_name && !self.is_another_word(start, &word, has_dot)).then_some(Marker { start, end })
    }

    /// Whether the word means something else: "Ft. Worth Blues", "6 Ft. Under", "A Feat of Strength".
    fn is_another_word(&self, start: usize, word: &str, has_dot: bool) -> bool {
        let before: String = self.chars[..start].iter().collect();
        let last_word = before.split_whitespace().next_back().unwrap_or_default();
        let is_first = before.is_empty();
        let is_capital = self.chars[start].is_uppercase();
        match word {
            "ft" => is_first && is_capital || !last_word.is_empty() && last_word.chars().all(char::is_numeric),
            "feat" if !has_dot => {
                let next: String = self.chars[start + word.len()..].iter().take(4).collect();
                is_first && is_capital || next.eq_ignore_ascii_case(" of ")
            }
            _ => false,
        }
    }

    /// Whether the marker stands as in "(feat. Bo Sun)" or "[feat. Bo Sun]".
    fn is_well_written(&self, marker: Marker) -> bool {
        let word = &self.chars[marker.start..marker.end];
        let Some(open) = marker.start.checked_sub(1).map(|at| self.chars[at]) else { return false };
        let close = match open {
            '(' => ')',
            '[' => ']',
            _ => return false,
        };
        let has_gap = marker.start < 2 || self.chars[marker.start - 2] == ' ';
        let names = &self.chars[marker.end..];
        let has_names = names.first() == Some(&' ') && names.get(1).is_some_and(|c| c.is_alphanumeric());
        word == ['f', 'e', 'a', 't', '.'] && has_gap && has_names && names.contains(&close)
    }
}

/// Whether a character goes on with a word. Scripts without capitals write "feat." without a space.
fn is_of_word(c: &char) -> bool {
    c.is_lowercase() || c.is_uppercase() || c.is_numeric() || matches!(c, '\u{300}'..='\u{36F}')
}

/// Whether a title names guests, however that is written.
pub(super) fn names_guests(title: &str) -> bool {
    !Seen::new(title).markers().is_empty()
}

/// Whether a title that names guests does so as stores want it: once, as "(feat. Bo Sun)". Source: Apple Music Style Guide
/// 2.13.
pub(super) fn are_guests_well_written(title: &str) -> bool {
    let seen = Seen::new(title);
    match seen.markers().as_slice() {
        [] => true,
        [marker] => seen.is_well_written(*marker),
        _ => false,
    }
}

/// Splits the name of an artist at each word for "featuring", into what comes before and the guests: "Ana Lima" and "Bo
/// Sun" from "Ana Lima (feat. Bo Sun)".
pub(super) fn splits_at_guests(text: &str) -> Vec<(&str, String)> {
    let seen = Seen::new(text);
    let split = |marker: Marker| {
        let (start, end) = (seen.places[marker.start], *seen.places.get(marker.end)?);
        let (before, after) = (text[..start].trim_end(), text[end..].trim_start_matches([':', ' ']).trim_end());
        let own = before.trim_end_matches(['(', '[', '（', '［']);
        let close = before.chars().next_back().and_then(|open| match open {
            '(' => Some(')'),
            '[' => Some(']'),
            '（' => Some('）'),
            '［' => Some('］'),
            _ => None,
        });
        let guests = match close {
            // Something after the bracket would be part of the artist's name.
            Some(close) if after.contains(close) => after.strip_suffix(close)?,
            _ => after,
        };
        Some((own.trim_end_matches([' ', ',', ';', '-', '–', '—', '/']), joined(guests.trim())))
    };
    seen.markers().into_iter().filter_map(split).collect()
}

/// Joins guests that are introduced one by one: "Bo & Cy" from "Bo ft. Cy".
fn joined(guests: &str) -> String {
    match splits_at_guests(guests).into_iter().next() {
        Some((first, others)) if !first.is_empty() => format!("{first} & {others}"),
        _ => guests.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_named_once_in_brackets_and_in_the_word_of_the_stores() {
        for title in [
            "Night Bus",
            "Night Bus (feat. Bo Sun)",
            "Night Bus [feat. Bo Sun]",
            "Night Bus (feat. Bo Sun & Cy)",
            "Night Bus (feat. Bo Sun) [Live]",
            "Night Bus [Live] (feat. Bo Sun)",
            "夜行バス (feat. 太陽)",
            "(feat. Bo Sun)",
            // These words are no markers.
            "Defeat",
            "Feature",
            "The Feat",
            "Little Feat",
            "A Feat of Strength",
            "Feat Without Feet",
            "That Feat’s Mine",
            "Ft. Worth Blues",
            "6 Ft. Under",
            "Six Feet (feat. Bo)",
            "10 ft Tall",
            "Aft Er All",
            "Night Bus (with Bo Sun)",
            "feat.",
            "",
        ] {
            assert!(are_guests_well_written(title), "{title}");
        }
        let mut wrong: Vec<String> = [
            "Night Bus (feat. Bo) ft. Cy",
            "Night Bus ft. Bo (feat. Cy)",
            "Night Bus (feat. Bo) (feat. Cy)",
            "Night Bus (feat. Bo) [feat. Cy]",
            "Night Bus (feat. Bo feat. Cy)",
            "Night Bus (feat. Bo, ft. Cy)",
            "Night Bus (Live feat. Bo)",
            "Night Bus(feat. Bo)",
            "Night Bus (feat. Bo",
            "Night Bus feat. Bo)",
            "Night Bus (feat.Bo)",
            "Night Bus ( feat. Bo)",
            "Night Bus (feat.: Bo)",
            "Night Bus （feat. Bo）",
            "Night Bus {feat. Bo}",
            "Night Bus (ｆｅａｔ．Bo)",
            "Night Bus (fe\u{200D}at Bo)",
            "Night Bus - feat. Bo",
            "Night Bus, feat Bo",
            "night-bus-feat-bo",
            "Night Bus/ft.Bo",
            "ft. Bo",
            "feat. Bo",
            "夜行バスfeat.太陽",
        ]
        .map(str::to_owned)
        .to_vec();
        // Every word in every case, with and without a dot, bare and in each bracket. Two of all these are right.
        for word in ["feat", "ft", "featuring"] {
            let capital = word[..1].to_uppercase() + &word[1..];
            for word in [word.to_owned(), capital, word.to_uppercase()] {
                for dot in ["", "."] {
                    for (open, close) in [("", ""), ("(", ")"), ("[", "]")] {
                        if (word.as_str(), dot) != ("feat", ".") || open.is_empty() {
                            wrong.push(format!("Night Bus {open}{word}{dot} Bo{close}"));
                        }
                        // A second one is never right.
                        for first in ["(feat. Cy)", "[feat. Cy]", "ft. Cy", "Featuring Cy"] {
                            wrong.push(format!("Night Bus {first} {open}{word}{dot} Bo{close}"));
                            wrong.push(format!("Night Bus {open}{word}{dot} Bo{close} {first}"));
                        }
                    }
                }
            }
        }
        for title in &wrong {
            assert!(!are_guests_well_written(title), "{title}");
            assert!(names_guests(title), "{title}");
        }
    }

    #[test]
    fn the_guests_of_an_artist_are_split_off() {
        for (text, own, guests) in [
            ("Ana Lima feat. Bo Sun", "Ana Lima", "Bo Sun"),
            ("Ana Lima (ft Bo Sun)", "Ana Lima", "Bo Sun"),
            ("Ana Lima [Featuring Bo Sun]", "Ana Lima", "Bo Sun"),
            ("Ana Lima（feat. Bo Sun）", "Ana Lima", "Bo Sun"),
            ("Ana Lima (feat.Bo Sun)", "Ana Lima", "Bo Sun"),
            ("Ana Lima (feat. Bo (of Sun))", "Ana Lima", "Bo (of Sun)"),
            ("Ana Lima (feat. Bo", "Ana Lima", "Bo"),
            ("Ana Lima, FEAT. Bo Sun", "Ana Lima", "Bo Sun"),
            ("Ana Lima - featuring: Bo Sun", "Ana Lima", "Bo Sun"),
            ("Ana Lima feat. Bo (of Sun)", "Ana Lima", "Bo (of Sun)"),
            ("Ana Lima feat. Bo ft. Cy", "Ana Lima", "Bo & Cy"),
            ("Ana Lima (feat. Bo, Cy ft. Di)", "Ana Lima", "Bo, Cy & Di"),
            ("林feat.太陽", "林", "太陽"),
        ] {
            assert_eq!(splits_at_guests(text).first(), Some(&(own, guests.to_owned())), "{text}");
        }
        for text in
            ["Ana Lima", "Ana Lima feat.", "Defeat", "De\u{301}feat x", "Little Feat", "Ana (feat. Bo) & Cy", ""]
        {
            assert_eq!(splits_at_guests(text), [], "{text}");
        }
    }
}
