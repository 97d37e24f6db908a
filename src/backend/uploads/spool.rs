//! The spool: received bytes on this process's disk, until the storage has them.

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::{fs, task::spawn_blocking};
use uuid::Uuid;

use crate::{
    backend::{
        Error, Result,
        directories::{create_private_dir, open_private_file, read_id, read_or_create_id},
    },
    domain::ids::{SpoolId, UploadId},
};

const ID_FILE: &str = "spool.id";
const UPLOADS: &str = "uploads";
const SCRATCH: &str = "scratch";
/// Bytes of the spool that are read at once.
const READ_BYTES: usize = 256 * 1024;

/// A process that has not told of its spool for so long is away, and so are the bytes that only it holds.
pub(in crate::backend) const SPOOL_TIMEOUT_SECONDS: f64 = 30.0;

/// A folder that one process owns. Its id stands in it, so that whoever opens the folder continues what waits there.
pub(in crate::backend) struct Spool {
    pub(in crate::backend) id: SpoolId,
    folder: PathBuf,
    /// Held for the life of the process; the kernel lets go of it however that ends.
    _lock: File,
}

impl Spool {
    /// # Errors
    /// When another process has it open, or the folder cannot be written to.
    pub(in crate::backend) async fn open(folder: &Path) -> Result<Self> {
        let folder = folder.to_owned();
        spawn_blocking(move || Self::open_blocking(folder)).await?
    }

    fn open_blocking(folder: PathBuf) -> Result<Self> {
        create_private_dir(&folder)?;
        create_private_dir(&folder.join(UPLOADS))?;
        // What a job leaves in there when it is killed belongs to nobody.
        let scratch = folder.join(SCRATCH);
        let lock = open_private_file(&folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Corrupt(format!(
                    "another vwaza process uses the spool {}; give this one a VWAZA_DATA_DIR of its own",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        if scratch.exists() {
            std::fs::remove_dir_all(&scratch)?;
        }
        create_private_dir(&scratch)?;
        let id = SpoolId(read_or_create_id(&folder, ID_FILE)?);
        Ok(Self { id, folder, _lock: lock })
    }

    pub(in crate::backend) fn path(&self, upload: UploadId) -> PathBuf {
        self.folder.join(UPLOADS).join(upload.to_string())
    }

    /// A path for a job's temporary file; it is gone with the returned value.
    pub(in crate::backend) fn scratch(&self) -> Scratch {
        Scratch(self.folder.join(SCRATCH).join(Uuid::now_v7().to_string()))
    }

    /// Tells the database that a process has this spool open. Once every few seconds is enough, however often it is called.
    pub(in crate::backend) async fn heartbeat(&self, db: &PgPool) -> Result<()> {
        sqlx::query!(
            "insert into spools (id) values ($1)
             on conflict (id) do update set seen_at = now() where spools.seen_at < now() - interval '5 seconds'",
            self.id as SpoolId
        )
        .execute(db)
        .await?;
        Ok(())
    }

    /// Forgets an upload's bytes. Only for what is stored, refused or given up.
    pub(in crate::backend) async fn remove(&self, upload: UploadId) -> Result<()> {
        match fs::remove_file(self.path(upload)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The uploads whose bytes are here.
    pub(in crate::backend) async fn uploads(&self) -> Result<Vec<UploadId>> {
        let mut found = Vec::new();
        let mut entries = fs::read_dir(self.folder.join(UPLOADS)).await?;
        while let Some(entry) = entries.next_entry().await? {
            if let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                found.push(id);
            }
        }
        Ok(found)
    }
}

pub(in crate::backend) fn uploads_folder(spool: &Path) -> PathBuf {
    spool.join(UPLOADS)
}

/// What lies in a spool's folder, for whoever only looks: it may be another process's.
pub(in crate::backend) struct SpoolFiles {
    pub(in crate::backend) id: SpoolId,
    /// Bytes, by a file's name; `None` for what is no file.
    pub(in crate::backend) lengths: BTreeMap<String, Option<u64>>,
}

/// `None` where there is no spool.
pub(in crate::backend) async fn read_spool_files(folder: &Path) -> Result<Option<SpoolFiles>> {
    let folder = folder.to_owned();
    spawn_blocking(move || {
        let Some(id) = read_id(&folder.join(ID_FILE))?.map(SpoolId) else { return Ok(None) };
        let mut lengths = BTreeMap::new();
        for entry in std::fs::read_dir(uploads_folder(&folder))? {
            let entry = entry?;
            match entry.metadata() {
                Ok(metadata) => {
                    let length = metadata.is_file().then_some(metadata.len());
                    lengths.insert(entry.file_name().to_string_lossy().into_owned(), length);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(SpoolFiles { id, lengths }))
    })
    .await?
}

/// The SHA-256 of a whole file; blocks.
pub(in crate::backend) fn hash_of(path: &Path) -> io::Result<Vec<u8>> {
    let (mut file, mut hash, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; READ_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().to_vec()),
            read => hash.update(&buffer[..read]),
        }
    }
}

pub(in crate::backend) struct Scratch(PathBuf);

impl Scratch {
    pub(in crate::backend) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort: the folder is emptied at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}
