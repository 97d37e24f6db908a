//! A release's details: the form, its parsed values, and hints about titles.

use serde::{Deserialize, Serialize};
use time::{Date, macros::format_description};

use super::{ReleaseKind, is_genre, language_name};
use crate::domain::{
    codes::Gtin,
    guests::are_guests_well_written,
    problem::{FieldErrors, Problem},
    text::{TITLE_MAX_CHARS, optional, optional_line, parse_line},
};

/// The longest label, ℗ or © line, in characters.
pub const LINE_MAX_CHARS: usize = 200;

/// A release's details as a form sends them. Every field is text, and an empty one means "not yet".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawDetails {
    pub title: String,
    pub title_version: String,
    pub kind: String,
    pub genre: String,
    pub language: String,
    pub release_date: String,
    pub label: String,
    pub gtin: String,
    pub p_line: String,
    pub c_line: String,
}

/// A release's details. Each value is valid, and none is needed before the submit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    pub title: String,
    pub title_version: Option<String>,
    /// The artist's choice. `None` derives the kind from the tracks.
    pub kind: Option<ReleaseKind>,
    pub genre: Option<String>,
    pub language: Option<String>,
    /// A calendar date without a time zone.
    pub release_date: Option<Date>,
    pub label: Option<String>,
    pub gtin: Option<Gtin>,
    pub p_line: Option<String>,
    pub c_line: Option<String>,
}

/// Parses a date between 1900 and 2100, as date fields send it: `2026-03-01`.
pub fn parse_date(text: &str) -> Result<Date, String> {
    Date::parse(text, format_description!("[year]-[month]-[day]"))
        .ok()
        .filter(|date| (1900..=2100).contains(&date.year()))
        .ok_or_else(|| "Enter a date between 1900 and 2100, like 2026-03-01.".into())
}

/// Formats a date as date fields need it: `2026-03-01`.
pub fn date_field(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// Parses a choice from a list. A value that is `stored` already stays valid after it has left the list, until somebody
/// chooses another one.
fn choice(text: &str, stored: Option<&str>, is_listed: bool, otherwise: &str) -> Result<Option<String>, String> {
    optional(text, |text| {
        let is_known = is_listed || stored == Some(text);
        is_known.then(|| text.to_owned()).ok_or_else(|| otherwise.to_owned())
    })
}

impl RawDetails {
    pub fn parse(&self) -> Result<Details, Problem> {
        self.parse_over(&Details::default())
    }

    /// Parses the form for a release that has the details `stored`. A stored genre or language that has left our list
    /// stays valid, so that the other fields can still be saved.
    pub fn parse_over(&self, stored: &Details) -> Result<Details, Problem> {
        let (genre, language) = (self.genre.trim(), self.language.trim());
        let mut errors = FieldErrors::default();
        let details = Details {
            title: errors.take("title", parse_line(&self.title, TITLE_MAX_CHARS)),
            title_version: errors.take("title_version", optional_line(&self.title_version, TITLE_MAX_CHARS)),
            kind: errors.take("kind", optional(&self.kind, str::parse)),
            genre: errors.take(
                "genre",
                choice(genre, stored.genre.as_deref(), is_genre(genre), "Choose a genre from the list."),
            ),
            language: errors.take(
                "language",
                choice(
                    language,
                    stored.language.as_deref(),
                    language_name(language).is_some(),
                    "Choose a language from the list.",
                ),
            ),
            release_date: errors.take("release_date", optional(&self.release_date, parse_date)),
            label: errors.take("label", optional_line(&self.label, LINE_MAX_CHARS)),
            gtin: errors.take("gtin", optional(&self.gtin, Gtin::parse)),
            p_line: errors.take("p_line", optional_line(&self.p_line, LINE_MAX_CHARS)),
            c_line: errors.take("c_line", optional_line(&self.c_line, LINE_MAX_CHARS)),
        };
        errors.finish(details)
    }
}

impl From<&Details> for RawDetails {
    fn from(details: &Details) -> Self {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Self {
            title: details.title.clone(),
            title_version: text(&details.title_version),
            kind: details.kind.map(|kind| kind.label().to_owned()).unwrap_or_default(),
            genre: text(&details.genre),
            language: text(&details.language),
            release_date: details.release_date.map(date_field).unwrap_or_default(),
            label: text(&details.label),
            gtin: details.gtin.as_ref().map(|gtin| gtin.to_string()).unwrap_or_default(),
            p_line: text(&details.p_line),
            c_line: text(&details.c_line),
        }
    }
}

/// Hints about what stores will refuse in a title. Source: Apple Music Style Guide (titles).
pub fn title_hints(title: &str) -> Vec<&'static str> {
    let mut hints = Vec::new();
    let letters = title.chars().filter(|c| c.is_alphabetic()).count();
    if letters > 3 && !title.chars().any(char::is_lowercase) && title.chars().any(char::is_uppercase) {
        hints.push("All capitals: stores want “Title Case”.");
    }
    let lower = title.to_lowercase();
    if lower.contains("explicit") {
        hints.push("“Explicit” does not belong in a title: mark the track explicit instead.");
    }
    if !are_guests_well_written(title) {
        hints.push("Name guests once, as “(feat. Name)”.");
    }
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric() && c != '.').collect();
    let volume_words = ["vol", "volume", "vols", "vols."];
    if words.iter().any(|word| volume_words.contains(word)) {
        hints.push("Write volumes as “Vol. 1”.");
    }
    hints
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn details_survive_the_form() {
        let raw = RawDetails {
            title: " Night  Bus ".into(),
            kind: "EP".into(),
            genre: "Jazz".into(),
            language: "zxx".into(),
            release_date: "2026-03-01".into(),
            gtin: "0 36000-29145 2".into(),
            ..Default::default()
        };
        let details = raw.parse().unwrap();
        assert_eq!(details.title, "Night Bus");
        assert_eq!(RawDetails::from(&details).parse().unwrap(), details);
        assert_eq!(RawDetails::from(&details).release_date, "2026-03-01");
    }

    #[test]
    fn wrong_details_are_named_by_field() {
        let raw = RawDetails {
            genre: "Polka?".into(),
            release_date: "2026-02-30".into(),
            gtin: "1".into(),
            ..Default::default()
        };
        let Err(Problem::Invalid(errors)) = raw.parse() else { panic!("accepted") };
        assert_eq!(errors.0.keys().collect::<Vec<_>>(), ["genre", "gtin", "release_date"]);
    }

    #[test]
    fn a_choice_that_has_left_the_list_stays_until_another_is_made() {
        let stored = Details { language: Some("tlh".into()), genre: Some("Polka".into()), ..Details::default() };
        let raw = RawDetails { title: "Night Bus".into(), ..RawDetails::from(&stored) };
        let Err(Problem::Invalid(errors)) = raw.parse() else { panic!("accepted") };
        assert_eq!(errors.0.keys().collect::<Vec<_>>(), ["genre", "language"]);
        assert_eq!(raw.parse_over(&stored).unwrap(), Details { title: "Night Bus".into(), ..stored.clone() });
        // A choice that has left the list can't be made anew.
        let other = RawDetails { language: "sjn".into(), ..raw };
        assert_eq!(other.parse_over(&stored).unwrap_err().status(), 400);
    }

    #[test]
    fn titles_are_checked_by_the_style_guide() {
        assert!(title_hints("Night Bus (feat. Ana Lima)").is_empty());
        assert_eq!(title_hints("NIGHT BUS").len(), 1);
        assert_eq!(title_hints("Night Bus ft. Ana (Explicit)").len(), 2);
        assert_eq!(title_hints("Hits Volume 2").len(), 1);
        assert!(title_hints("Hits Vol. 2").is_empty());
        assert!(title_hints("夜行バス").is_empty());
        for title in
            ["Night Bus (feat. Ana) ft. Bo", "Night Bus (Feat. Ana)", "Night Bus feat Ana", "Night Bus (feat.Ana)"]
        {
            assert_eq!(title_hints(title), ["Name guests once, as “(feat. Name)”."], "{title}");
        }
    }

    #[test]
    fn fields_that_nobody_sees_anything_in_are_empty() {
        for blank in ["\u{3164}", "\u{2800} \u{200B}", "\u{200F}\u{61C}", "\u{E0041}\u{FE0F}"] {
            let raw = RawDetails {
                title: blank.into(),
                title_version: blank.into(),
                kind: blank.into(),
                genre: blank.into(),
                language: blank.into(),
                release_date: blank.into(),
                label: blank.into(),
                gtin: blank.into(),
                p_line: blank.into(),
                c_line: blank.into(),
            };
            assert_eq!(raw.parse().unwrap(), Details::default(), "{}", blank.escape_unicode());
        }
    }

    proptest! {
        #[test]
        fn no_form_panics(text in "\\PC{0,300}") {
            let raw = RawDetails {
                title: text.clone(), title_version: text.clone(), kind: text.clone(), genre: text.clone(), language: text.clone(),
                release_date: text.clone(), label: text.clone(), gtin: text.clone(), p_line: text.clone(), c_line: text.clone(),
            };
            let _ = raw.parse();
            let _ = title_hints(&text);
        }
    }
}
