//! Where objects live, behind `object_store`'s one trait: a folder, S3, or Supabase Storage.

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
use sqlx::PgPool;
use tokio::{fs::File, io::AsyncWriteExt, time::timeout};
use uuid::Uuid;

pub use breaker::StorageOperation;

use self::{
    breaker::{Breaker, Caller},
    local::Local,
    objects::IntendedObject,
    s3::S3,
    supabase::Supabase,
};
use super::{Error, Result, Settings, StorageSettings};
use crate::domain::{circuit::CircuitState, ids::JobId};

/// Longer than connecting may take: a probe that is cut off leaves no connection for the next one.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// A storage that nobody has asked anything for so long is asked how it is.
const PROBE_AFTER_IDLE: Duration = Duration::from_secs(30);
/// A disk with less is full, whatever is to be left free for others: no file of any use fits.
const FREE_BYTES_MIN: u64 = 1024 * 1024;
/// How long a signed address gives its object to whoever has it.
const SIGNED_URL_LIFETIME: Duration = Duration::from_secs(10 * 60);

#[derive(Clone)]
pub(super) struct Storage {
    kind: Arc<Kind>,
    breaker: Arc<Breaker>,
    caller: Caller,
}

enum Kind {
    Local(Local),
    S3(S3),
    Supabase(Supabase),
}

/// Nothing is missing that could be put: so it is the bucket.
fn no_bucket(error: object_store::Error) -> object_store::Error {
    match error {
        object_store::Error::NotFound { source, .. } => object_store::Error::Generic { store: "bucket", source },
        error => error,
    }
}

/// What all TLS of this process is made with. To be called before an HTTP client is built; again does nothing.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Storage {
    /// The id of local storage's folder, once the database knows it.
    pub(super) async fn recorded_folder_id(db: &PgPool) -> Result<Option<Uuid>> {
        Ok(sqlx::query_scalar!("select id from storage_folder").fetch_optional(db).await?)
    }

    /// # Errors
    /// When local storage is to be in a folder with this id, and is not.
    pub(super) fn open(settings: &Settings, folder: Option<Uuid>) -> Result<Self> {
        install_tls();
        let kind = match &settings.storage {
            StorageSettings::Local => Kind::Local(Local::open(settings.data_dir.join("objects"), folder)?),
            StorageSettings::S3(s3) => Kind::S3(S3::open(s3)?),
            StorageSettings::Supabase(supabase) => Kind::Supabase(Supabase::new(supabase)?),
        };
        Ok(Self { kind: Arc::new(kind), breaker: Arc::new(Breaker::new()), caller: None })
    }

    /// Has the database know local storage's folder from now on. For the one process that has the data directory to itself.
    pub(super) async fn record_folder_id(&self, db: &PgPool) -> Result<()> {
        if let Kind::Local(local) = &*self.kind
            && let Some(id) = local.ensure_id()?
        {
            sqlx::query!("insert into storage_folder (id) values ($1)", id).execute(db).await?;
        }
        Ok(())
    }

    /// The same, for what a job asks of it.
    pub(super) fn on_behalf_of(&self, job: JobId) -> Self {
        Self { caller: Some(job), ..self.clone() }
    }

    /// # Errors
    /// When it is a folder that is away.
    async fn store(&self) -> Result<&dyn ObjectStore> {
        Ok(match &*self.kind {
            Kind::Local(local) => local.store().await?,
            Kind::S3(s3) => &s3.store,
            Kind::Supabase(supabase) => supabase,
        })
    }

    /// Puts a file and proves by reading it back that its bytes are there. `begun` is told the id of an upload in parts before its
    /// first part moves.
    pub(super) async fn put_file(
        &self,
        object: &IntendedObject,
        path: &Path,
        on_multipart_begun: impl AsyncFnOnce(&str) -> Result<()>,
    ) -> Result<()> {
        let put = async {
            match &*self.kind {
                Kind::Local(local) => local.put_file(&Key::from(object.key.as_str()), path).await,
                Kind::S3(s3) => s3.put_file(object, path, on_multipart_begun).await,
                Kind::Supabase(supabase) => supabase.put_file(object, path, on_multipart_begun).await,
            }
        };
        self.breaker.call(StorageOperation::Write, self.caller, put).await?;
        self.verify(object).await
    }

    /// Puts a few bytes and proves by reading them back that they are there.
    pub(super) async fn put_bytes(&self, object: &IntendedObject, bytes: Vec<u8>) -> Result<()> {
        let attributes = match &*self.kind {
            // A folder has nowhere to keep them.
            Kind::Local(_) => Default::default(),
            Kind::S3(_) | Kind::Supabase(_) => s3::attributes(object),
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

    /// Whether an object has the bytes that its row says; all of them are read.
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

    /// Every object's key and its bytes; with local storage also what a killed process left half written, as `key#number`.
    pub(super) async fn list(&self) -> Result<BTreeMap<String, u64>> {
        let list = async {
            let objects = self.store().await?.list(None).map_ok(|object| (object.location.to_string(), object.size));
            let mut listed: BTreeMap<_, _> = objects.try_collect().await?;
            if let Kind::Local(local) = &*self.kind {
                listed.extend(local.half_written().await?);
                listed.remove(local::ID_FILE);
            }
            Ok(listed)
        };
        self.breaker.check(self.caller, list).await
    }

    /// Deletes an object. What is not there counts as deleted.
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

    /// Deletes what local storage has left half written of an object, and never the object.
    pub(super) async fn delete_half_written(&self, key: &str) -> Result<()> {
        match &*self.kind {
            Kind::Local(local) => {
                self.breaker.call(StorageOperation::Delete, self.caller, local.delete_half_written(key)).await
            }
            Kind::S3(_) | Kind::Supabase(_) => Ok(()),
        }
    }

    /// Of what is listed under this name: the key that local storage has left half written.
    pub(super) fn half_written_of<'a>(&self, listed: &'a str) -> Option<&'a str> {
        match &*self.kind {
            Kind::Local(_) => local::half_written_of(listed),
            Kind::S3(_) | Kind::Supabase(_) => None,
        }
    }

    /// Deletes what is listed under this name, which may be none that we would give. Whether it is gone.
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

    /// Ends an upload in parts that was never completed. One that is over counts as ended.
    pub(super) async fn abort_multipart(&self, key: &str, upload: &str) -> Result<()> {
        let abort_multipart = async {
            match &*self.kind {
                Kind::Local(_) => Ok(()),
                Kind::S3(s3) => s3.abort_multipart(&Key::from(key), upload).await,
                Kind::Supabase(supabase) => Ok(supabase.abort_multipart(upload).await?),
            }
        };
        self.breaker.call(StorageOperation::Delete, self.caller, abort_multipart).await
    }

    /// Whether there is an object, whatever its bytes.
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

    /// Whether nothing is left of an object, not even half written.
    pub(super) async fn is_gone(&self, key: &str) -> Result<bool> {
        let is_half_written = match &*self.kind {
            Kind::Local(local) => local.is_half_written(key).await?,
            Kind::S3(_) | Kind::Supabase(_) => false,
        };
        Ok(!is_half_written && !self.exists(key).await?)
    }

    /// The bytes of an object, or of a range of it.
    pub(super) async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.breaker.admit(StorageOperation::Read)?;
        let caller = self.caller;
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let opened = async { Ok(self.store().await?.get_opts(&Key::from(key), options).await?) };
        let result = match opened.await {
            Ok(result) => result,
            Err(error) => return self.breaker.record(StorageOperation::Read, caller, Err(error)),
        };
        // A read has worked with its last byte. Whoever has announced a length asks for nothing behind it.
        let (breaker, mut left) = (Arc::clone(&self.breaker), result.range.end - result.range.start);
        let chunks = result.into_stream().map(move |chunk| {
            let chunk = chunk.map_err(Error::from);
            left = left.saturating_sub(chunk.as_ref().map_or(0, |bytes| bytes.len() as u64));
            if chunk.is_ok() && left > 0 { chunk } else { breaker.record(StorageOperation::Read, caller, chunk) }
        });
        Ok(chunks.boxed())
    }

    /// An address that gives the object to anybody who has it, for ten minutes. A browser saves the object as `name`. `None` if this
    /// storage has no such addresses.
    pub(super) async fn signed_url(&self, key: &str, name: Option<&str>) -> Result<Option<String>> {
        let key = Key::from(key);
        match &*self.kind {
            Kind::Local(_) => Ok(None),
            // Made here, without a call: it says nothing of the storage.
            Kind::S3(s3) => Ok(Some(s3.signed_url(&key, name, SIGNED_URL_LIFETIME).await?)),
            Kind::Supabase(supabase) => {
                let sign = async { Ok(Some(supabase.signed_url(&key, name, SIGNED_URL_LIFETIME).await?)) };
                self.breaker.check(self.caller, sign).await
            }
        }
    }

    /// Where signed addresses lead, as a browser's policies name it.
    pub(super) fn origin(&self) -> Option<&str> {
        match &*self.kind {
            Kind::Local(_) => None,
            Kind::S3(s3) => s3.origin.as_deref(),
            Kind::Supabase(supabase) => Some(supabase.origin()),
        }
    }

    pub(super) fn circuit(&self) -> CircuitState {
        self.breaker.state()
    }

    /// Whether the storage has no room left, as far as is known.
    pub(super) fn is_full(&self) -> bool {
        self.breaker.is_full()
    }

    /// Looks how much room is left on local storage's disk. Where it is less than the reserve, which is for others, the storage is full.
    pub(super) async fn check_disk_space(&self, reserve_bytes: u64) {
        // A look at a disk that hangs holds a thread for as long: it is not asked again before the storage answers.
        if let Kind::Local(local) = &*self.kind
            && self.circuit() == CircuitState::Closed
            && let Ok(Ok(free)) = timeout(PROBE_TIMEOUT, local.free_bytes()).await
        {
            self.breaker.record_disk_space(free < reserve_bytes.max(FREE_BYTES_MIN));
        }
    }

    /// Whether a call of the kind that is not this job's has succeeded since then: what failed meanwhile is not the storage's fault.
    pub(super) fn has_worked_since(&self, operation: StorageOperation, since: Instant, job: JobId) -> bool {
        self.breaker.has_worked_since(operation, since, Some(job))
    }

    /// Asks the storage how it is, when there is a reason to. Whether this has closed the circuit.
    pub(super) async fn probe(&self) -> bool {
        if !self.breaker.wants_probe(PROBE_AFTER_IDLE) {
            return false;
        }
        let (was, answers) = (self.circuit(), self.is_reachable().await);
        let outcome = if answers { "answered" } else { "failed" };
        metrics::counter!("vwaza_storage_probes_total", "outcome" => outcome).increment(1);
        self.breaker.probed(answers);
        let now = self.circuit();
        if was == CircuitState::Closed && now == CircuitState::Open {
            tracing::error!("storage unreachable: circuit breaker opened; received files wait in the spool");
        }
        was != CircuitState::Closed && now == CircuitState::Closed
    }

    /// Whether the folder or bucket is there. Asked for one object, a missing bucket looks like an empty one; asked for a list, it
    /// does not.
    pub(super) async fn is_reachable(&self) -> bool {
        let nowhere = Key::from("health");
        let look = async { Ok::<_, Error>(self.store().await?.list(Some(&nowhere)).try_next().await?) };
        matches!(timeout(PROBE_TIMEOUT, look).await, Ok(Ok(_)))
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
