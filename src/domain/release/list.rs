//! Releases in lists: summaries, counts, filters, sorting and pages.

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};

use super::{ReleaseStatus, display_title};
use crate::domain::ids::{ObjectId, ReleaseId, UserId};

/// A release in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseSummary {
    pub id: ReleaseId,
    pub title: String,
    pub title_version: Option<String>,
    pub status: ReleaseStatus,
    pub artist_id: UserId,
    pub artist_name: String,
    /// The cover's object, once its thumbnails are made.
    pub cover: Option<ObjectId>,
    pub track_count: i64,
    pub release_date: Option<Date>,
    pub updated_at: OffsetDateTime,
    pub submitted_at: Option<OffsetDateTime>,
    /// A file failed or the release was rejected: the artist has to do something.
    pub needs_attention: bool,
}

impl ReleaseSummary {
    pub fn display_title(&self) -> String {
        display_title(&self.title, self.title_version.as_deref())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseCounts {
    pub draft: i64,
    pub processing: i64,
    pub pending_review: i64,
    pub published: i64,
    pub rejected: i64,
}

impl ReleaseCounts {
    pub fn of(&self, status: ReleaseStatus) -> i64 {
        match status {
            ReleaseStatus::Draft => self.draft,
            ReleaseStatus::Processing => self.processing,
            ReleaseStatus::PendingReview => self.pending_review,
            ReleaseStatus::Published => self.published,
            ReleaseStatus::Rejected => self.rejected,
        }
    }

    pub fn all(&self) -> i64 {
        ReleaseStatus::ALL.into_iter().map(|status| self.of(status)).sum()
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

/// Which releases a list shows. Whatever stands in an address makes a filter: what is not understood is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReleaseFilter {
    pub search: String,
    pub status: Option<ReleaseStatus>,
    pub artist: Option<UserId>,
    pub sort: ReleaseSort,
    /// From 1.
    pub page: u32,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// From 1.
    pub page: u32,
    pub pages: u32,
    pub total: i64,
}

/// Rows of one page.
pub const PAGE_SIZE: i64 = 24;
/// A later page is not looked up: an offset costs what it skips.
pub const PAGES_MAX: u32 = 10_000;

/// Pages of a list; an empty one has one.
pub fn pages_of(total: i64) -> u32 {
    u32::try_from((total + PAGE_SIZE - 1) / PAGE_SIZE).unwrap_or(PAGES_MAX).clamp(1, PAGES_MAX)
}

impl<T> Page<T> {
    pub fn new(rows: Vec<T>, page: u32, total: i64) -> Self {
        Self { rows, page, pages: pages_of(total), total }
    }
}
