//! The place of backups: a folder or a bucket.

use std::{collections::BTreeMap, io::ErrorKind, path::Path};

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use sha2::{Digest, Sha256};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
};

use super::manifest::{FORMAT, Manifest, Piece};
use crate::backend::{BackupTarget, Error, Result, directories, storage::Storage, uploads::spool::Scratch};

const CONTENT_TYPE: &str = "application/octet-stream";
/// The largest manifest that is read into memory, in bytes: millions of objects.
const MANIFEST_MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;

pub(super) struct Target {
    storage: Storage,
    prefix: String,
}

/// A manifest by its name in a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ManifestName {
    /// The time of the backup's snapshot, so that later backups have later names.
    pub(super) backup: String,
    sha256: String,
}

impl ManifestName {
    pub(super) fn key(&self) -> String {
        format!("manifests/{}.{}", self.backup, self.sha256)
    }

    fn parse(key: &str) -> Option<Self> {
        let (backup, sha256) = key.strip_prefix("manifests/")?.rsplit_once('.')?;
        let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| Self { backup: backup.to_owned(), sha256: sha256.to_owned() })
    }
}

impl Target {
    /// Opens a target, and makes its folder.
    pub(super) fn open(settings: &BackupTarget) -> Result<Self> {
        let prefix = match settings {
            BackupTarget::Folder(_) => String::new(),
            BackupTarget::S3 { prefix, .. } => prefix.clone(),
        };
        Ok(Self { storage: Storage::open_target(settings)?, prefix })
    }

    /// Opens a target that must be there.
    ///
    /// # Errors
    /// If there is no such folder.
    pub(super) fn open_existing(settings: &BackupTarget) -> Result<Self> {
        if let BackupTarget::Folder(folder) = settings
            && !folder.is_dir()
        {
            return Err(Error::Corrupt(format!("there is no folder {}", folder.display())));
        }
        Self::open(settings)
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Lists everything in the target: keys and sizes in bytes.
    pub(super) async fn list(&self) -> Result<BTreeMap<String, u64>> {
        let listed = self.storage.list_below(&self.prefix).await?;
        let own = listed.into_iter().filter_map(|(key, size)| Some((key.strip_prefix(&self.prefix)?.to_owned(), size)));
        Ok(own.collect())
    }

    /// Puts a piece, then reads it back and compares.
    pub(super) async fn put(&self, key: &str, piece: &Piece, path: &Path) -> Result<()> {
        let object = piece.at(&self.key(key), CONTENT_TYPE)?;
        // A multipart upload that a kill leaves open is ended by the bucket's lifecycle rule.
        self.storage.put_file(&object, path, async |_| Ok(())).await
    }

    /// Copies a piece to a file.
    ///
    /// # Errors
    /// If the target has other bytes.
    pub(super) async fn fetch(&self, key: &str, piece: &Piece, path: &Path) -> Result<()> {
        let fetched = write_and_hash(self.storage.read(&self.key(key), None).await?, path).await?;
        if fetched == *piece { Ok(()) } else { Err(Error::StorageMismatch { key: key.to_owned() }) }
    }

    /// Whether the target has a piece, byte by byte. Reads the whole piece.
    pub(super) async fn has(&self, key: &str, piece: &Piece) -> Result<bool> {
        self.storage.has_intended_bytes(&piece.at(&self.key(key), CONTENT_TYPE)?).await
    }

    /// Deletes a piece, or what a killed backup left of it.
    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        self.storage.delete_listed(&self.key(key)).await.map(drop)
    }

    /// The manifests among listed keys, oldest first.
    pub(super) fn manifests(listed: &BTreeMap<String, u64>) -> Vec<ManifestName> {
        listed.keys().filter_map(|key| ManifestName::parse(key)).collect()
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// If it is damaged, too large, or of another format.
    pub(super) async fn read_manifest(&self, name: &ManifestName) -> Result<Manifest> {
        let damaged = || Error::Corrupt(format!("the manifest of backup {} is damaged", name.backup));
        let (mut bytes, mut stream) = (Vec::new(), self.storage.read(&self.key(&name.key()), None).await?);
        while let Some(chunk) = stream.try_next().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > MANIFEST_MAX_BYTES {
                return Err(damaged());
            }
        }
        if hex::encode(Sha256::digest(&bytes)) != name.sha256 {
            return Err(damaged());
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        if manifest.format == FORMAT {
            return Ok(manifest);
        }
        Err(Error::Corrupt(format!(
            "backup {} was made by another version of vwaza, {}",
            name.backup, manifest.program
        )))
    }

    /// Writes a manifest, which makes a backup of what is already there.
    pub(super) async fn write_manifest(&self, backup: &str, manifest: &Manifest) -> Result<ManifestName> {
        let bytes = serde_json::to_vec(manifest).map_err(|error| Error::Corrupt(error.to_string()))?;
        let piece = Piece::new(bytes.len() as i64, &Sha256::digest(&bytes));
        let name = ManifestName { backup: backup.to_owned(), sha256: piece.sha256.clone() };
        self.storage.put_bytes(&piece.at(&self.key(&name.key()), "application/json")?, bytes).await?;
        Ok(name)
    }
}

/// Writes bytes to a new file. Returns their number and their SHA-256.
pub(super) async fn write_and_hash(mut bytes: impl Stream<Item = Result<Bytes>> + Unpin, path: &Path) -> Result<Piece> {
    let (mut file, mut hash, mut size) = (File::create(path).await?, Sha256::new(), 0);
    while let Some(chunk) = bytes.try_next().await? {
        hash.update(&chunk);
        size += chunk.len() as i64;
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    Ok(Piece::new(size, &hash.finalize()))
}

/// A folder for temporary files of a backup or a restore. The next one removes what a kill leaves in it.
pub(super) struct ScratchFolder(std::path::PathBuf);

impl ScratchFolder {
    pub(super) async fn open(data_dir: &Path) -> Result<Self> {
        let folder = data_dir.join("backup-scratch");
        match fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        directories::create_private_dir(&folder)?;
        Ok(Self(folder))
    }

    /// A path for a temporary file. The file is removed when the returned value is dropped.
    pub(super) fn file(&self) -> Scratch {
        Scratch::new(&self.0)
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // Best effort: the next backup removes it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
