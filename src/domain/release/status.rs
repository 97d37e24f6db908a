//! Where a release stands, what moves it on, and the record of what happened to it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::domain::files::FileState;

/// Where a release stands. `advance` and the guarded transitions in the backend are the only ways from one to another.
///
/// ```text
/// DRAFT ─submit▶ PROCESSING ─all files stored and examined▶ PENDING_REVIEW ─approve▶ PUBLISHED
///                                                              └─reject▶ REJECTED ─revise▶ DRAFT
/// back to DRAFT: from PROCESSING when a file failed; from PROCESSING or PENDING_REVIEW when withdrawn
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(sqlx::Type),
    sqlx(type_name = "release_status", rename_all = "SCREAMING_SNAKE_CASE")
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReleaseStatus {
    Draft,
    Processing,
    PendingReview,
    Published,
    Rejected,
}

impl ReleaseStatus {
    pub const ALL: [Self; 5] = [Self::Draft, Self::Processing, Self::PendingReview, Self::Published, Self::Rejected];

    /// As it stands in addresses.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Processing => "processing",
            Self::PendingReview => "in-review",
            Self::Published => "published",
            Self::Rejected => "rejected",
        }
    }

    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.slug() == slug)
    }

    /// As people read it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Draft => "Draft",
            Self::Processing => "Processing",
            Self::PendingReview => "In review",
            Self::Published => "Published",
            Self::Rejected => "Rejected",
        }
    }

    /// Details, tracks and files may change only here: what is reviewed must be what is approved.
    pub fn is_editable(self) -> bool {
        self == Self::Draft
    }

    pub fn can_withdraw(self) -> bool {
        matches!(self, Self::Processing | Self::PendingReview)
    }

    /// What to tell an artist who tries to change a release that is not a draft (any more).
    pub fn why_not_editable(self) -> &'static str {
        match self {
            Self::Draft => "This release can be changed.",
            Self::Processing | Self::PendingReview => "This release is submitted. Withdraw it to change something.",
            Self::Published => "This release is published and cannot be changed any more.",
            Self::Rejected => "This release was rejected. Choose “Revise” to change it.",
        }
    }
}

/// What happened to a release: its audit trail, which the timeline shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(sqlx::Type),
    sqlx(type_name = "release_event_kind", rename_all = "SCREAMING_SNAKE_CASE")
)]
pub enum ReleaseEventKind {
    Created,
    Submitted,
    /// All files are stored and examined: the review may begin.
    Examined,
    /// A file could not be stored or examined: back to draft.
    FileFailed,
    Withdrawn,
    Approved,
    Rejected,
    Revised,
    /// An admin gave a file that had failed up for good.
    FileDiscarded,
    /// An admin had a failed file tried again.
    FileRetried,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseEvent {
    pub kind: ReleaseEventKind,
    /// Nobody's name where the system acted by itself.
    pub actor: Option<String>,
    /// The reason of a rejection or a failure.
    pub note: Option<String>,
    pub at: OffsetDateTime,
}

/// What the files of a release make of it. The one rule that moves a release without anybody asking; applied in every
/// transaction that touches a release or its files, under the release's row lock.
pub fn advance(
    status: ReleaseStatus,
    files: impl IntoIterator<Item = FileState>,
) -> Option<(ReleaseStatus, ReleaseEventKind)> {
    if status != ReleaseStatus::Processing {
        return None;
    }
    let mut all_ready = true;
    for file in files {
        match file {
            FileState::Failed | FileState::Missing | FileState::Refused => {
                return Some((ReleaseStatus::Draft, ReleaseEventKind::FileFailed));
            }
            FileState::Receiving | FileState::Storing | FileState::Examining => all_ready = false,
            FileState::Ready => {}
        }
    }
    all_ready.then_some((ReleaseStatus::PendingReview, ReleaseEventKind::Examined))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_state() -> impl Strategy<Value = FileState> {
        prop::sample::select(FileState::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn a_release_moves_on_exactly_when_nothing_is_pending(files in prop::collection::vec(any_state(), 1..8)) {
            let next = advance(ReleaseStatus::Processing, files.iter().copied());
            let failed = files.iter().any(|f| matches!(f, FileState::Failed | FileState::Missing | FileState::Refused));
            let ready = files.iter().all(|f| *f == FileState::Ready);
            prop_assert_eq!(next.map(|(status, _)| status), match (failed, ready) {
                (true, _) => Some(ReleaseStatus::Draft),
                (_, true) => Some(ReleaseStatus::PendingReview),
                _ => None,
            });
        }

        #[test]
        fn only_a_processing_release_moves_by_itself(files in prop::collection::vec(any_state(), 0..8)) {
            for status in ReleaseStatus::ALL.into_iter().filter(|s| *s != ReleaseStatus::Processing) {
                prop_assert_eq!(advance(status, files.iter().copied()), None);
            }
        }
    }
}
