//! Objects in a folder. Each one is written to a staging file beside its place, flushed, and renamed into it.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use object_store::{ObjectStoreExt, WriteMultipart, local::LocalFileSystem, path::Path as Key};
use tokio::{
    fs::{self, File},
    io::AsyncReadExt,
    task::spawn_blocking,
};
use uuid::Uuid;

use crate::backend::{
    Error, Result,
    directories::{Disk, create_private_dir, read_id, read_or_create_id, shell_quoted},
};

/// The file in the folder that holds the folder's id. If it is missing or holds another id, the folder is another one
/// or its disk is not mounted.
pub(super) const ID_FILE: &str = "storage.id";
/// Bytes held in memory for one object on its way to a folder.
const PART_BYTES: usize = 1024 * 1024;
/// The number of bytes that are read from the spool at once.
const READ_BYTES: usize = 256 * 1024;

pub(super) struct Local {
    store: LocalFileSystem,
    folder: PathBuf,
    pub(super) disk: Disk,
    /// The folder's id. Empty until the first server has created it.
    id: OnceLock<Uuid>,
}

impl Local {
    /// Opens the folder with this id. Without an id, creates the folder if need be.
    ///
    /// # Errors
    /// If the folder does not have this id: objects put there would be hidden once the right disk is back.
    pub(super) fn open(folder: PathBuf, id: Option<Uuid>) -> Result<Self> {
        match id {
            None => create_private_dir(&folder)?,
            Some(id) if read_id(&folder.join(ID_FILE))? == Some(id) => {}
            Some(id) => {
                return Err(Error::Corrupt(format!(
                    "{} is not the folder that this database's objects are in. Mount its disk, or restore it, and start again; \
                     if they are lost, begin anew with: mkdir -p {} && echo {id} > {}",
                    folder.display(),
                    shell_quoted(&folder),
                    shell_quoted(&folder.join(ID_FILE))
                )));
            }
        }
        let store = LocalFileSystem::new_with_prefix(&folder)?.with_fsync(true);
        Ok(Self { store, disk: Disk::of(&folder), folder, id: id.map_or_else(OnceLock::new, OnceLock::from) })
    }

    /// Creates the folder's id, or reads it if there is one. Returns `None` if it was known already.
    pub(super) fn ensure_id(&self) -> Result<Option<Uuid>> {
        if self.id.get().is_some() {
            return Ok(None);
        }
        let id = read_or_create_id(&self.folder, ID_FILE)?;
        Ok(Some(*self.id.get_or_init(|| id)))
    }

    /// Returns the object store, after a look at the folder's id.
    ///
    /// # Errors
    /// While the folder is not the one that was opened. Objects that it does not have are not missing then.
    pub(super) async fn store(&self) -> Result<&LocalFileSystem> {
        let Some(&id) = self.id.get() else { return Ok(&self.store) };
        let id_file = self.folder.join(ID_FILE);
        let source = match spawn_blocking(move || read_id(&id_file)).await? {
            Ok(Some(there)) if there == id => return Ok(&self.store),
            Ok(_) => {
                format!("{} is not the folder that was opened; is its disk mounted?", self.folder.display()).into()
            }
            Err(error) => error.into(),
        };
        Err(object_store::Error::Generic { store: "folder", source }.into())
    }

    pub(super) async fn put_file(&self, key: &Key, path: &Path) -> Result<()> {
        fail::fail_point!("storage-full", |_| {
            let source = Box::new(io::Error::from(io::ErrorKind::StorageFull));
            Err(object_store::Error::Generic { store: "folder", source }.into())
        });
        let mut file = File::open(path).await?;
        let mut writer = WriteMultipart::new_with_chunk_size(self.store().await?.put_multipart(key).await?, PART_BYTES);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = match file.read(&mut buffer).await {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) => {
                    writer.abort().await?;
                    return Err(error.into());
                }
            };
            writer.wait_for_capacity(1).await?;
            writer.write(&buffer[..read]);
            fail::fail_point!("object-half-put");
        }
        writer.finish().await?;
        Ok(())
    }

    /// Lists staging files that are half written: `key#number` and the bytes so far. `LocalFileSystem` hides them from
    /// its own listing.
    pub(super) async fn half_written(&self) -> Result<BTreeMap<String, u64>> {
        let folder = self.folder.clone();
        Ok(spawn_blocking(move || staged(&folder)).await??)
    }

    pub(super) async fn delete_half_written(&self, key: &str) -> Result<()> {
        self.store().await?;
        match fs::remove_file(self.staged_path(key)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    pub(super) async fn is_half_written(&self, key: &str) -> Result<bool> {
        Ok(fs::try_exists(self.staged_path(key)).await?)
    }

    /// The staging file of an object, which is written before it is renamed. A key is put once, so the number is always
    /// 1.
    fn staged_path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}#1"))
    }
}

fn staged(root: &Path) -> io::Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    for folder in std::fs::read_dir(root)? {
        let folder = folder?;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(folder.path())? {
            let file = file?;
            let (folder, name) = (folder.file_name(), file.file_name());
            let (folder, name) = (folder.to_string_lossy(), name.to_string_lossy());
            if half_written_of(&name).is_some() {
                match file.metadata() {
                    Ok(metadata) => found.insert(format!("{folder}/{name}"), metadata.len()),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    Err(error) => return Err(error),
                };
            }
        }
    }
    Ok(found)
}

/// The key of a staging file, whose name is the key, `#` and a number. `None` for all other names.
pub(super) fn half_written_of(listed: &str) -> Option<&str> {
    let (key, number) = listed.rsplit_once('#')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(key)
}
