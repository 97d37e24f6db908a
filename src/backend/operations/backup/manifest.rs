//! The manifest of a backup, as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    backend::{Error, Result, storage::objects::IntendedObject},
    domain::ids::{ObjectId, UploadId},
};

/// The version of the manifest and of the names in a target. A program refuses every other one.
pub(super) const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// The version of the program that made the backup, for people.
    pub(super) program: String,
    /// When the database's snapshot was taken.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) taken_at: OffsetDateTime,
    /// The latest migration of the database.
    pub(super) schema_version: i64,
    pub(super) tables: Vec<SavedTable>,
    /// The last value of each sequence that has given one.
    pub(super) sequences: BTreeMap<String, i64>,
    pub(super) objects: Vec<SavedObject>,
    /// Received files that are not stored yet.
    pub(super) uploads: Vec<SavedUpload>,
    /// Uploads that were given up after the snapshot and before their bytes were copied.
    pub(super) given_up: Vec<UploadId>,
    /// What the backup lacks.
    pub(super) missing: Vec<Missing>,
}

/// A file of a backup: its size and its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Piece {
    pub(super) size_bytes: i64,
    /// In hexadecimal digits.
    pub(super) sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedTable {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    #[serde(flatten)]
    pub(super) rows: Piece,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedObject {
    pub(super) key: String,
    pub(super) content_type: String,
    #[serde(flatten)]
    pub(super) content: Piece,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedUpload {
    pub(super) id: UploadId,
    #[serde(flatten)]
    pub(super) content: Piece,
}

/// Something that a backup lacks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Missing {
    /// The key of an object, or `upload` and an id.
    pub what: String,
    pub why: String,
}

impl Piece {
    pub(super) fn new(size_bytes: i64, sha256: &[u8]) -> Self {
        Self { size_bytes, sha256: hex::encode(sha256) }
    }

    /// The key of this piece in a target, if it is an object or a received file.
    pub(super) fn content_key(&self) -> String {
        format!("content/{}", self.sha256)
    }

    /// The piece as an object of a storage.
    ///
    /// # Errors
    /// If the text is no SHA-256.
    pub(super) fn at(&self, key: &str, content_type: &str) -> Result<IntendedObject> {
        let sha256 = hex::decode(&self.sha256)
            .map_err(|_| Error::Corrupt(format!("{} is not a SHA-256, in a manifest", self.sha256)))?;
        Ok(IntendedObject {
            id: ObjectId(Uuid::nil()),
            key: key.to_owned(),
            size_bytes: self.size_bytes,
            sha256,
            content_type: content_type.to_owned(),
        })
    }
}

impl Manifest {
    /// The pieces of the backup `name` and their keys in its target.
    pub(super) fn pieces(&self, name: &str) -> impl Iterator<Item = (String, &Piece)> {
        let contents = self.objects.iter().map(|object| &object.content);
        let contents = contents.chain(self.uploads.iter().map(|upload| &upload.content));
        let tables = self.tables.iter().map(move |table| (table_key(name, &table.name), &table.rows));
        tables.chain(contents.map(|content| (content.content_key(), content)))
    }
}

pub(super) fn table_key(backup: &str, table: &str) -> String {
    format!("tables/{backup}.{table}")
}
