//! Tags: the title, artist, numbers and codes in a file.

use serde::{Deserialize, Serialize};

use crate::domain::text::TITLE_MAX_CHARS;

/// The tags of a file. They fill in forms, and nothing else relies on them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tags {
    pub title: Option<String>,
    pub artist: Option<String>,
    pub album: Option<String>,
    /// Twelve characters in newer uploads. Older uploads have it as written in the file, so parse it before use.
    pub isrc: Option<String>,
    pub disc_number: Option<i32>,
    pub track_number: Option<i32>,
}

impl Tags {
    /// The track's title on a release of `artist_name`. If the artist tag names guests beside that name and the title
    /// names none, they are appended, as in "(feat. Bo Sun)": a release has no field for guests (Apple Music Style
    /// Guide 2.13). Without a title tag there is none.
    pub fn title_beside(&self, artist_name: &str) -> Option<String> {
        let title = self.title.clone()?;
        let guests = self.artist.as_deref().and_then(|artist| guests_of(artist, artist_name));
        let with_guests = guests.filter(|_| !names_guests(&title)).map(|guests| format!("{title} (feat. {guests})"));
        Some(with_guests.filter(|title| title.chars().count() <= TITLE_MAX_CHARS).unwrap_or(title))
    }
}

/// How people write "featuring".
const FEATURING: [&str; 5] = ["feat", "feat.", "ft", "ft.", "featuring"];

fn is_featuring(word: &str) -> bool {
    FEATURING.iter().any(|known| known.eq_ignore_ascii_case(word.trim_start_matches(['(', '['])))
}

fn names_guests(title: &str) -> bool {
    title.split_whitespace().any(is_featuring)
}

/// Extracts the guests from an artist tag: "Bo Sun" from "Ana Lima feat. Bo Sun", if `artist_name` is "Ana Lima".
fn guests_of(artist: &str, artist_name: &str) -> Option<String> {
    let words: Vec<&str> = artist.split_whitespace().collect();
    let at = words.iter().position(|word| is_featuring(word))?;
    let guests = words[at + 1..].join(" ");
    let guests = if words[at].starts_with(['(', '[']) { guests.trim_end_matches([')', ']']) } else { &guests };
    let is_own = words[..at].join(" ").to_lowercase() == artist_name.to_lowercase();
    (is_own && !guests.is_empty()).then(|| guests.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_in_the_tag_of_the_artist_come_into_the_title() {
        let title = |title: &str, artist: &str| {
            let tags = Tags { title: Some(title.into()), artist: Some(artist.into()), ..Tags::default() };
            tags.title_beside("Ana Lima").expect("there is a title")
        };
        for artist in
            ["Ana Lima feat. Bo Sun", "ana lima ft Bo Sun", "Ana  Lima (feat. Bo Sun)", "Ana Lima [Featuring Bo Sun]"]
        {
            assert_eq!(title("Night Bus", artist), "Night Bus (feat. Bo Sun)", "{artist}");
        }
        for artist in [
            "Ana Lima",
            "Bo Sun",
            "Bo Sun feat. Ana Lima",
            "Ana Lima feat.",
            "feat. Bo Sun",
            "Defeat",
            "Ana Lima & Bo Sun",
        ] {
            assert_eq!(title("Night Bus", artist), "Night Bus", "{artist}");
        }
        for own in ["Night Bus (feat. Bo Sun)", "Night Bus ft. Bo"] {
            assert_eq!(title(own, "Ana Lima feat. Bo Sun"), own);
        }
        let long = "x".repeat(TITLE_MAX_CHARS);
        assert_eq!(title(&long, "Ana Lima feat. Bo Sun"), long);
        assert_eq!(Tags { artist: Some("Ana Lima feat. Bo".into()), ..Tags::default() }.title_beside("Ana Lima"), None);
    }
}
