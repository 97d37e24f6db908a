//! Tags: the title, artist, numbers and codes in a file.

#[cfg(test)]
mod tests;

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
