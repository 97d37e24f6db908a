//! A track: its form and how it is shown.

use serde::{Deserialize, Serialize};

use super::{
    codes::Isrc,
    files::{AudioFile, FileState, PendingUpload, why_failed},
    ids::TrackId,
    problem::{FieldErrors, Problem},
    release::{TITLE_MAX_CHARS, display_title, optional, optional_line},
    text::{is_removed, parse_line},
};

/// A track's form as it comes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawTrack {
    pub title: String,
    pub title_version: String,
    pub isrc: String,
    /// Present (whatever it says) when the box is ticked, as browsers send it.
    pub explicit: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackDetails {
    pub title: String,
    pub title_version: Option<String>,
    pub isrc: Option<Isrc>,
    pub explicit: bool,
}

impl RawTrack {
    pub fn parse(&self) -> Result<TrackDetails, Problem> {
        let mut errors = FieldErrors::default();
        let details = TrackDetails {
            title: errors.take("title", parse_line(&self.title, TITLE_MAX_CHARS)),
            title_version: errors.take("title_version", optional_line(&self.title_version, TITLE_MAX_CHARS)),
            isrc: errors.take("isrc", optional(&self.isrc, Isrc::parse)),
            explicit: self.explicit.is_some(),
        };
        errors.finish(details)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackView {
    pub id: TrackId,
    /// From 1, without gaps.
    pub number: i32,
    pub title: String,
    pub title_version: Option<String>,
    pub isrc: Option<Isrc>,
    pub explicit: bool,
    pub audio: Option<AudioFile>,
    /// The waveform, once examined.
    pub peaks: Option<Vec<u8>>,
    pub pending: Option<PendingUpload>,
}

impl TrackView {
    pub fn why_failed(&self) -> Option<&str> {
        why_failed(self.pending.as_ref(), self.audio.as_ref().map(|file| &file.examination))
    }

    pub fn state(&self) -> FileState {
        FileState::of(
            self.audio.as_ref().map(|file| &file.examination),
            self.pending.as_ref().map(|upload| upload.state),
        )
    }

    pub fn duration_ms(&self) -> Option<i64> {
        Some(self.audio.as_ref()?.facts.as_ref()?.duration_ms)
    }

    /// The title as people see it, never empty.
    pub fn display_title(&self) -> String {
        if self.title.is_empty() {
            format!("Track {}", self.number)
        } else {
            display_title(&self.title, self.title_version.as_deref())
        }
    }
}

/// A title from a file's name, where its tags have none: `03 - night_bus.wav` gives `night bus`.
pub fn title_from_file_name(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let spaced = stem.replace('_', " ");
    let trimmed = spaced.trim();
    let digits = trimmed.chars().take_while(char::is_ascii_digit).count();
    let rest = trimmed[digits..].trim_start_matches([' ', '-', '.', ')']);
    // A name that is a number, or goes on right behind one ("7th", "99Luftballons"), is no track number.
    let numbered = (1..=3).contains(&digits) && !rest.is_empty() && rest.len() < trimmed.len() - digits;
    let title = if numbered { rest } else { trimmed };
    let visible: String = title.chars().filter(|c| !c.is_control() && !is_removed(*c)).take(TITLE_MAX_CHARS).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn titles_are_read_from_file_names() {
        for (name, title) in [
            ("03 - night_bus.wav", "night bus"),
            ("Night Bus.flac", "Night Bus"),
            ("99Luftballons.mp3", "99Luftballons"),
            ("1979.wav", "1979"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Music\\01. Intro.wav", "Intro"),
            ("7.wav", "7"),
        ] {
            assert_eq!(title_from_file_name(name), title, "{name}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_file_is_called_its_title_is_a_valid_one(name in "\\PC{0,300}") {
            prop_assert!(parse_line(&title_from_file_name(&name), TITLE_MAX_CHARS).is_ok());
        }
    }
}
