//! A suite that every kind of storage must pass, so that the product sees no difference between them.

use std::{path::PathBuf, time::Instant};

use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use testing::{ReservedPort, eventually, s3_server::S3Server, supabase_server::SupabaseServer};
use uuid::Uuid;

use super::{Storage, StorageKind, StorageOperation, objects::IntendedObject};
use crate::{
    backend::{
        Error, LimitSettings, MailSettings, QueueSettings, RetentionSettings, S3Settings, Settings, StorageSettings,
        SupabaseSettings, UploadSettings,
    },
    domain::{
        ids::{JobId, ObjectId},
        media::MediaLimits,
    },
};

/// A size larger than one part of any storage, and no multiple of one.
const LARGE: usize = 17 * 1024 * 1024 + 4321;

/// A storage, with the folder and the servers that must live as long as it does.
struct TestStorage {
    storage: Storage,
    folder: TempDir,
    servers: (Option<S3Server>, Option<SupabaseServer>),
}

impl TestStorage {
    async fn local() -> Self {
        Self::open(StorageSettings::Local, TempDir::new().unwrap(), (None, None))
    }

    async fn s3() -> Self {
        let folder = TempDir::new().unwrap();
        let server = S3Server::start(&folder.path().join("s3")).await;
        let options = S3Server::settings(&server.address());
        let settings = StorageSettings::S3(S3Settings { bucket: S3Server::BUCKET.into(), options });
        Self::open(settings, folder, (Some(server), None))
    }

    async fn supabase() -> Self {
        let server = SupabaseServer::start().await;
        let settings = StorageSettings::Supabase(SupabaseSettings {
            url: server.url(),
            service_role_key: SupabaseServer::KEY.into(),
            bucket: SupabaseServer::BUCKET.into(),
        });
        Self::open(settings, TempDir::new().unwrap(), (None, Some(server)))
    }

    fn open(storage: StorageSettings, folder: TempDir, servers: (Option<S3Server>, Option<SupabaseServer>)) -> Self {
        let settings = Settings {
            database_url: String::new(),
            data_dir: folder.path().to_owned(),
            public_url: String::new(),
            storage,
            media: MediaLimits::of_mb(1024, 36),
            uploads: UploadSettings::default(),
            queue: QueueSettings::default(),
            retention: RetentionSettings::default(),
            limits: LimitSettings::default(),
            mail: MailSettings::default(),
            integrity_bytes_per_day: 0,
            requires_verified_email: false,
            requires_admin_two_factor: false,
            fail_points: String::new(),
        };
        Self { storage: Storage::open(&settings, None).unwrap(), folder, servers }
    }

    /// Writes a file that is to be put. Returns its object and its path.
    fn file(&self, bytes: &[u8]) -> (IntendedObject, PathBuf) {
        let object = intended(bytes);
        let path = self.folder.path().join(object.id.to_string());
        std::fs::write(&path, bytes).unwrap();
        (object, path)
    }

    async fn put(&self, bytes: &[u8]) -> IntendedObject {
        let (object, path) = self.file(bytes);
        self.storage.put_file(&object, &path, async |_: &str| Ok(())).await.unwrap();
        object
    }

    /// The number of multipart uploads that are neither complete nor aborted. Local storage has none.
    fn open_parts(&self) -> usize {
        match &self.servers {
            (Some(s3), _) => {
                let entries = std::fs::read_dir(s3.folder().parent().unwrap()).unwrap();
                let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
                names.filter(|name| name.starts_with(".upload")).count()
            }
            (_, Some(supabase)) => supabase.open_uploads(),
            (None, None) => 0,
        }
    }

    async fn read(&self, object: &IntendedObject, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
        let chunks: Vec<_> = self.storage.read(&object.key, range).await.unwrap().try_collect().await.unwrap();
        chunks.concat()
    }
}

fn intended(bytes: &[u8]) -> IntendedObject {
    let id = ObjectId(Uuid::now_v7());
    IntendedObject {
        id,
        key: format!("audio/{id}"),
        size_bytes: bytes.len() as i64,
        sha256: Sha256::digest(bytes).to_vec(),
        content_type: "audio/wav".into(),
    }
}

/// Makes bytes of which no two parts are alike.
fn bytes(length: usize) -> Vec<u8> {
    (0..length.div_ceil(8) as u64)
        .flat_map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(length)
        .collect()
}

async fn what_is_put_is_there_as_it_was(place: TestStorage) {
    for length in [1, 5000, LARGE] {
        let bytes = bytes(length);
        let object = place.put(&bytes).await;
        assert!(place.storage.has_intended_bytes(&object).await.unwrap());
        assert_eq!(Sha256::digest(place.read(&object, None).await).as_slice(), object.sha256);
        assert_eq!(place.storage.list().await.unwrap().get(&object.key), Some(&(length as u64)));
    }
    assert_eq!(place.storage.list().await.unwrap().len(), 3);
}

async fn small_bytes_are_put_and_copied(place: TestStorage) {
    let object = intended(b"a thumbnail");
    place.storage.put_bytes(&object, b"a thumbnail".to_vec()).await.unwrap();
    let copy = place.folder.path().join("copy");
    place.storage.copy_to_file(&object.key, &copy).await.unwrap();
    assert_eq!(std::fs::read(copy).unwrap(), b"a thumbnail");
}

async fn ranges_are_exact(place: TestStorage) {
    let bytes = bytes(100_000);
    let object = place.put(&bytes).await;
    for range in [0..1, 0..100_000, 99_999..100_000, 40_000..70_001] {
        let part = &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
        assert_eq!(place.read(&object, Some(range)).await, part);
    }
}

async fn what_is_deleted_is_gone(place: TestStorage) {
    let (kept, deleted) = (place.put(b"kept").await, place.put(b"deleted").await);
    assert!(!place.storage.is_gone(&deleted.key).await.unwrap());
    place.storage.delete(&deleted.key).await.unwrap();
    assert!(place.storage.is_gone(&deleted.key).await.unwrap());
    // A second delete, as after a lost answer, succeeds.
    place.storage.delete(&deleted.key).await.unwrap();
    assert!(!place.storage.has_intended_bytes(&deleted).await.unwrap());
    assert_eq!(place.storage.list().await.unwrap().into_keys().collect::<Vec<_>>(), [kept.key]);
}

async fn what_is_not_there_is_no_outage(place: TestStorage) {
    let missing = intended(b"missing");
    assert!(!place.storage.has_intended_bytes(&missing).await.unwrap());
    assert!(place.storage.is_gone(&missing.key).await.unwrap());
    let opened = place.storage.read(&missing.key, None).await.map(drop);
    assert!(matches!(opened, Err(Error::Storage(object_store::Error::NotFound { .. }))), "{opened:?}");
    place.storage.delete(&missing.key).await.unwrap();
    assert!(place.storage.list().await.unwrap().is_empty());
}

async fn other_bytes_than_intended_are_noticed(place: TestStorage) {
    let (mut object, path) = place.file(b"what is there");
    object.sha256 = Sha256::digest(b"what was meant").to_vec();
    let put = place.storage.put_file(&object, &path, async |_: &str| Ok(())).await;
    assert!(matches!(put, Err(Error::StorageMismatch { .. })), "{put:?}");
}

/// A storage with multipart uploads reports the id before the first part. An upload that is left open can be aborted.
async fn what_is_left_open_can_be_ended(place: TestStorage) {
    let (object, path) = place.file(&bytes(LARGE));
    let (told, mut ids) = tokio::sync::mpsc::unbounded_channel();
    let put = place.storage.put_file(&object, &path, async |id: &str| {
        told.send(id.to_owned()).unwrap();
        // The put gets no further.
        std::future::pending().await
    });
    let id = tokio::select! {
        // Local storage has no multipart uploads, so the put ends.
        outcome = put => return outcome.unwrap(),
        id = ids.recv() => id.unwrap(),
    };
    assert!(place.storage.is_gone(&object.key).await.unwrap());
    assert!(place.open_parts() > 0);
    place.storage.abort_multipart(&object.key, &id).await.unwrap();
    assert_eq!(place.open_parts(), 0);
    assert!(place.storage.list().await.unwrap().is_empty());
}

async fn signed_addresses_need_nothing_else(place: TestStorage) {
    let object = place.put(b"for who has the address").await;
    let Some(address) = place.storage.signed_url(&object.key, None).await.unwrap() else { return };
    assert!(address.starts_with(place.storage.origin().unwrap()), "{address}");
    let client = reqwest::Client::new();
    let answer = client.get(&address).header("range", "bytes=4-6").send().await.unwrap();
    assert_eq!(answer.status(), 206);
    assert_eq!(answer.headers()["content-type"], "audio/wav");
    assert_eq!(answer.bytes().await.unwrap(), &b"who"[..]);
    // The name under which a browser saves the object may hold any character.
    let named = place.storage.signed_url(&object.key, Some("größer + 7\" & 100 %.wav")).await.unwrap().unwrap();
    assert!(named.is_ascii() && !named.contains(['+', '"', ' ']), "{named}");
    let answer = client.get(&named).send().await.unwrap();
    let disposition = answer.headers()["content-disposition"].to_str().unwrap();
    let full = "; filename*=UTF-8''gr%C3%B6%C3%9Fer%20%2B%207%22%20%26%20100%20%25.wav";
    assert!(disposition.starts_with("attachment; filename=") && disposition.contains(full), "{disposition}");
    assert_eq!(answer.bytes().await.unwrap(), &b"for who has the address"[..]);
    // Without the signature, nobody gets the object.
    let bare = address.split('?').next().unwrap();
    assert!(!client.get(bare).send().await.unwrap().status().is_success());
}

async fn a_storage_that_is_there_closes_its_circuit(place: TestStorage) {
    use crate::domain::circuit::CircuitState;
    assert!(!place.storage.probe().await);
    assert_eq!(place.storage.circuit(), CircuitState::Closed);
}

macro_rules! conformance {
    ($($story:ident)*) => {
        mod local { $(#[tokio::test] async fn $story() { super::$story(super::TestStorage::local().await).await; })* }
        mod s3 { $(#[tokio::test] async fn $story() { super::$story(super::TestStorage::s3().await).await; })* }
        mod supabase { $(#[tokio::test] async fn $story() { super::$story(super::TestStorage::supabase().await).await; })* }
    };
}

/// An HTTP answer that announced its length polls nothing behind the last byte.
async fn a_read_has_worked_with_its_last_byte(place: TestStorage) {
    let object = place.put(&bytes(100_000)).await;
    let (began, other) = (Instant::now(), Some(JobId(Uuid::now_v7())));
    let mut chunks = place.storage.read(&object.key, None).await.unwrap();
    let mut left = 100_000;
    while left > 0 {
        assert!(
            !place.storage.breaker.has_worked_since(StorageOperation::Read, began, other),
            "{left} bytes are missing"
        );
        left -= chunks.next().await.unwrap().unwrap().len();
    }
    assert!(place.storage.breaker.has_worked_since(StorageOperation::Read, began, other));
}

conformance! {
    a_read_has_worked_with_its_last_byte
    what_is_put_is_there_as_it_was
    small_bytes_are_put_and_copied
    ranges_are_exact
    what_is_deleted_is_gone
    what_is_not_there_is_no_outage
    other_bytes_than_intended_are_noticed
    what_is_left_open_can_be_ended
    signed_addresses_need_nothing_else
    a_storage_that_is_there_closes_its_circuit
}

/// A storage that cannot be reached opens the circuit. A storage that is back closes it.
#[tokio::test]
async fn a_storage_that_is_away_is_asked_no_more_and_comes_back() {
    use crate::domain::circuit::CircuitState;
    let folder = TempDir::new().unwrap();
    let port = ReservedPort::new();
    let options = S3Server::settings(&port.address().to_string());
    let settings = StorageSettings::S3(S3Settings { bucket: S3Server::BUCKET.into(), options });
    let place = TestStorage::open(settings, folder, (None, None));
    let object = intended(b"nowhere");
    eventually("the circuit opens", async || {
        let outcome = place.storage.put_bytes(&object, b"nowhere".to_vec()).await;
        assert!(matches!(outcome, Err(Error::StorageDown { .. })), "{outcome:?}");
        (place.storage.circuit() == CircuitState::Open).then_some(())
    })
    .await;
    let outcome = place.storage.put_bytes(&object, b"nowhere".to_vec()).await;
    assert!(matches!(outcome, Err(Error::CircuitOpen)), "{outcome:?}");
    let server = S3Server::start_at(port.address(), &place.folder.path().join("s3")).await;
    eventually("the storage answers again", async || place.storage.probe().await.then_some(())).await;
    place.storage.put_bytes(&object, b"nowhere".to_vec()).await.unwrap();
    drop(server);
}

/// An unmounted disk leaves the empty folder that it was mounted on. No object counts as missing there, and none is put
/// there.
#[tokio::test]
async fn a_folder_without_its_disk_is_away_and_comes_back() {
    let place = TestStorage::local().await;
    let StorageKind::Local(local) = &*place.storage.kind else { unreachable!() };
    local.ensure_id().unwrap();
    let kept = place.put(b"on the disk").await;
    let (folder, disk) = (place.folder.path().join("objects"), place.folder.path().join("disk"));
    std::fs::rename(&folder, &disk).unwrap();
    std::fs::create_dir(&folder).unwrap();
    let outcomes = [
        place.storage.put_bytes(&intended(b"nowhere"), b"nowhere".to_vec()).await,
        place.storage.read(&kept.key, None).await.map(drop),
        place.storage.list().await.map(drop),
        place.storage.exists(&kept.key).await.map(drop),
        place.storage.is_gone(&kept.key).await.map(drop),
        place.storage.delete(&kept.key).await,
        place.storage.delete_half_written(&kept.key).await,
    ];
    for outcome in outcomes {
        assert!(matches!(outcome, Err(Error::StorageDown { .. })), "{outcome:?}");
    }
    assert!(!place.storage.is_reachable().await && std::fs::read_dir(&folder).unwrap().next().is_none());
    std::fs::remove_dir(&folder).unwrap();
    std::fs::rename(&disk, &folder).unwrap();
    assert!(place.storage.is_reachable().await);
    assert_eq!(place.read(&kept, None).await, b"on the disk");
    assert_eq!(place.storage.list().await.unwrap().into_keys().collect::<Vec<_>>(), [kept.key]);
}
