//! Stores objects in a local folder, a bucket of S3, or Supabase Storage, behind the trait of `object_store`.

mod breaker;
mod file_parts;
mod local;
pub mod media_files;
pub(super) mod objects;
pub(super) mod reaper;
mod s3;
pub(super) mod supabase;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ops::Range,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutOptions, PutPayload, path::Path as Key};
use sha2::{Digest, Sha256};
use sqlx::{PgExecutor, PgPool};
use tokio::{fs::File, io::AsyncWriteExt, time::timeout};
use uuid::Uuid;

pub(super) use breaker::NotedChange;
pub use breaker::StorageOperation;

use self::{
    breaker::{Breaker, Caller},
    local::Local,
    objects::IntendedObject,
    s3::S3,
    supabase::Supabase,
};
use super::{BackupTarget, Error, Result, Settings, StorageSettings};
use crate::domain::{circuit::CircuitState, ids::JobId, operations::Figure};

/// The timeout of a probe. It is longer than the connect timeout: a probe that is cut off while it connects leaves no
/// connection for the next probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time without any answer after which the storage is probed.
const PROBE_AFTER_IDLE: Duration = Duration::from_secs(30);
/// A disk with fewer free bytes counts as full even if the configured reserve is smaller: no useful file fits.
const FREE_BYTES_MIN: u64 = 1024 * 1024;
/// The time for which a signed address gives its object to anybody who has the address.
const SIGNED_URL_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The folder of the objects that a [`Trial`] writes. No object of ours has such a key.
const TRIAL_FOLDER: &str = "check-config";
const TRIAL_BYTES: &[u8] = b"vwaza check-config";

#[derive(Clone)]
pub(super) struct Storage {
    kind: Arc<StorageKind>,
    breaker: Arc<Breaker>,
    caller: Caller,
}

enum StorageKind {
    Local(Local),
    S3(S3),
    Supabase(Supabase),
}

/// Turns `NotFound` for a write into `Generic`, which is an outage: a put needs no object, so the bucket is missing.
fn no_bucket(error: object_store::Error) -> object_store::Error {
    match error {
        object_store::Error::NotFound { source, .. } => object_store::Error::Generic { store: "bucket", source },
        error => error,
    }
}

/// Installs the provider of all TLS of this process. Call it before building an HTTP client. A second call does
/// nothing.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Storage {
    /// The id of local storage's folder as the database records it. `None` until the first server has recorded it.
    pub(super) async fn recorded_folder_id(db: impl PgExecutor<'_>) -> Result<Option<Uuid>> {
        Ok(sqlx::query_scalar!("select id from storage_folder").fetch_optional(db).await?)
    }

    /// Opens the configured storage. `folder` is the id that the database records for local storage's folder.
    ///
    /// # Errors
    /// If local storage's folder has another id or none, or if the settings of S3 or Supabase Storage are invalid.
    pub(super) fn open(settings: &Settings, folder: Option<Uuid>) -> Result<Self> {
        install_tls();
        let kind = match &settings.storage {
            StorageSettings::Local => StorageKind::Local(Local::open(settings.data_dir.join("objects"), folder)?),
            StorageSettings::S3(s3) => StorageKind::S3(S3::open(s3)?),
            StorageSettings::Supabase(supabase) => StorageKind::Supabase(Supabase::new(supabase)?),
        };
        Ok(Self { kind: Arc::new(kind), breaker: Arc::new(Breaker::new()), caller: None })
    }

    /// Returns a handle for work that reads all objects and names each that it can't read. Without this, five unreadable
    /// objects in a row would end the work, and uploads and pages would have to do without the storage.
    pub(super) fn without_circuit(&self) -> Self {
        Self { breaker: Arc::new(Breaker::that_never_opens()), ..self.clone() }
    }

    /// Opens a folder or a bucket that is no storage of objects but the place of backups.
    ///
    /// # Errors
    /// If the folder can't be made, or the settings of S3 are invalid.
    pub(super) fn open_target(target: &BackupTarget) -> Result<Self> {
        install_tls();
        let kind = match target {
            BackupTarget::Folder(folder) => StorageKind::Local(Local::open(folder.clone(), None)?),
            BackupTarget::S3 { bucket, .. } => StorageKind::S3(S3::open(bucket)?),
        };
        Ok(Self { kind: Arc::new(kind), breaker: Arc::new(Breaker::that_never_opens()), caller: None })
    }

    /// Records the id of local storage's folder in the database unless it is known already. Only the process that has
    /// the data directory to itself may call this.
    pub(super) async fn record_folder_id(&self, db: &PgPool) -> Result<()> {
        if let StorageKind::Local(local) = &*self.kind
            && let Some(id) = local.ensure_id()?
        {
            sqlx::query!("insert into storage_folder (id) values ($1)", id).execute(db).await?;
        }
        Ok(())
    }

    /// Returns a handle for the calls of one job. The circuit breaker tells the job's successes from those of others.
    pub(super) fn on_behalf_of(&self, job: JobId) -> Self {
        Self { caller: Some(job), ..self.clone() }
    }

    /// Returns the object store behind the trait.
    ///
    /// # Errors
    /// While local storage's folder is missing or is another one, for example because its disk is not mounted.
    async fn store(&self) -> Result<&dyn ObjectStore> {
        Ok(match &*self.kind {
            StorageKind::Local(local) => local.store().await?,
            StorageKind::S3(s3) => &s3.store,
            StorageKind::Supabase(supabase) => supabase,
        })
    }

    /// Puts a file, then reads it back and compares size and checksum. `on_multipart_begun` gets the id of a multipart
    /// upload before its first part is sent.
    ///
    /// # Errors
    /// `StorageMismatch` if the storage holds other bytes than `object` says, or none.
    pub(super) async fn put_file(
        &self,
        object: &IntendedObject,
        path: &Path,
        on_multipart_begun: impl AsyncFnOnce(&str) -> Result<()>,
    ) -> Result<()> {
        let put = async {
            match &*self.kind {
                StorageKind::Local(local) => local.put_file(&Key::from(object.key.as_str()), path).await,
                StorageKind::S3(s3) => s3.put_file(object, path, on_multipart_begun).await,
                StorageKind::Supabase(supabase) => supabase.put_file(object, path, on_multipart_begun).await,
            }
        };
        self.breaker.call(StorageOperation::Write, self.caller, put).await?;
        self.verify(object).await
    }

    /// Puts a small object from memory, then reads it back and compares size and checksum.
    ///
    /// # Errors
    /// As [`Storage::put_file`].
    pub(super) async fn put_bytes(&self, object: &IntendedObject, bytes: Vec<u8>) -> Result<()> {
        let attributes = match &*self.kind {
            // A folder has nowhere to keep attributes.
            StorageKind::Local(_) => Default::default(),
            StorageKind::S3(_) | StorageKind::Supabase(_) => s3::attributes(object),
        };
        let options = PutOptions { attributes, ..PutOptions::default() };
        let key = Key::from(object.key.as_str());
        let put = async {
            Ok(self.store().await?.put_opts(&key, PutPayload::from(bytes), options).await.map_err(no_bucket)?)
        };
        self.breaker.call(StorageOperation::Write, self.caller, put).await?;
        self.verify(object).await
    }

    async fn verify(&self, object: &IntendedObject) -> Result<()> {
        if self.has_intended_bytes(object).await? {
            Ok(())
        } else {
            Err(Error::StorageMismatch { key: object.key.clone() })
        }
    }

    /// Whether an object has the size and the checksum of its row. Reads the whole object. `false` if there is no
    /// object.
    pub(super) async fn has_intended_bytes(&self, object: &IntendedObject) -> Result<bool> {
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

    /// Lists every object: its key and its size in bytes. With local storage, the list includes staging files that a
    /// killed process left half written, as `key#number`.
    pub(super) async fn list(&self) -> Result<BTreeMap<String, u64>> {
        self.list_below("").await
    }

    /// Lists every object whose key begins with `prefix`, as [`Storage::list`] does. Local storage lists everything.
    pub(super) async fn list_below(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        let list = async {
            let prefix = (!prefix.is_empty()).then(|| Key::from(prefix));
            let objects =
                self.store().await?.list(prefix.as_ref()).map_ok(|object| (object.location.to_string(), object.size));
            let mut listed: BTreeMap<_, _> = objects.try_collect().await?;
            if let StorageKind::Local(local) = &*self.kind {
                listed.extend(local.half_written().await?);
                listed.remove(local::ID_FILE);
            }
            Ok(listed)
        };
        self.breaker.check(self.caller, list).await
    }

    /// Deletes an object and its half-written staging file. Succeeds if there is none.
    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        let delete = async {
            match self.store().await?.delete(&Key::from(key)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            }
        };
        self.breaker.call(StorageOperation::Delete, self.caller, delete).await?;
        self.delete_half_written(key).await
    }

    /// Deletes the half-written staging file of an object in local storage, never the object itself.
    pub(super) async fn delete_half_written(&self, key: &str) -> Result<()> {
        match &*self.kind {
            StorageKind::Local(local) => {
                self.breaker.call(StorageOperation::Delete, self.caller, local.delete_half_written(key)).await
            }
            StorageKind::S3(_) | StorageKind::Supabase(_) => Ok(()),
        }
    }

    /// The key of the half-written staging file that is listed under this name. `None` if the name is an object's.
    pub(super) fn half_written_of<'a>(&self, listed: &'a str) -> Option<&'a str> {
        match &*self.kind {
            StorageKind::Local(_) => local::half_written_of(listed),
            StorageKind::S3(_) | StorageKind::Supabase(_) => None,
        }
    }

    /// Deletes whatever [`Storage::list`] shows under this name, which may not be a key of ours. Returns whether it is
    /// gone.
    pub(super) async fn delete_listed(&self, listed: &str) -> Result<bool> {
        if let Some(of) = self.half_written_of(listed) {
            self.delete_half_written(of).await?;
            return Ok(!self.list().await?.contains_key(listed));
        }
        let Ok(key) = Key::parse(listed) else { return Ok(false) };
        let delete = async {
            match self.store().await?.delete(&key).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            }
        };
        self.breaker.call(StorageOperation::Delete, self.caller, delete).await?;
        self.exists_at(&key).await.map(|is_there| !is_there)
    }

    /// Aborts a multipart upload that was never completed. Succeeds if the upload is over already.
    pub(super) async fn abort_multipart(&self, key: &str, upload: &str) -> Result<()> {
        let abort_multipart = async {
            match &*self.kind {
                StorageKind::Local(_) => Ok(()),
                StorageKind::S3(s3) => s3.abort_multipart(&Key::from(key), upload).await,
                StorageKind::Supabase(supabase) => Ok(supabase.abort_multipart(upload).await?),
            }
        };
        self.breaker.call(StorageOperation::Delete, self.caller, abort_multipart).await
    }

    /// Whether there is an object with this key, whatever its bytes.
    pub(super) async fn exists(&self, key: &str) -> Result<bool> {
        self.exists_at(&Key::from(key)).await
    }

    async fn exists_at(&self, key: &Key) -> Result<bool> {
        let look = async {
            match self.store().await?.head(key).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::NotFound { .. }) => Ok(false),
                Err(error) => Err(error.into()),
            }
        };
        self.breaker.check(self.caller, look).await
    }

    /// Whether neither the object nor a half-written staging file of it is left.
    pub(super) async fn is_gone(&self, key: &str) -> Result<bool> {
        let is_half_written = match &*self.kind {
            StorageKind::Local(local) => local.is_half_written(key).await?,
            StorageKind::S3(_) | StorageKind::Supabase(_) => false,
        };
        Ok(!is_half_written && !self.exists(key).await?)
    }

    /// Reads an object, or a range of its bytes.
    ///
    /// # Errors
    /// `Storage(NotFound)` if there is no object. The stream fails if the storage fails in the middle of the object.
    pub(super) async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        let caller = self.caller;
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let open = async { Ok(self.store().await?.get_opts(&Key::from(key), options).await?) };
        let result = self.breaker.open(caller, open).await?;
        // The read counts as a success at its last byte: an HTTP answer that announced its length polls no further.
        let (breaker, mut left) = (Arc::clone(&self.breaker), result.range.end - result.range.start);
        let chunks = result.into_stream().map(move |chunk| {
            let chunk = chunk.map_err(Error::from);
            left = left.saturating_sub(chunk.as_ref().map_or(0, |bytes| bytes.len() as u64));
            if chunk.is_ok() && left > 0 { chunk } else { breaker.record(StorageOperation::Read, caller, chunk) }
        });
        Ok(chunks.boxed())
    }

    /// Returns an address that gives the object to anybody who has it, for ten minutes. A browser saves the object as
    /// `name`. `None` for local storage, which has no such addresses.
    pub(super) async fn signed_url(&self, key: &str, name: Option<&str>) -> Result<Option<String>> {
        let key = Key::from(key);
        match &*self.kind {
            StorageKind::Local(_) => Ok(None),
            // The address is signed in this process, so it says nothing about the storage's health.
            StorageKind::S3(s3) => Ok(Some(s3.signed_url(&key, name, SIGNED_URL_LIFETIME).await?)),
            StorageKind::Supabase(supabase) => {
                let sign = async { Ok(Some(supabase.signed_url(&key, name, SIGNED_URL_LIFETIME).await?)) };
                self.breaker.check(self.caller, sign).await
            }
        }
    }

    /// The origin of signed addresses, as a content security policy names it. `None` for local storage.
    pub(super) fn origin(&self) -> Option<&str> {
        match &*self.kind {
            StorageKind::Local(_) => None,
            StorageKind::S3(s3) => s3.origin.as_deref(),
            StorageKind::Supabase(supabase) => Some(supabase.origin()),
        }
    }

    pub(super) fn circuit(&self) -> CircuitState {
        self.breaker.state()
    }

    /// The changes of the circuit that the database does not know yet.
    pub(super) fn circuit_changes(&self) -> Vec<NotedChange> {
        self.breaker.changes()
    }

    /// Removes changes that the database knows by now.
    pub(super) fn remove_circuit_changes(&self, written: &[NotedChange]) {
        self.breaker.remove_changes(written);
    }

    /// Takes the durations of the calls and probes since the last call of this method, in seconds.
    pub(super) fn take_durations(&self) -> Option<Figure> {
        self.breaker.take_durations()
    }

    /// The free bytes of local storage's disk. `None` for other storages, and while the disk may hang.
    pub(super) async fn free_bytes(&self) -> Option<u64> {
        match &*self.kind {
            StorageKind::Local(local) if self.circuit() == CircuitState::Closed => local.disk.free_bytes().await.ok(),
            _ => None,
        }
    }

    /// Whether the storage is known to have no room left.
    pub(super) fn is_full(&self) -> bool {
        self.breaker.is_full()
    }

    /// Checks the free space of local storage's disk. The storage counts as full if fewer than `reserve_bytes` are
    /// free: the reserve is left for other users of the disk.
    pub(super) async fn check_disk_space(&self, reserve_bytes: u64) {
        if let StorageKind::Local(local) = &*self.kind
            && self.circuit() == CircuitState::Closed
            && let Ok(free) = local.disk.free_bytes().await
        {
            self.breaker.record_disk_space(free < reserve_bytes.max(FREE_BYTES_MIN));
        }
    }

    /// Whether a call of this kind by anybody but `job` has succeeded after `since`. If so, what failed meanwhile is
    /// not the storage's fault.
    pub(super) fn has_worked_since(&self, operation: StorageOperation, since: Instant, job: JobId) -> bool {
        self.breaker.has_worked_since(operation, since, Some(job))
    }

    /// Probes the storage if the circuit breaker wants a probe. Returns whether this closed the circuit.
    pub(super) async fn probe(&self) -> bool {
        if !self.breaker.wants_probe(PROBE_AFTER_IDLE) {
            return false;
        }
        let (was, began) = (self.circuit(), Instant::now());
        let answers = self.is_reachable().await;
        let outcome = if answers { "answered" } else { "failed" };
        metrics::counter!("vwaza_storage_probes_total", "outcome" => outcome).increment(1);
        self.breaker.probed(answers, began.elapsed());
        let now = self.circuit();
        if was == CircuitState::Closed && now == CircuitState::Open {
            tracing::error!("storage unreachable: circuit breaker opened; received files wait in the spool");
        }
        was != CircuitState::Closed && now == CircuitState::Closed
    }

    /// Whether the folder or bucket answers within 10 s. The check lists objects: a request for one object answers the
    /// same for a missing bucket as for an empty one.
    pub(super) async fn is_reachable(&self) -> bool {
        let nowhere = Key::from("health");
        let look = async { Ok::<_, Error>(self.store().await?.list(Some(&nowhere)).try_next().await?) };
        matches!(timeout(PROBE_TIMEOUT, look).await, Ok(Ok(_)))
    }

    /// Prepares a trial of the storage with an object of its own.
    pub(super) fn trial(&self) -> Trial<'_> {
        Trial { storage: self, key: Key::from(format!("{TRIAL_FOLDER}/{}", Uuid::new_v4())) }
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

/// Tries each operation that the product needs, on an object of its own that it deletes at last. The circuit breaker
/// takes no part.
pub(super) struct Trial<'a> {
    storage: &'a Storage,
    key: Key,
}

impl Trial<'_> {
    pub(super) async fn write(&self) -> Result<()> {
        let payload = PutPayload::from_static(TRIAL_BYTES);
        self.storage.store().await?.put(&self.key, payload).await.map_err(no_bucket)?;
        Ok(())
    }

    pub(super) async fn read(&self) -> Result<()> {
        let read = self.storage.store().await?.get(&self.key).await?.bytes().await?;
        self.require(read == TRIAL_BYTES)
    }

    pub(super) async fn read_range(&self) -> Result<()> {
        let read = self.storage.store().await?.get_range(&self.key, 6..11).await?;
        self.require(read == TRIAL_BYTES[6..11])
    }

    pub(super) async fn list(&self) -> Result<()> {
        let mut listed = self.storage.store().await?.list(Some(&Key::from(TRIAL_FOLDER)));
        while let Some(object) = listed.try_next().await? {
            if object.location == self.key {
                return Ok(());
            }
        }
        Err(Error::Corrupt("the object that was just written is not listed".into()))
    }

    /// Lists objects, whether there are any or not.
    pub(super) async fn list_any(&self) -> Result<()> {
        self.storage.store().await?.list(Some(&Key::from(TRIAL_FOLDER))).try_next().await?;
        Ok(())
    }

    pub(super) async fn delete(&self) -> Result<()> {
        let store = self.storage.store().await?;
        store.delete(&self.key).await?;
        match store.head(&self.key).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            Ok(_) => Err(Error::Corrupt("the object is still there after its deletion".into())),
            Err(error) => Err(error.into()),
        }
    }

    fn require(&self, is_right: bool) -> Result<()> {
        if is_right { Ok(()) } else { Err(Error::StorageMismatch { key: self.key.to_string() }) }
    }
}
