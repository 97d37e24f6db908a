//! The status of a release, its transitions, and its audit trail.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::domain::files::FileState;

/// The status of a release. Only [`advance`] and the guarded transitions in the backend change it.
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

    /// The status in URLs.
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

    /// The status as people read it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Draft => "Draft",
            Self::Processing => "Examining",
            Self::PendingReview => "Waiting for review",
            Self::Published => "Published",
            Self::Rejected => "Rejected",
        }
    }

    /// Whether details, tracks and files may change. They may change only in a draft, so that what was reviewed is what
    /// is published.
    pub fn is_editable(self) -> bool {
        self == Self::Draft
    }

    pub fn can_withdraw(self) -> bool {
        matches!(self, Self::Processing | Self::PendingReview)
    }

    /// Tells an artist why they can't change the release, or that they can.
    pub fn why_not_editable(self) -> &'static str {
        match self {
            Self::Draft => "This release can be changed.",
            Self::Processing | Self::PendingReview => "This release is submitted. Withdraw it to change something.",
            Self::Published => "This release is published and cannot be changed any more.",
            Self::Rejected => "This release was rejected. Choose “Revise” to change it.",
        }
    }
}

/// A kind of event in a release's audit trail, which the timeline shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(sqlx::Type),
    sqlx(type_name = "release_event_kind", rename_all = "SCREAMING_SNAKE_CASE")
)]
pub enum ReleaseEventKind {
    Created,
    Submitted,
    /// All files are stored and examined, and the review may begin.
    Examined,
    /// A file couldn't be stored or examined. The release is a draft again.
    FileFailed,
    Withdrawn,
    Approved,
    Rejected,
    Revised,
    /// An admin discarded a failed file.
    FileDiscarded,
    /// An admin retried a failed file.
    FileRetried,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseEvent {
    pub kind: ReleaseEventKind,
    /// The name of the user who caused the event. `None` if the system did.
    pub actor: Option<String>,
    /// The reason of a rejection or a failure.
    pub note: Option<String>,
    pub at: OffsetDateTime,
}

/// Decides whether the files of a release change its status. This is the only rule that changes a status without a
/// request from a user. Every transaction that changes a release or its files applies it, under the release's row lock.
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
