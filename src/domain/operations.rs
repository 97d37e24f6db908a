//! The figures of the operations page: buckets of time, and what they hold.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    health::Health,
    ids::SpoolId,
    integrity::IntegrityStatus,
    queue_page::{JobCounts, ReleaseRef},
};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// What is counted or measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(sqlx::Type),
    sqlx(type_name = "operation_metric", rename_all = "SCREAMING_SNAKE_CASE")
)]
pub enum Metric {
    /// Uploads that were stored, and their bytes.
    UploadsStored,
    /// Uploads whose file is no cover and no track.
    UploadsRefused,
    /// Uploads that could not be stored, or whose bytes a disk lost.
    UploadsFailed,
    /// Jobs that could begin and wait.
    JobsDue,
    /// The duration of calls to the storage.
    StorageSeconds,
    /// The duration of a query that does nothing.
    DatabaseSeconds,
    MemoryBytes,
    /// Free bytes of the disk under the spool.
    SpoolFreeBytes,
    /// Free bytes of the disk under local storage.
    StorageFreeBytes,
}

impl Metric {
    pub const ALL: [Self; 9] = [
        Self::UploadsStored,
        Self::UploadsRefused,
        Self::UploadsFailed,
        Self::JobsDue,
        Self::StorageSeconds,
        Self::DatabaseSeconds,
        Self::MemoryBytes,
        Self::SpoolFreeBytes,
        Self::StorageFreeBytes,
    ];
}

/// The width of a bucket. Buckets begin at whole minutes, hours and days of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(type_name = "bucket_width", rename_all = "UPPERCASE"))]
pub enum BucketWidth {
    Minute,
    Hour,
    Day,
}

impl BucketWidth {
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    pub fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 60 * 60,
            Self::Day => DAY_SECONDS,
        }
    }

    /// How long a bucket is kept after it began.
    pub fn retention(self) -> Duration {
        let days = match self {
            Self::Minute => 2,
            Self::Hour => 5 * 7,
            Self::Day => 2 * 365,
        };
        Duration::from_secs(days * DAY_SECONDS.unsigned_abs())
    }

    /// The begin of the bucket that holds `at`.
    pub fn begin(self, at: OffsetDateTime) -> OffsetDateTime {
        let begin = at.unix_timestamp().div_euclid(self.seconds()) * self.seconds();
        // Only the first moments of all have no begin.
        OffsetDateTime::from_unix_timestamp(begin).unwrap_or(at)
    }
}

/// The time that the charts show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationsRange {
    #[default]
    Hour,
    Day,
    Week,
    Quarter,
}

impl OperationsRange {
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Quarter];

    /// The range in addresses.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Quarter => "quarter",
        }
    }

    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|range| range.slug() == slug)
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Hour => "Hour",
            Self::Day => "Day",
            Self::Week => "Week",
            Self::Quarter => "90 days",
        }
    }

    pub fn width(self) -> BucketWidth {
        match self {
            Self::Hour => BucketWidth::Minute,
            Self::Day => BucketWidth::Hour,
            Self::Week | Self::Quarter => BucketWidth::Day,
        }
    }

    /// The number of buckets, the present one included.
    pub fn buckets(self) -> usize {
        match self {
            Self::Hour => 60,
            Self::Day => 24,
            Self::Week => 7,
            Self::Quarter => 90,
        }
    }

    /// The begin of the bucket at `index`, seen at `now`. The present bucket is the last.
    pub fn bucket_begin(self, index: usize, now: OffsetDateTime) -> OffsetDateTime {
        let later = i64::try_from(self.buckets() - 1).unwrap_or(0) - i64::try_from(index).unwrap_or(0);
        self.width().begin(now) - time::Duration::seconds(later * self.width().seconds())
    }

    /// The index of the bucket that begins at `begins_at`, seen at `now`. `None` if it is not shown.
    pub fn bucket_index(self, begins_at: OffsetDateTime, now: OffsetDateTime) -> Option<usize> {
        let since = (begins_at - self.bucket_begin(0, now)).whole_seconds();
        let index = usize::try_from(since.div_euclid(self.width().seconds())).ok()?;
        (index < self.buckets()).then_some(index)
    }
}

/// A sum of measurements or events.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub count: i64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
}

impl Figure {
    pub fn of(value: f64) -> Self {
        Self { count: 1, sum: value, min: value, max: value }
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "an approximate figure is good enough for a chart")]
    pub fn mean(self) -> f64 {
        self.sum / self.count.max(1) as f64
    }
}

/// What became of uploads in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadTotals {
    pub stored: i64,
    pub stored_bytes: i64,
    pub refused: i64,
    pub failed: i64,
}

impl UploadTotals {
    /// The share of stored uploads in 0..=1. A refused file is not counted: the fault is in the file. `None` if no upload
    /// ended.
    #[expect(clippy::cast_precision_loss, reason = "a rate has no more digits than it shows")]
    pub fn success_rate(self) -> Option<f64> {
        let ended = self.stored + self.failed;
        (ended > 0).then(|| self.stored as f64 / ended as f64)
    }
}

/// The figures of one metric. There is one entry for each bucket of the range, the oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub metric: Metric,
    pub figures: Vec<Option<Figure>>,
}

/// The circuit breaker of a process opened or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitChange {
    pub spool: SpoolId,
    pub at: OffsetDateTime,
    pub is_open: bool,
}

/// The latest figures of a process that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessFigures {
    pub spool: SpoolId,
    pub memory_bytes: Option<i64>,
    pub spool_free_bytes: Option<i64>,
    /// `None` unless the storage is a folder.
    pub storage_free_bytes: Option<i64>,
    pub is_circuit_open: bool,
}

/// The latest backup that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastBackup {
    pub ended_at: OffsetDateTime,
    /// Bytes of all that the backup names.
    pub bytes: i64,
    /// The number of files that the backup lacks.
    pub missing: i32,
}

/// All that the operations page shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationsOverview {
    pub health: Health,
    pub now: OffsetDateTime,
    pub last_hour: UploadTotals,
    pub last_day: UploadTotals,
    pub last_week: UploadTotals,
    pub range: OperationsRange,
    pub series: Vec<Series>,
    pub jobs: Vec<JobCounts>,
    pub oldest_due_seconds: Option<i64>,
    /// Files whose newer examination differs and that no admin has dismissed. At most 1001 are counted.
    pub changed_files: i64,
    /// The latest changes of the circuit breakers, the latest first.
    pub circuit_changes: Vec<CircuitChange>,
    pub processes: Vec<ProcessFigures>,
    pub integrity_is_on: bool,
    pub integrity: IntegrityStatus,
    /// The releases of damaged objects, by the objects' keys.
    pub damaged_releases: Vec<(String, ReleaseRef)>,
    pub backup: Option<LastBackup>,
}

impl OperationsOverview {
    /// The figures of a metric, one for each bucket of the range.
    pub fn figures(&self, metric: Metric) -> Vec<Option<Figure>> {
        let series = self.series.iter().find(|series| series.metric == metric);
        series.map_or_else(|| vec![None; self.range.buckets()], |series| series.figures.clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn buckets_begin_at_whole_minutes_hours_and_days() {
        let at = datetime!(2026-03-10 14:05:59.9 UTC);
        assert_eq!(BucketWidth::Minute.begin(at), datetime!(2026-03-10 14:05 UTC));
        assert_eq!(BucketWidth::Hour.begin(at), datetime!(2026-03-10 14:00 UTC));
        assert_eq!(BucketWidth::Day.begin(at), datetime!(2026-03-10 00:00 UTC));
        assert_eq!(BucketWidth::Day.begin(datetime!(2026-03-10 01:00 +2)), datetime!(2026-03-09 00:00 UTC));
    }

    #[test]
    fn the_success_rate_leaves_refused_files_out() {
        let totals = UploadTotals { stored: 3, stored_bytes: 0, refused: 7, failed: 1 };
        assert_eq!(totals.success_rate(), Some(0.75));
        assert_eq!(UploadTotals { stored: 0, failed: 0, ..totals }.success_rate(), None);
    }

    proptest! {
        #[test]
        fn every_moment_of_a_range_is_in_the_bucket_of_its_begin(
            now in 0_i64..4_000_000_000, back in 0_i64..100 * DAY_SECONDS, range in 0..OperationsRange::ALL.len()
        ) {
            let (now, range) = (OffsetDateTime::from_unix_timestamp(now).unwrap(), OperationsRange::ALL[range]);
            let at = now - time::Duration::seconds(back);
            let begin = range.width().begin(at);
            prop_assert!(begin <= at && (at - begin).whole_seconds() < range.width().seconds());
            prop_assert_eq!(range.width().begin(begin), begin);
            match range.bucket_index(begin, now) {
                Some(index) => prop_assert_eq!(range.bucket_begin(index, now), begin),
                None => prop_assert!(begin < range.bucket_begin(0, now)),
            }
        }

        #[test]
        fn figures_add_up_in_any_order(values in prop::collection::vec(0_i32..1000, 1..20)) {
            let figures = values.iter().map(|value| Figure::of(f64::from(*value)));
            let (forwards, backwards) = (figures.clone().reduce(Figure::and), figures.rev().reduce(Figure::and));
            prop_assert_eq!(forwards, backwards);
            let sum = forwards.unwrap();
            prop_assert_eq!(sum.count, i64::try_from(values.len()).unwrap());
            prop_assert!(sum.min <= sum.mean() && sum.mean() <= sum.max);
        }
    }
}
