//! Releases in lists: summaries, counts, filters and sorting.

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};

use super::{ReleaseStatus, display_title};
use crate::domain::{
    ids::{ObjectId, ReleaseId, UserId},
    page::{Count, PageStart},
};

/// A release as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseSummary {
    pub id: ReleaseId,
    pub title: String,
    pub title_version: Option<String>,
    pub status: ReleaseStatus,
    pub artist_id: UserId,
    pub artist_name: String,
    /// The cover's object. `None` until its thumbnails are made.
    pub cover: Option<ObjectId>,
    pub track_count: i64,
    pub release_date: Option<Date>,
    pub updated_at: OffsetDateTime,
    pub submitted_at: Option<OffsetDateTime>,
    /// Whether the artist has to do something: a file failed, or the release was rejected.
    pub needs_attention: bool,
}

impl ReleaseSummary {
    pub fn display_title(&self) -> String {
        display_title(&self.title, self.title_version.as_deref())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseCounts {
    pub draft: Count,
    pub processing: Count,
    pub pending_review: Count,
    pub published: Count,
    pub rejected: Count,
}

impl ReleaseCounts {
    pub fn of(&self, status: ReleaseStatus) -> Count {
        match status {
            ReleaseStatus::Draft => self.draft,
            ReleaseStatus::Processing => self.processing,
            ReleaseStatus::PendingReview => self.pending_review,
            ReleaseStatus::Published => self.published,
            ReleaseStatus::Rejected => self.rejected,
        }
    }

    pub fn all(&self) -> Count {
        ReleaseStatus::ALL.into_iter().map(|status| self.of(status)).sum()
    }

    pub fn set(&mut self, status: ReleaseStatus, count: Count) {
        match status {
            ReleaseStatus::Draft => self.draft = count,
            ReleaseStatus::Processing => self.processing = count,
            ReleaseStatus::PendingReview => self.pending_review = count,
            ReleaseStatus::Published => self.published = count,
            ReleaseStatus::Rejected => self.rejected = count,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReleaseSort {
    #[default]
    Changed,
    Title,
    ReleaseDate,
}

impl ReleaseSort {
    pub const ALL: [Self; 3] = [Self::Changed, Self::Title, Self::ReleaseDate];

    pub fn slug(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Title => "title",
            Self::ReleaseDate => "date",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Changed => "Last change",
            Self::Title => "Title",
            Self::ReleaseDate => "Release date",
        }
    }

    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.slug() == slug)
    }
}

/// Selects the releases of a list. Any URL makes a filter: parameters that can't be parsed are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReleaseFilter {
    pub search: String,
    pub status: Option<ReleaseStatus>,
    pub artist: Option<UserId>,
    pub sort: ReleaseSort,
    pub start: PageStart,
}
