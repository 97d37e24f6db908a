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
        directories::{Disk, create_private_dir, open_private_file, read_id, read_or_create_id},
    },
    domain::ids::{SpoolId, UploadId},
};

const ID_FILE: &str = "spool.id";
const UPLOADS: &str = "uploads";
const SCRATCH: &str = "scratch";
/// The number of bytes that are read from a file at once.
const READ_BYTES: usize = 256 * 1024;

/// A process that has sent no heartbeat for its spool for this long is away, and so are the bytes that only it holds.
pub(in crate::backend) const SPOOL_TIMEOUT_SECONDS: f64 = 30.0;

/// A folder that one process owns. Its id is stored in it, so that the next process that opens the folder continues the
/// uploads in it.
pub(in crate::backend) struct Spool {
    pub(in crate::backend) id: SpoolId,
    folder: PathBuf,
    pub(in crate::backend) disk: Disk,
    /// Held for the life of the process. The kernel releases the lock however the process ends.
    _lock: File,
}

impl Spool {
    /// Opens the spool in this folder, and creates it if need be.
    ///
    /// # Errors
    /// If another process has the spool open, or the folder cannot be written to.
    pub(in crate::backend) async fn open(folder: &Path) -> Result<Self> {
        let folder = folder.to_owned();
        spawn_blocking(move || Self::open_blocking(folder)).await?
    }

    fn open_blocking(folder: PathBuf) -> Result<Self> {
        create_private_dir(&folder)?;
        create_private_dir(&folder.join(UPLOADS))?;
        // A killed job leaves temporary files that nobody needs.
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
        Ok(Self { id, disk: Disk::of(&folder), folder, _lock: lock })
    }

    pub(in crate::backend) fn path(&self, upload: UploadId) -> PathBuf {
        self.folder.join(UPLOADS).join(upload.to_string())
    }

    /// Brings the names of files to the disk.
    pub(in crate::backend) async fn sync(&self) -> Result<()> {
        Ok(fs::File::open(self.folder.join(UPLOADS)).await?.sync_all().await?)
    }

    /// A path for the temporary file of a job. The file is removed when the returned value is dropped.
    pub(in crate::backend) fn scratch(&self) -> Scratch {
        Scratch::new(&self.folder.join(SCRATCH))
    }

    /// Records in the database that a process has this spool open. Writes at most once in five seconds, however often
    /// it is called.
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

    /// Removes the bytes of an upload. Only for an upload that is stored, refused or given up.
    pub(in crate::backend) async fn remove(&self, upload: UploadId) -> Result<()> {
        match fs::remove_file(self.path(upload)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Lists the uploads whose bytes are in this spool.
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

/// The files in the folder of a spool, which may belong to another process.
pub(in crate::backend) struct SpoolFiles {
    pub(in crate::backend) id: SpoolId,
    /// The size of each file in bytes, by its name. `None` for an entry that is no file.
    pub(in crate::backend) lengths: BTreeMap<String, Option<u64>>,
}

/// Reads the files of a spool without opening it. `None` if there is no spool.
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

/// Computes the SHA-256 of a whole file. Blocks the thread.
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
    /// A path for a temporary file in `folder`. The file is removed when the returned value is dropped.
    pub(in crate::backend) fn new(folder: &Path) -> Self {
        Self(folder.join(Uuid::now_v7().to_string()))
    }

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
