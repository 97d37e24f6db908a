//! Releases in lists: summaries, counts, filters, sorting and pages.

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};

use super::{ReleaseStatus, display_title};
use crate::domain::ids::{ObjectId, ReleaseId, UserId};

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

/// Selects the releases of a list. Any URL makes a filter: parameters that can't be parsed are ignored.
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

/// The number of rows on one page.
pub const PAGE_SIZE: i64 = 24;
/// The last page that is looked up. A database has to skip all rows before an offset, so later pages would be slow.
pub const PAGES_MAX: u32 = 10_000;

/// The number of pages of a list with `total` rows, from 1 to [`PAGES_MAX`]. An empty list has one page.
pub fn pages_of(total: i64) -> u32 {
    u32::try_from((total + PAGE_SIZE - 1) / PAGE_SIZE).unwrap_or(PAGES_MAX).clamp(1, PAGES_MAX)
}

impl<T> Page<T> {
    pub fn new(rows: Vec<T>, page: u32, total: i64) -> Self {
        Self { rows, page, pages: pages_of(total), total }
    }
}
