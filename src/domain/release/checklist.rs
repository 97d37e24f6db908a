//! What still keeps a release from being submitted, and the wizard's step on which each thing is mended.

use serde::{Deserialize, Serialize};

use super::ReleaseView;
use crate::domain::{files::FileState, track::TrackView};

/// A step of the wizard, in order; each has an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Details,
    Cover,
    Tracks,
    Submit,
}

impl Step {
    pub const ALL: [Self; 4] = [Self::Details, Self::Cover, Self::Tracks, Self::Submit];

    pub fn slug(self) -> &'static str {
        match self {
            Self::Details => "details",
            Self::Cover => "cover",
            Self::Tracks => "tracks",
            Self::Submit => "submit",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Details => "Details",
            Self::Cover => "Cover",
            Self::Tracks => "Tracks",
            Self::Submit => "Review and submit",
        }
    }
}

/// One thing that keeps a release from being submitted, and where it is mended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub step: Step,
    /// The id of the element on that step's page.
    pub field: String,
    pub message: String,
}

impl ReleaseView {
    /// One of its files failed.
    pub fn needs_attention(&self) -> bool {
        self.tracks.iter().map(TrackView::state).chain([self.cover.state()]).any(|state| state == FileState::Failed)
    }

    /// All that keeps it from being submitted, in the wizard's order; the server decides by the same list.
    pub fn missing(&self) -> Vec<Missing> {
        let mut missing = Vec::new();
        let mut add = |step, field: String, message: String| missing.push(Missing { step, field, message });
        let details = &self.details;
        for (absent, field, message) in [
            (details.title.is_empty(), "title", "Add a title"),
            (details.genre.is_none(), "genre", "Choose a genre"),
            (details.language.is_none(), "language", "Choose a language"),
            (details.release_date.is_none(), "release_date", "Set a release date"),
            (details.p_line.is_none(), "p_line", "Add the ℗ line"),
            (details.c_line.is_none(), "c_line", "Add the © line"),
        ] {
            if absent {
                add(Step::Details, field.into(), message.into());
            }
        }
        match self.cover.state() {
            FileState::Missing | FileState::Refused => add(Step::Cover, "cover".into(), "Add a cover".into()),
            FileState::Receiving => add(Step::Cover, "cover".into(), "The cover is still uploading".into()),
            FileState::Failed => add(Step::Cover, "cover".into(), "The cover needs your attention".into()),
            FileState::Storing | FileState::Examining | FileState::Ready => {}
        }
        if self.tracks.is_empty() {
            add(Step::Tracks, "tracks".into(), "Add at least one track".into());
        }
        for track in &self.tracks {
            let name = track.display_title();
            let anchor = format!("track-{}", track.id);
            if track.title.is_empty() {
                add(Step::Tracks, format!("{anchor}-title"), format!("Track {} needs a title", track.number));
            }
            match track.state() {
                FileState::Missing | FileState::Refused => add(Step::Tracks, anchor, format!("“{name}” has no audio")),
                FileState::Receiving => add(Step::Tracks, anchor, format!("“{name}” is still uploading")),
                FileState::Failed => add(Step::Tracks, anchor, format!("“{name}” needs your attention")),
                FileState::Storing | FileState::Examining | FileState::Ready => {}
            }
        }
        missing
    }
}
