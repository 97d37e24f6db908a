//! Verifies backups by reading every byte of them. Needs no database.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    manifest::{Manifest, Missing},
    target::{ManifestName, Target},
};
use crate::backend::{BackupTarget, Error, Result};

/// What a verification found.
#[derive(Debug, Default)]
pub struct BackupCheck {
    /// The names of backups that were read, oldest first.
    pub backups: Vec<String>,
    /// The number of pieces that were read: tables, objects and received files.
    pub pieces: usize,
    /// Pieces that are missing, truncated or damaged.
    pub damaged: BTreeSet<Missing>,
    /// What a backup lacked from the beginning.
    pub missing: BTreeSet<Missing>,
}

impl BackupCheck {
    pub fn is_complete(&self) -> bool {
        self.damaged.is_empty() && self.missing.is_empty()
    }
}

/// Reads and hashes everything that the backups in a target consist of, or one of them.
///
/// # Errors
/// If the target can't be read, or has no such backup.
pub async fn verify_backup(target: &BackupTarget, backup: Option<&str>) -> Result<BackupCheck> {
    let target = Target::open_existing(target)?;
    let listed = target.list().await?;
    let names = match backup {
        Some(_) => vec![find(&listed, backup)?],
        None => Target::manifests(&listed),
    };
    if names.is_empty() {
        return Err(no_backup());
    }
    let mut check = BackupCheck::default();
    let mut read = BTreeSet::new();
    for name in names {
        match target.read_manifest(&name).await {
            Ok(manifest) => verify(&target, &listed, &name, &manifest, &mut read, &mut check).await?,
            Err(error @ Error::Corrupt(_)) => {
                check.damaged.insert(Missing { what: name.key(), why: error.to_string() });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(check)
}

/// The manifest of the named backup, or of the latest one.
pub(super) fn find(listed: &BTreeMap<String, u64>, backup: Option<&str>) -> Result<ManifestName> {
    let mut names = Target::manifests(listed);
    match backup {
        None => names.pop().ok_or_else(no_backup),
        Some(backup) => names
            .into_iter()
            .find(|name| name.backup == backup)
            .ok_or_else(|| Error::Corrupt(format!("there is no backup {backup}"))),
    }
}

fn no_backup() -> Error {
    Error::Corrupt("there is no backup".into())
}

/// Reads and hashes the pieces of one backup, but for those in `read`.
pub(super) async fn verify(
    target: &Target,
    listed: &BTreeMap<String, u64>,
    name: &ManifestName,
    manifest: &Manifest,
    read: &mut BTreeSet<String>,
    check: &mut BackupCheck,
) -> Result<()> {
    check.backups.push(name.backup.clone());
    check.missing.extend(manifest.missing.iter().cloned());
    for (key, piece) in manifest.pieces(&name.backup) {
        if !read.insert(key.clone()) {
            continue;
        }
        check.pieces += 1;
        let why = match listed.get(&key) {
            None => "it is missing".to_owned(),
            Some(&size) if size != piece.size_bytes.unsigned_abs() => {
                format!("it has {size} bytes and should have {}", piece.size_bytes)
            }
            Some(_) => match target.has(&key, piece).await {
                Ok(true) => continue,
                Ok(false) => "its SHA-256 differs".to_owned(),
                // One file that can't be read says nothing about the others.
                Err(error @ (Error::Storage(_) | Error::StorageDown { .. })) => error.to_string(),
                Err(error) => return Err(error),
            },
        };
        let objects = manifest.objects.iter().filter(|object| object.content == *piece);
        let objects: Vec<_> = objects.map(|object| object.key.as_str()).collect();
        let what = if objects.is_empty() { key } else { format!("{key} ({})", objects.join(", ")) };
        check.damaged.insert(Missing { what, why });
    }
    Ok(())
}

impl fmt::Display for BackupCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Missing { what, why } in &self.damaged {
            writeln!(f, "damaged: {what}: {why}")?;
        }
        for Missing { what, why } in &self.missing {
            writeln!(f, "missing since it was made: {what}: {why}")?;
        }
        for backup in &self.backups {
            writeln!(f, "read: backup {backup}")?;
        }
        writeln!(f, "{} files read.", self.pieces)?;
        match self.damaged.len() + self.missing.len() {
            0 => f.write_str("Everything is there."),
            1 => f.write_str("1 file is damaged or missing."),
            many => write!(f, "{many} files are damaged or missing."),
        }
    }
}
