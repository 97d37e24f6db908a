//! Jobs as admins find and read them: what a search for jobs asks for, and one job with all that happened to it.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    ids::{JobId, SpoolId, UploadId, UserId, WorkerId},
    page::{Page, PageStart},
    queue::{JobKind, JobStatus},
    queue_page::{JOB_KINDS, ReleaseRef},
};

/// The largest number of files whose names a search looks through.
pub const SEARCHED_FILES_MAX: usize = 1000;
/// The largest number of releases, and of artists, whose jobs a search lists.
pub const SEARCHED_RELEASES_MAX: usize = 48;
pub const SEARCHED_ARTISTS_MAX: usize = 24;

/// A job's state, as admins read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// The job could begin now.
    Due,
    /// The job waits for a retry after a failure, or was postponed.
    Later,
    Running,
    Done,
    DeadLetter,
}

impl JobState {
    pub const ALL: [Self; 5] = [Self::Due, Self::Later, Self::Running, Self::Done, Self::DeadLetter];

    pub fn of(status: JobStatus, is_due: bool) -> Self {
        match status {
            JobStatus::Pending if is_due => Self::Due,
            JobStatus::Pending => Self::Later,
            JobStatus::Uploading => Self::Running,
            JobStatus::Completed => Self::Done,
            JobStatus::Failed => Self::DeadLetter,
        }
    }

    pub fn status(self) -> JobStatus {
        match self {
            Self::Due | Self::Later => JobStatus::Pending,
            Self::Running => JobStatus::Uploading,
            Self::Done => JobStatus::Completed,
            Self::DeadLetter => JobStatus::Failed,
        }
    }

    /// The state in addresses.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Later => "later",
            Self::Running => "running",
            Self::Done => "done",
            Self::DeadLetter => "dead-letter",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Due => "Due",
            Self::Later => "Later",
            Self::Running => "Running",
            Self::Done => "Done",
            Self::DeadLetter => "Dead letter",
        }
    }
}

/// What the list of jobs shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFilter {
    /// The beginning of a file's name, words of a release or an artist, or the id of a job, an upload, a release or an
    /// artist.
    #[serde(default)]
    pub search: String,
    #[serde(default)]
    pub kind: Option<JobKind>,
    #[serde(default)]
    pub state: Option<JobState>,
    #[serde(default)]
    pub start: PageStart,
}

impl JobFilter {
    /// The filter that the parameters of an address describe. Values that mean nothing are left out.
    pub fn of_parameters(parameter: impl Fn(&str) -> Option<String>) -> Self {
        let kind = |slug: String| JOB_KINDS.into_iter().find(|kind| kind.as_str() == slug);
        let state = |slug: String| JobState::ALL.into_iter().find(|state| state.slug() == slug);
        Self {
            search: parameter("q").map(|text| text.trim().to_owned()).unwrap_or_default(),
            kind: parameter("kind").and_then(kind),
            state: parameter("state").and_then(state),
            start: PageStart::First,
        }
    }

    /// The parameters of an address, without the start of the page.
    pub fn parameters(&self) -> impl Iterator<Item = (&'static str, String)> {
        let pairs = [
            ("q", Some(self.search.clone()).filter(|search| !search.is_empty())),
            ("kind", self.kind.map(|kind| kind.as_str().to_owned())),
            ("state", self.state.map(|state| state.slug().to_owned())),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// A page of the jobs that a search has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundJobs {
    /// The latest first: jobs that wait, by when they are or were due, and others by their last change.
    pub jobs: Page<FoundJob>,
    /// More files, releases or artists match than the search looks through.
    pub is_cut: bool,
    /// For how many days a job that is done is kept.
    pub kept_days: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundJob {
    pub id: JobId,
    pub kind: JobKind,
    pub state: JobState,
    /// The file's name on the artist's computer; for display only.
    pub file_name: String,
    pub artist_name: String,
    /// `None` once the release is deleted.
    pub release: Option<ReleaseRef>,
    pub attempts: i32,
    /// The time by which the list is sorted.
    pub at: OffsetDateTime,
}

/// One job, with all that is known about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    pub id: JobId,
    pub kind: JobKind,
    pub state: JobState,
    /// How a job that is done ended, if its work was not done: "discarded" or "superseded".
    pub outcome: Option<String>,
    /// The file's name on the artist's computer; for display only.
    pub file_name: String,
    pub upload: Option<UploadId>,
    pub artist: UserId,
    pub artist_name: String,
    /// `None` once the release is deleted.
    pub release: Option<ReleaseRef>,
    /// Attempts since the job was created.
    pub attempts: i32,
    /// Failures since the job was created or last retried by an admin.
    pub failures: i32,
    /// Whether the job runs only when nothing else is due.
    pub is_background: bool,
    /// When the last byte of the file arrived.
    pub received_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    /// The earliest time of the next attempt, if the job waits for one.
    pub run_after: Option<OffsetDateTime>,
    pub lease: Option<JobLease>,
    /// The spool that has the file. Only a process with this spool can do the job.
    pub spool: Option<SpoolId>,
    pub request_id: Option<String>,
    /// The failed attempts, the latest first.
    pub failed_attempts: Vec<FailedAttempt>,
    /// The other jobs of the same upload: a file is stored by one and examined by another.
    pub related: Vec<RelatedJob>,
}

/// The right of a process to work on a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLease {
    pub worker: WorkerId,
    pub expires_at: OffsetDateTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelatedJob {
    pub id: JobId,
    pub kind: JobKind,
    pub state: JobState,
}

/// A line of a job's error log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    pub at: OffsetDateTime,
    pub attempt: i32,
    pub error: String,
}

impl FailedAttempt {
    /// Reads a line such as "2026-03-01T12:00:00Z attempt 1: it panicked". `None` for a line in another form, such as one
    /// whose beginning was cut off.
    fn parse(line: &str) -> Option<Self> {
        let (at, rest) = line.split_once(" attempt ")?;
        let (attempt, error) = rest.split_once(": ")?;
        Some(Self {
            at: OffsetDateTime::parse(at, &Rfc3339).ok()?,
            attempt: attempt.parse().ok()?,
            error: error.to_owned(),
        })
    }

    /// The attempts in an error log, or in the end of one, the latest first.
    pub fn all_of(error_log: &str) -> Vec<Self> {
        error_log.lines().rev().filter_map(Self::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn an_error_log_tells_each_attempt_the_latest_first() {
        let log = "2026-03-01T12:00:00Z attempt 1: it panicked\n2026-03-01T12:00:04Z attempt 12: the storage failed: no: such key\n";
        let latest = FailedAttempt {
            at: datetime!(2026-03-01 12:00:04 UTC),
            attempt: 12,
            error: "the storage failed: no: such key".into(),
        };
        let first = FailedAttempt { at: datetime!(2026-03-01 12:00 UTC), attempt: 1, error: "it panicked".into() };
        assert_eq!(FailedAttempt::all_of(log), [latest.clone(), first]);
        // The end of a log begins within a line.
        for cut in [5, 22, 28, 33] {
            assert_eq!(FailedAttempt::all_of(&log[cut..]), std::slice::from_ref(&latest), "{cut}");
        }
        // An error may look like a line's beginning.
        let quoting = FailedAttempt::all_of("2026-03-01T12:00:00Z attempt 1: at attempt 2: x\n");
        assert_eq!(quoting[0].error, "at attempt 2: x");
        for nonsense in ["", "\n\n", "it failed", "yesterday attempt 1: x", "2026-03-01T12:00:00Z attempt one: x"] {
            assert_eq!(FailedAttempt::all_of(nonsense), [], "{nonsense}");
        }
    }

    #[test]
    fn a_filter_survives_the_way_through_an_address() {
        for state in JobState::ALL {
            let filter = JobFilter {
                search: "Été & more".into(),
                kind: Some(JobKind::Examine),
                state: Some(state),
                start: PageStart::First,
            };
            let parameters: Vec<_> = filter.parameters().collect();
            let of = |name: &str| Some(parameters.iter().find(|(of, _)| *of == name)?.1.clone());
            assert_eq!(JobFilter::of_parameters(of), filter);
        }
        // What a form sends for fields that nobody filled in, and nonsense.
        assert_eq!(JobFilter::of_parameters(|_| Some(String::new())), JobFilter::default());
        let nonsense = JobFilter::of_parameters(|name| (name != "q").then(|| "nonsense".into()));
        assert_eq!(nonsense, JobFilter::default());
    }

    #[test]
    fn every_state_is_that_of_its_status() {
        for state in JobState::ALL {
            assert_eq!(JobState::of(state.status(), state != JobState::Later), state);
        }
    }
}
