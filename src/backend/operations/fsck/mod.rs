//! Whether database, storage and spool agree, and what of it can be mended. Looking takes no lock, so it may run beside servers.

mod inspection;
mod repair;

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use crate::backend::{Result, Settings, db, storage::Storage};
use inspection::Inspection;

/// What does not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// An object that a row refers to is not in the storage.
    MissingObject,
    /// An object has other bytes than its row says.
    WrongObject,
    /// An object cannot be read, though the storage answers.
    Unreadable,
    /// A release or track shows an object that was let go of.
    NotAttached,
    /// An attached object that nothing refers to.
    Unreferenced,
    /// An object was about to be attached, and nobody works on it any more.
    Abandoned,
    /// An object is doomed, and the reaper does not get it deleted.
    Undeleted,
    /// An object in the storage that no row knows.
    UnknownObject,
    /// Acknowledged bytes are not in the spool.
    MissingBytes,
    /// Acknowledged bytes are in the spool, or something else is in their place, and they cannot be read.
    UnreadableBytes,
    /// A received upload that no job stores.
    NoJob,
    /// A stored file that no job examines.
    NotExamined,
    /// A file in the spool that no upload under way needs.
    UnneededSpoolFile,
}

/// Ordered by kind, then by what it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    pub damage: Damage,
    /// A key in the storage, an upload's id, or a file's name.
    pub subject: String,
    pub detail: String,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Database, storage and spool agree.
    pub agree: bool,
    pub findings: Vec<Finding>,
    /// What did not agree and was mended.
    pub repaired: Vec<Finding>,
    /// Objects whose bytes were read and hashed.
    pub objects: u64,
    /// Uploads under way.
    pub uploads: u64,
    /// What is being worked on, or waits in another process's spool: no damage.
    pub in_flight: u64,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Look only.
    No,
    /// Unless it would remove more than one object or spool file in a hundred, or more than ten.
    Careful,
    /// However much there is to remove.
    Force,
}

/// Looks at everything, and reads every object that a row refers to. What changes while it is looked at is looked at twice:
/// storage and spool are listed before a snapshot of the database is read, and only what two such rounds have found is told.
pub async fn fsck(settings: &Settings, repair: Repair) -> Result<Report> {
    let db = db::connect(&settings.database_url, 0).await?;
    let storage = Storage::open(settings, Storage::recorded_folder_id(&db).await?)?;
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
