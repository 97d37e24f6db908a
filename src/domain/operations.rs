//! What an admin sees of the queue: how much waits, what runs, and what has failed for good.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    ids::{JobId, ObjectId, ReleaseId},
    queue::JobKind,
    release::{Page, display_title},
};

/// The kinds of jobs, in the order in which a file meets them.
pub const JOB_KINDS: [JobKind; 2] = [JobKind::Store, JobKind::Examine];

/// The queue, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueOverview {
    /// One for each of [`JOB_KINDS`], in their order.
    pub jobs: Vec<JobCounts>,
    /// How long the job that has been due longest has waited; `None` where none is due.
    pub oldest_due_seconds: Option<i64>,
    /// The latest failure first.
    pub dead_letters: Page<DeadLetter>,
    /// Files that keep their facts although a newer examination differs, see [`ChangedFile`]: the latest ones.
    pub changed_files: Vec<ChangedFile>,
    /// How many there are, with those that `changed_files` leaves out.
    pub changed_files_total: i64,
}

/// The unfinished jobs of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCounts {
    pub kind: JobKind,
    /// Could begin now.
    pub due: i64,
    /// Backed off after a failure, or postponed.
    pub later: i64,
    pub running: i64,
    /// The dead letters.
    pub failed: i64,
}

impl JobCounts {
    pub fn none_of(kind: JobKind) -> Self {
        Self { kind, due: 0, later: 0, running: 0, failed: 0 }
    }
}

/// A job that failed for good, and waits for an admin to have it tried again or to give it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub id: JobId,
    pub kind: JobKind,
    /// The file's name on the artist's computer; for display only.
    pub file_name: String,
    pub artist_name: String,
    /// `None` once it is deleted.
    pub release: Option<ReleaseRef>,
    /// The last failure, in the log's words.
    pub error: String,
    /// Since it was last begun anew.
    pub failures: i32,
    pub failed_at: OffsetDateTime,
}

/// A file that keeps its facts although a newer examination differs. A published file is one if the examination finds anything else, a file
/// in review if the examination would refuse it. Other facts of a file in review are taken over and not noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    pub object: ObjectId,
    /// The file's name on the artist's computer; for display only.
    pub file_name: String,
    pub artist_name: String,
    pub release: ReleaseRef,
    /// The file's facts, which the release keeps.
    pub was: String,
    /// The facts that the newer examination found, or why it would refuse the file.
    pub is: String,
    pub found_at: OffsetDateTime,
}

/// The release that a dead letter's file is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRef {
    pub id: ReleaseId,
    pub title: String,
    pub title_version: Option<String>,
}

impl ReleaseRef {
    pub fn display_title(&self) -> String {
        display_title(&self.title, self.title_version.as_deref())
    }
}

/// How long something has waited: "12 s", "3 min", "5 h", "2 days".
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
