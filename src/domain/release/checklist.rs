//! The checklist before a submit: what still keeps a release from being submitted, and the wizard's step on which the
//! artist fixes it.

use serde::{Deserialize, Serialize};

use super::{ReleaseView, is_genre, language_name};
use crate::domain::{files::FileState, ids::TrackId, track::TrackView};

/// A step of the wizard, in order. Each has its own URL.
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

/// One item of the checklist: something that keeps a release from being submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub step: Step,
    /// The id of the element on that step's page.
    pub field: String,
    /// The item in a few words.
    pub message: String,
    /// Whether a file failed, which the artist doesn't expect.
    pub is_failure: bool,
    /// A sentence about the failure, if there is one.
    pub why: Option<String>,
    /// The track, if it has no file yet. The artist may remove it instead of uploading one.
    pub track: Option<TrackId>,
}

impl Missing {
    /// The message, with the reason of a failure.
    pub fn sentence(&self) -> String {
        match &self.why {
            Some(why) => format!("{}: {why}", self.message),
            None => self.message.clone(),
        }
    }
}

impl ReleaseView {
    /// Whether a file of the release failed.
    pub fn needs_attention(&self) -> bool {
        self.tracks.iter().map(TrackView::state).chain([self.cover.state()]).any(|state| state == FileState::Failed)
    }

    /// The checklist in the wizard's order: everything that keeps the release from being submitted. The server decides
    /// by this list too.
    pub fn missing(&self) -> Vec<Missing> {
        let mut missing = Vec::new();
        let details = &self.details;
        for (absent, field, message) in [
            (details.title.is_empty(), "title", "Add a title"),
            (!details.genre.as_deref().is_some_and(is_genre), "genre", "Choose a genre"),
            (details.language.as_deref().and_then(language_name).is_none(), "language", "Choose a language"),
            (details.release_date.is_none(), "release_date", "Set a release date"),
            (details.p_line.is_none(), "p_line", "Add the ℗ line"),
            (details.c_line.is_none(), "c_line", "Add the © line"),
        ] {
            if absent {
                add(&mut missing, Step::Details, field.into(), message.into());
            }
        }
        match self.cover.state() {
            FileState::Missing | FileState::Refused => {
                add(&mut missing, Step::Cover, "cover".into(), "Add a cover".into())
            }
            FileState::Receiving => {
                add(&mut missing, Step::Cover, "cover".into(), "The cover has not finished uploading".into())
            }
            FileState::Failed => {
                missing.push(failure(Step::Cover, "cover".into(), "the cover", self.cover.why_failed()));
            }
            FileState::Storing | FileState::Examining | FileState::Ready => {}
        }
        if self.tracks.is_empty() {
            add(&mut missing, Step::Tracks, "tracks".into(), "Add at least one track".into());
        }
        for track in &self.tracks {
            let name = track.display_title();
            let anchor = format!("track-{}", track.id);
            if track.title.is_empty() {
                add(
                    &mut missing,
                    Step::Tracks,
                    format!("{anchor}-title"),
                    format!("Track {} needs a title", track.number),
                );
            }
            match track.state() {
                FileState::Missing | FileState::Refused => {
                    missing.push(no_file(track, anchor, format!("“{name}” has no audio")));
                }
                FileState::Receiving => {
                    missing.push(no_file(track, anchor, format!("“{name}” has not finished uploading")));
                }
                FileState::Failed => {
                    missing.push(failure(Step::Tracks, anchor, &format!("“{name}”"), track.why_failed()));
                }
                FileState::Storing | FileState::Examining | FileState::Ready => {}
            }
        }
        missing
    }

    /// The item to fix first: a failure, or else the first in the wizard's order.
    pub fn first_missing(&self) -> Option<Missing> {
        let mut missing = self.missing();
        missing.sort_by_key(|item| !item.is_failure);
        missing.into_iter().next()
    }
}

fn add(missing: &mut Vec<Missing>, step: Step, field: String, message: String) {
    missing.push(Missing { step, field, message, is_failure: false, why: None, track: None });
}

fn no_file(track: &TrackView, field: String, message: String) -> Missing {
    // If the track has a file, only its replacement is missing, so the track must not be removed.
    let removable = track.audio.is_none().then_some(track.id);
    Missing { step: Step::Tracks, field, message, is_failure: false, why: None, track: removable }
}

fn failure(step: Step, field: String, what: &str, why: Option<&str>) -> Missing {
    let message = format!("Replace {what}");
    Missing { step, field, message, is_failure: true, why: why.map(str::to_owned), track: None }
}
