//! Guests in titles and artist names: how people write "featuring", and how stores want it.

use super::text::{is_dash, is_unseen, to_ascii};

/// How people write "featuring", without the dot of an abbreviation.
const WORDS: [&str; 3] = ["featuring", "feat", "ft"];

/// Words behind "ft" that make it a unit of length if a number stands before it: "6 ft tall".
const MEASURED: [&str; 18] = [
    "tall", "deep", "high", "long", "wide", "thick", "above", "below", "over", "under", "beneath", "of", "off", "from",
    "away", "apart", "up", "down",
];

/// A word for "featuring" with names around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marker {
    /// The index of its first character.
    start: usize,
    /// The index after its last character: its dot, if it has one.
    end: usize,
}

/// A text as far as it is seen, with the place of each character in the original.
struct Seen<'a> {
    text: &'a str,
    chars: Vec<char>,
    places: Vec<usize>,
}

impl<'a> Seen<'a> {
    fn new(text: &'a str) -> Self {
        let seen = text.char_indices().filter(|(_, c)| c.is_whitespace() || !is_unseen(*c));
        let (places, chars) = seen.map(|(place, c)| (place, if c.is_whitespace() { ' ' } else { c })).unzip();
        Self { text, chars, places }
    }

    /// Finds the words for "featuring" that introduce a guest.
    fn markers(&self) -> impl Iterator<Item = Marker> {
        self.words().filter(|marker| !self.is_unit(*marker))
    }

    /// Finds the words that may introduce a guest: a name stands behind them. Some are units of length: "6 ft tall".
    fn words(&self) -> impl Iterator<Item = Marker> {
        (0..self.chars.len()).filter_map(|start| self.word_at(start))
    }

    fn word_at(&self, start: usize) -> Option<Marker> {
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

    /// Whether the word means something else: "Ft. Worth Blues", "A Feat of Strength".
    fn is_another_word(&self, start: usize, word: &str, has_dot: bool) -> bool {
        let is_capital_first = start == 0 && self.chars[start].is_uppercase();
        match word {
            "ft" => is_capital_first,
            "feat" if !has_dot => {
                let next: String = self.chars[start + word.len()..].iter().take(4).collect();
                is_capital_first || next.eq_ignore_ascii_case(" of ")
            }
            _ => false,
        }
    }

    /// Whether the marker is a unit of length, as in "6 Ft. Under" and "Wave (30 ft)", and no guest as in "1999 ft. Bo".
    fn is_unit(&self, marker: Marker) -> bool {
        let is_gap = |c: &&char| **c == ' ' || is_dash(**c);
        let is_ft = to_ascii(self.chars[marker.start + 1]).eq_ignore_ascii_case(&'t');
        let number = self.chars[..marker.start].iter().rev().find(|c| !is_gap(c));
        if !is_ft || !number.is_some_and(|c| c.is_numeric()) {
            return false;
        }
        let behind: String = self.chars[marker.end..].iter().skip_while(is_gap).map(|c| to_ascii(*c)).collect();
        let next = behind.split(|c| !is_of_word(&c)).next().unwrap_or_default().to_ascii_lowercase();
        behind.starts_with(['(', ')', '[', ']']) || MEASURED.contains(&next.as_str())
    }

    /// Splits the text at a marker, into what comes before and the guests: "Ana Lima" and "Bo Sun" from "Ana Lima
    /// (feat. Bo Sun)". `None` if the bracket around the guests ends before the text does.
    fn split_at(&self, marker: Marker) -> Option<(&'a str, &'a str)> {
        let (start, end) = (self.places[marker.start], *self.places.get(marker.end)?);
        let (before, after) =
            (self.text[..start].trim_end(), self.text[end..].trim_start_matches([':', ' ']).trim_end());
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
        Some((own.trim_end_matches([' ', ',', ';', '-', '–', '—', '/']), guests.trim()))
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
    Seen::new(title).markers().next().is_some()
}

/// Whether a title that names guests does so as stores want it: once, as "(feat. Bo Sun)". Source: Apple Music Style Guide
/// 2.13.
pub(super) fn are_guests_well_written(title: &str) -> bool {
    let seen = Seen::new(title);
    let mut markers = seen.markers();
    match (markers.next(), markers.next()) {
        (None, _) => true,
        (Some(marker), None) => seen.is_well_written(marker),
        (Some(_), Some(_)) => false,
    }
}

/// Extracts the guests from the name of an artist: "Bo Sun" from "Ana Lima (feat. Bo Sun)", if `is_own` holds for "Ana
/// Lima".
pub(super) fn guests_beside(text: &str, is_own: impl Fn(&str) -> bool) -> Option<String> {
    let seen = Seen::new(text);
    let mut splits = seen.words().filter_map(|marker| seen.split_at(marker));
    let (_, guests) = splits.find(|(own, guests)| is_own(own) && !guests.is_empty())?;
    Some(joined(guests))
}

/// Joins guests that are introduced one by one: "Bo & Cy" from "Bo ft. Cy".
///
/// Each step splits what is left once. Tags come from files, so the steps must not multiply.
fn joined(mut guests: &str) -> String {
    let mut names = vec![];
    loop {
        let seen = Seen::new(guests);
        match seen.markers().find_map(|marker| seen.split_at(marker)) {
            Some((first, others)) if !first.is_empty() => {
                names.push(first);
                guests = others;
            }
            _ => break,
        }
    }
    names.push(guests);
    names.join(" & ")
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
            "(6 ft tall)",
            "Snowman [10-ft-high]",
            "Wave (30 ft)",
            "Wave - 30 ft. - (feat. Bo)",
            "4 Ft. of Snow",
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
            "1999 ft. Bo",
            "1999 ft Bo",
            "(1999) Ft. Bo",
            "Track 24 ft. Bo (feat. Cy)",
            "7 ft. Tallinn",
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
            ("Maroon 5 ft. Bo Sun", "Maroon 5", "Bo Sun"),
            ("Blink 182 (ft Bo)", "Blink 182", "Bo"),
            ("Sum 41 ft. Tall Bo", "Sum 41", "Tall Bo"),
            ("Ana Lima feat. Maroon 5 ft. Bo", "Ana Lima", "Maroon 5 & Bo"),
            ("Ana Lima feat. 6 Ft. Under", "Ana Lima", "6 Ft. Under"),
            ("Ana Lima feat. Bo", "Ana Lima", "Bo"),
            ("Ana Lima feat. Bo ft. Cy", "Ana Lima feat. Bo", "Cy"),
        ] {
            assert_eq!(guests_beside(text, |name| name == own).as_deref(), Some(guests), "{text}");
        }
        for text in
            ["Ana Lima", "Ana Lima feat.", "Defeat", "De\u{301}feat x", "Little Feat", "Ana (feat. Bo) & Cy", ""]
        {
            assert_eq!(guests_beside(text, |_| true), None, "{text}");
        }
        assert_eq!(guests_beside("Ana Lima feat. Bo", |name| name == "Cy"), None);
    }

    #[test]
    fn many_words_for_featuring_take_no_time() {
        let guests_of_ana = |text: &str| guests_beside(text, |name| name == "Ana");
        let words = " ft".repeat(65) + " x";
        assert_eq!(guests_of_ana(&format!("Ana{words}")).as_deref(), Some(words[4..].trim()));
        let guests: Vec<String> = (0..66).map(|number| format!("g{number}")).collect();
        assert_eq!(guests_of_ana(&format!("Ana ft {}", guests.join(" ft "))), Some(guests.join(" & ")));
    }
}
