//! Where objects live, behind `object_store`'s one trait.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart, local::LocalFileSystem,
    path::Path as Key,
};
use sha2::{Digest, Sha256};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncWriteExt},
    task::spawn_blocking,
    time::timeout,
};

use super::{Error, Result, objects::Intended};

/// Bytes held in memory for one object on its way to a folder.
const LOCAL_PART_BYTES: usize = 1024 * 1024;
/// A storage that takes longer to say that nothing is there is not well.
const HEALTH_TIMEOUT: Duration = Duration::from_millis(1500);
/// Bytes that are read from the spool at once.
const READ_BYTES: usize = 256 * 1024;

#[derive(Clone)]
pub(super) struct Storage {
    store: Arc<dyn ObjectStore>,
    part_bytes: usize,
    /// Of local storage, which hides what it is in the middle of writing from its own listing.
    folder: Option<PathBuf>,
}

impl Storage {
    /// A folder. Objects are written beside their place, flushed, and renamed into it.
    pub(super) fn local(root: &Path) -> Result<Self> {
        std::fs::create_dir_all(root)?;
        let store = LocalFileSystem::new_with_prefix(root)?.with_fsync(true);
        Ok(Self { store: Arc::new(store), part_bytes: LOCAL_PART_BYTES, folder: Some(root.to_owned()) })
    }

    /// Puts a file and proves by reading it back that its bytes are there.
    pub(super) async fn put_file(&self, object: &Intended, path: &Path) -> Result<()> {
        let mut file = File::open(path).await?;
        let upload = self.store.put_multipart(&Key::from(object.key.as_str())).await?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, self.part_bytes);
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
        self.verify(object).await
    }

    /// Puts a few bytes and proves by reading them back that they are there.
    pub(super) async fn put_bytes(&self, object: &Intended, bytes: Vec<u8>) -> Result<()> {
        self.store.put(&Key::from(object.key.as_str()), PutPayload::from(bytes)).await?;
        self.verify(object).await
    }

    async fn verify(&self, object: &Intended) -> Result<()> {
        if self.holds(object).await? { Ok(()) } else { Err(Error::StorageMismatch { key: object.key.clone() }) }
    }

    /// Whether an object has the bytes that its row says; all of them are read.
    pub(super) async fn holds(&self, object: &Intended) -> Result<bool> {
        let mut stream = match self.read(&object.key, None).await {
            Err(Error::Storage(object_store::Error::NotFound { .. })) => return Ok(false),
            opened => opened?,
        };
        let (mut hash, mut size) = (Sha256::new(), 0);
        while let Some(chunk) = stream.try_next().await? {
            size += chunk.len() as i64;
            hash.update(&chunk);
        }
        Ok(size == object.size_bytes && hash.finalize().as_slice() == object.sha256)
    }

    /// Every object's key and its bytes; with local storage also what a killed process left half written, as `key#number`.
    pub(super) async fn list(&self) -> Result<BTreeMap<String, u64>> {
        let mut listed: BTreeMap<_, _> =
            self.store.list(None).map_ok(|object| (object.location.to_string(), object.size)).try_collect().await?;
        if let Some(folder) = self.folder.clone() {
            listed.extend(spawn_blocking(move || staged(&folder)).await??);
        }
        Ok(listed)
    }

    /// Deletes an object. What is not there counts as deleted.
    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        match self.store.delete(&Key::from(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.delete_half_written(key).await
    }

    /// Deletes what local storage has left half written of an object, and never the object.
    pub(super) async fn delete_half_written(&self, key: &str) -> Result<()> {
        if let Some(staged) = self.staged_path(key)
            && let Err(error) = tokio::fs::remove_file(staged).await
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
        Ok(())
    }

    pub(super) async fn is_gone(&self, key: &str) -> Result<bool> {
        match self.store.head(&Key::from(key)).await {
            Ok(_) => Ok(false),
            Err(object_store::Error::NotFound { .. }) => Ok(match self.staged_path(key) {
                Some(staged) => !tokio::fs::try_exists(staged).await?,
                None => true,
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Where local storage writes before it renames. A key is put once, so its first name is its only one.
    fn staged_path(&self, key: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{key}#1")))
    }

    /// The bytes of an object, or of a range of it.
    pub(super) async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let result = self.store.get_opts(&Key::from(key), options).await?;
        Ok(result.into_stream().map_err(Error::from).boxed())
    }

    /// Whether the storage answers: a question about a key that is never there.
    pub(super) async fn answers(&self) -> bool {
        let key = Key::from("health");
        let answer = timeout(HEALTH_TIMEOUT, self.store.head(&key)).await;
        matches!(answer, Ok(Ok(_) | Err(object_store::Error::NotFound { .. })))
    }

    pub(super) async fn copy_to_file(&self, key: &str, path: &Path) -> Result<()> {
        let mut stream = self.read(key, None).await?;
        let mut file = File::create(path).await?;
        while let Some(chunk) = stream.try_next().await? {
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        Ok(())
    }
}

/// What local storage has begun to write in its folders: `key#number`, and the bytes so far.
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
            if name.contains('#') {
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
