//! The queue as admins see it: how many jobs wait and run, and which jobs failed for good.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    ids::{JobId, ObjectId, ReleaseId},
    page::{PAGE_SIZE, Page, PageStart},
    queue::JobKind,
    release::display_title,
};

/// The kinds of jobs, in the order in which a file goes through them.
pub const JOB_KINDS: [JobKind; 2] = [JobKind::Store, JobKind::Examine];

/// The queue, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueOverview {
    /// One for each of [`JOB_KINDS`], in their order.
    pub jobs: Vec<JobCounts>,
    /// How long the oldest due job has waited, in seconds. `None` if no job is due.
    pub oldest_due_seconds: Option<i64>,
    /// Dead letters, the latest failure first.
    pub dead_letters: Page<DeadLetter>,
    /// The files that keep their facts although a newer examination differs, the latest first. Those that an admin has
    /// dismissed are left out.
    pub changed_files: Page<ChangedFile>,
}

/// The unfinished jobs of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCounts {
    pub kind: JobKind,
    /// Jobs that could begin now.
    pub due: i64,
    /// Jobs that wait for a retry after a failure, or that were postponed.
    pub later: i64,
    pub running: i64,
    /// Dead letters.
    pub failed: i64,
}

impl JobCounts {
    pub fn none_of(kind: JobKind) -> Self {
        Self { kind, due: 0, later: 0, running: 0, failed: 0 }
    }
}

/// A dead letter: a job that failed for good and waits until an admin retries or discards it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub id: JobId,
    pub kind: JobKind,
    /// The file's name on the artist's computer; for display only.
    pub file_name: String,
    pub artist_name: String,
    /// `None` once the release is deleted.
    pub release: Option<ReleaseRef>,
    /// The last failure, as the job's error log has it.
    pub error: String,
    /// Failures since the job was enqueued or last retried by an admin.
    pub failures: i32,
    pub failed_at: OffsetDateTime,
}

/// The largest number of dead letters that one request names: as many as a page lists.
pub const ACTED_ON_MAX: usize = PAGE_SIZE;

/// What became of several dead letters that an admin has retried or discarded at once. Each was a transaction of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManyActedOn {
    pub done: usize,
    /// How many of the discarded files an artist is told about.
    pub told: usize,
    pub refused: Vec<RefusedAct>,
    /// Where to go on, if more dead letters are left than one request retries.
    pub next: Option<PageStart>,
}

/// A dead letter that could not be retried or discarded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedAct {
    pub file_name: String,
    pub reason: String,
}

/// A file that keeps its facts although a newer examination differs. A file of a published release is one if the
/// examination finds anything else. A file of a release that waits for review is one if the examination would refuse it;
/// its other new facts replace the old ones and aren't listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    pub object: ObjectId,
    /// Tells this result from earlier and later ones of the same file.
    pub revision: i64,
    /// The file's name on the artist's computer; for display only.
    pub file_name: String,
    pub artist_name: String,
    pub release: ReleaseRef,
    /// The file's facts, which stay valid for the release.
    pub was: String,
    /// The facts that the newer examination found, or why it would refuse the file.
    pub is: String,
    pub found_at: OffsetDateTime,
}

/// The id and title of a release, for a link to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRef {
    pub id: ReleaseId,
    pub title: String,
    pub title_version: Option<String>,
}

impl ReleaseRef {
    /// `None` if the release is deleted.
    pub fn of(id: Option<ReleaseId>, title: Option<String>, title_version: Option<String>) -> Option<Self> {
        Some(Self { id: id?, title: title?, title_version })
    }

    pub fn display_title(&self) -> String {
        display_title(&self.title, self.title_version.as_deref())
    }
}

/// Formats a wait: "12 s", "3 min", "5 h", "2 days".
pub fn format_wait(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ ..3600 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_the_unit_that_people_would_use() {
        for (seconds, words) in [
            (-3, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h"),
            (172_799, "47 h"),
            (172_800, "2 days"),
        ] {
            assert_eq!(format_wait(seconds), words);
        }
    }
}
