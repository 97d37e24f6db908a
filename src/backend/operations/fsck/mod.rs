//! The consistency check: finds where database, storage and spool disagree, and repairs some of it. The check takes no
//! locks, so it may run beside servers.

mod inspection;
mod repair;

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use crate::backend::{Result, Settings, db, storage::Storage};
use inspection::Inspection;

/// A kind of disagreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// An object that a row refers to is not in the storage.
    MissingObject,
    /// An object has other bytes than its row says.
    WrongObject,
    /// An object cannot be read, though the storage answers.
    Unreadable,
    /// A release or track refers to an object that is no longer attached.
    NotAttached,
    /// An attached object that no release or track refers to.
    Unreferenced,
    /// An object was intended to be attached, and no job works on it any more.
    Abandoned,
    /// An object is doomed, and the reaper has failed to delete it.
    Undeleted,
    /// An orphan: an object in the storage without a row.
    UnknownObject,
    /// Acknowledged bytes are not in the spool.
    MissingBytes,
    /// Acknowledged bytes cannot be read from the spool: their file is unreadable, or is not a file.
    UnreadableBytes,
    /// A received upload that no job stores.
    NoJob,
    /// A stored file that no job examines.
    NotExamined,
    /// A file in the spool that no unfinished upload needs.
    UnneededSpoolFile,
}

/// One disagreement. Findings are ordered by kind, then by subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    pub damage: Damage,
    /// A key in the storage, an upload's id, or a file's name.
    pub subject: String,
    pub detail: String,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Whether database, storage and spool agree.
    pub agree: bool,
    pub findings: Vec<Finding>,
    /// Findings that were repaired. They are not in `findings`.
    pub repaired: Vec<Finding>,
    /// The number of objects whose bytes were read and hashed.
    pub objects: u64,
    /// The number of uploads that are not stored yet, failed ones included.
    pub uploads: u64,
    /// The number of objects and uploads that are being worked on, are retained, or are in another process's spool.
    /// They are no findings.
    pub in_flight: u64,
}

/// Whether to repair findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Change nothing.
    No,
    /// Repair, but remove none of the orphans (or none of the unneeded spool files) if there are more than ten of them,
    /// or more than one and more than 1 % of all objects (or spool files).
    Careful,
    /// Repair, however many orphans and spool files there are to remove.
    Force,
}

/// Checks everything, and reads every object that a row refers to.
///
/// Changes during the check must not become findings. Each inspection lists storage and spool before it reads a
/// snapshot of the database, and only findings of two inspections in a row are reported.
pub async fn fsck(settings: &Settings, repair: Repair) -> Result<Report> {
    let db = db::connect(&settings.database_url, 0).await?;
    let storage = Storage::open(settings, Storage::recorded_folder_id(&db).await?)?.without_circuit();
    let first = Inspection::run_once(&db, &storage, settings).await?;
    let mut inspection = Inspection::run_once(&db, &storage, settings).await?;
    inspection.findings.retain(|finding| first.findings.contains(finding));
    inspection.recheck_missing(&storage).await?;
    inspection.read_all(&db, &storage).await?;
    inspection.read_spool(&db, settings).await?;
    let repaired = match repair {
        Repair::No => BTreeSet::new(),
        Repair::Careful | Repair::Force => {
            repair::repair_findings(&db, &storage, settings, &mut inspection, repair).await?
        }
    };
    Ok(Report {
        agree: inspection.findings.is_empty(),
        objects: inspection.stored.len() as u64,
        uploads: inspection.uploads,
        in_flight: inspection.in_flight,
        findings: inspection.findings.into_iter().collect(),
        repaired: repaired.into_iter().collect(),
    })
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingObject => "missing object",
            Self::WrongObject => "wrong object",
            Self::Unreadable => "unreadable object",
            Self::NotAttached => "object not attached",
            Self::Unreferenced => "unreferenced object",
            Self::Abandoned => "abandoned object",
            Self::Undeleted => "undeleted object",
            Self::UnknownObject => "unknown object",
            Self::MissingBytes => "missing bytes of upload",
            Self::UnreadableBytes => "unreadable bytes of upload",
            Self::NoJob => "no job for upload",
            Self::NotExamined => "no job for object",
            Self::UnneededSpoolFile => "unneeded spool file",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { damage, subject, detail } in &self.repaired {
            writeln!(f, "repaired: {damage} {subject}: {detail}")?;
        }
        for Finding { damage, subject, detail } in &self.findings {
            writeln!(f, "{damage} {subject}: {detail}")?;
        }
        writeln!(
            f,
            "{} objects read, {} uploads under way, {} in flight or elsewhere",
            self.objects, self.uploads, self.in_flight
        )?;
        match self.findings.len() {
            0 => f.write_str("Database, storage and spool agree."),
            1 => f.write_str("1 thing does not agree."),
            many => write!(f, "{many} things do not agree."),
        }
    }
}
