//! Releases: their states, details, checklist and lists.

mod checklist;
mod choices;
mod details;
mod kind;
mod list;
mod status;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    files::{CoverView, Examination, PendingUpload},
    ids::{ReleaseId, UserId},
    track::TrackView,
    upload::UploadState,
};

pub use super::text::{TITLE_MAX_CHARS, display_title};
pub use checklist::{Missing, Step};
pub use choices::{GENRES, LANGUAGES, is_genre, language_name};
pub use details::{Details, LINE_MAX_CHARS, RawDetails, date_field, parse_date, title_hints};
pub use kind::ReleaseKind;
pub use list::{ReleaseCounts, ReleaseFilter, ReleaseSort, ReleaseSummary};
pub use status::{ReleaseEvent, ReleaseEventKind, ReleaseStatus, advance};

/// The most tracks of one release: more than any box set that stores accept.
pub const TRACKS_MAX: usize = 200;

/// A whole release, as its owner or an admin sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseView {
    pub id: ReleaseId,
    /// Increases with every edit, attached file and transition. A verdict names the version that its reviewer saw.
    pub version: i64,
    pub status: ReleaseStatus,
    pub artist_id: UserId,
    pub artist_name: String,
    pub details: Details,
    pub cover: CoverView,
    pub tracks: Vec<TrackView>,
    /// The events, newest first.
    pub timeline: Vec<ReleaseEvent>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    pub submitted_at: Option<OffsetDateTime>,
    /// The reason of the latest rejection. `None` after the next submit.
    pub reject_reason: Option<String>,
}

impl ReleaseView {
    /// The artist's choice, or else the kind derived from the tracks.
    pub fn kind(&self) -> ReleaseKind {
        self.details.kind.unwrap_or_else(|| self.derived_kind())
    }

    pub fn derived_kind(&self) -> ReleaseKind {
        ReleaseKind::derive(self.tracks.iter().map(|track| track.duration_ms().unwrap_or(0)))
    }

    /// The title as people see it, never empty: "Untitled" stands in for a missing one.
    pub fn display_title(&self) -> String {
        display_title(&self.details.title, self.details.title_version.as_deref())
    }

    /// Why a file of the release couldn't be stored or examined. `None` if no file failed.
    pub fn failure(&self) -> Option<&str> {
        let cover = failure_of(self.cover.current.as_ref().map(|file| &file.examination), self.cover.pending.as_ref());
        cover.or_else(|| {
            self.tracks.iter().find_map(|track| {
                failure_of(track.audio.as_ref().map(|file| &file.examination), track.pending.as_ref())
            })
        })
    }
}

fn failure_of<'a>(held: Option<&'a Examination>, pending: Option<&'a PendingUpload>) -> Option<&'a str> {
    match (pending, held) {
        (Some(upload), _)
            if matches!(upload.state, UploadState::Failed | UploadState::Refused | UploadState::Discarded) =>
        {
            upload.message.as_deref()
        }
        (_, Some(Examination::Failed(reason))) => Some(reason),
        _ => None,
    }
}
