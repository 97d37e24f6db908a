//! The integrity check: what a run of it found in the storage.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// A run of the integrity check. A run reads a part of all objects and goes on where the run before it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrityRun {
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// `None` while the run goes on.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// The number of objects that were read so far, and their bytes.
    pub objects: i64,
    pub bytes: i64,
    /// Objects that were damaged both times they were read. Empty while the run goes on.
    pub findings: Vec<DamagedObject>,
}

/// An object that the storage lacks, or whose bytes aren't those that were received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedObject {
    pub key: String,
    pub detail: String,
}

/// The latest runs of the integrity check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrityStatus {
    /// The latest run that is over.
    pub last: Option<IntegrityRun>,
    /// The run that goes on.
    pub running: Option<IntegrityRun>,
}
