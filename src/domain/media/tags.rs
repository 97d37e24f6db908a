//! Tags: the title, artist, numbers and codes in a file.

use serde::{Deserialize, Serialize};

use crate::domain::{
    guests::{guests_beside, names_guests},
    text::{TITLE_MAX_CHARS, is_unseen},
};

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

/// Extracts the guests from an artist tag: "Bo Sun" from "Ana Lima feat. Bo Sun", if `artist_name` is "Ana Lima".
fn guests_of(artist: &str, artist_name: &str) -> Option<String> {
    let compared = |name: &str| {
        let seen: String = name.chars().filter(|c| c.is_whitespace() || !is_unseen(*c)).collect();
        seen.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
    };
    let artist_name = compared(artist_name);
    guests_beside(artist, |own| compared(own) == artist_name)
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
        for artist in [
            "Ana Lima feat. Bo Sun",
            "ana lima ft Bo Sun",
            "Ana  Lima (feat. Bo Sun)",
            "Ana Lima [Featuring Bo Sun]",
            "Ana Lima（ft.Bo Sun）",
            "\u{2068}Ana\u{200E} Lima\u{2069} feat. Bo Sun",
            "ANA LIMA, Ft. Bo Sun",
        ] {
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
            "Ana Lima (feat. Bo Sun) & Cy",
        ] {
            assert_eq!(title("Night Bus", artist), "Night Bus", "{artist}");
        }
        assert_eq!(title("Night Bus", "Ana Lima feat. Bo ft. Cy"), "Night Bus (feat. Bo & Cy)");
        for own in [
            "Night Bus (feat. Bo Sun)",
            "Night Bus ft. Bo",
            "Night Bus (feat.Bo Sun)",
            "Night Bus（ｆｅａｔ． Bo）",
            "Night Bus [FEATURING Bo]",
            "1999 ft. Bo",
        ] {
            assert_eq!(title(own, "Ana Lima feat. Bo Sun"), own);
        }
        let long = "x".repeat(TITLE_MAX_CHARS);
        assert_eq!(title(&long, "Ana Lima feat. Bo Sun"), long);
        assert_eq!(title("6 Ft. Under", "Ana Lima feat. Bo Sun"), "6 Ft. Under (feat. Bo Sun)");
        for artist in ["Little Feat", "Maroon 5", "Blink 182"] {
            let tags =
                Tags { title: Some("Night Bus".into()), artist: Some(format!("{artist} ft. Bo")), ..Tags::default() };
            assert_eq!(tags.title_beside(artist).as_deref(), Some("Night Bus (feat. Bo)"), "{artist}");
        }
        assert_eq!(Tags { artist: Some("Ana Lima feat. Bo".into()), ..Tags::default() }.title_beside("Ana Lima"), None);
    }
}
