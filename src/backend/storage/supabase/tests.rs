use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, Result, path::Path};
use testing::{
    ReservedPort,
    supabase_server::{StorageFault, SupabaseServer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{CHUNK_BYTES, Supabase, responses::SupabaseError};
use crate::backend::SupabaseSettings;

const MINUTE: Duration = Duration::from_secs(60);

fn settings(server: &SupabaseServer) -> SupabaseSettings {
    SupabaseSettings {
        url: server.url(),
        service_role_key: SupabaseServer::KEY.to_owned(),
        bucket: SupabaseServer::BUCKET.to_owned(),
    }
}

fn client(settings: &SupabaseSettings) -> Supabase {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Supabase::new(settings).unwrap()
}

async fn start() -> (SupabaseServer, Supabase) {
    let server = SupabaseServer::start().await;
    let store = client(&settings(&server));
    (server, store)
}

async fn put(store: &Supabase, key: &str, bytes: &'static [u8]) -> Result<()> {
    store.put(&Path::from(key), PutPayload::from_static(bytes)).await.map(drop)
}

async fn read(store: &Supabase, key: &str) -> Result<Bytes> {
    store.get(&Path::from(key)).await?.bytes().await
}

async fn read_range(store: &Supabase, range: GetRange) -> Result<Bytes> {
    store.get_opts(&Path::from("audio/a"), GetOptions::new().with_range(Some(range))).await?.bytes().await
}

/// The server's code in an error that object_store has no variant for.
fn code(error: &Error) -> &str {
    match error {
        Error::Generic { source, .. } | Error::NotSupported { source } => {
            &source.downcast_ref::<SupabaseError>().unwrap().code
        }
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn what_is_put_can_be_read_looked_at_and_deleted() {
    let (server, store) = start().await;
    put(&store, "covers/a (1).jpg", b"a cover").await.unwrap();
    assert_eq!(read(&store, "covers/a (1).jpg").await.unwrap(), "a cover");
    let meta = store.head(&Path::from("covers/a (1).jpg")).await.unwrap();
    assert_eq!((meta.size, meta.last_modified.timestamp()), (7, 1_793_534_400));
    store.delete(&Path::from("covers/a (1).jpg")).await.unwrap();
    assert!(server.objects().is_empty());
}

#[tokio::test]
async fn a_missing_object_is_not_found() {
    let (_server, store) = start().await;
    let key = Path::from("audio/a");
    assert!(matches!(read(&store, "audio/a").await, Err(Error::NotFound { .. })));
    assert!(matches!(store.head(&key).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.delete(&key).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.signed_url(&key, None, MINUTE).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_server_that_is_no_storage_does_not_make_objects_missing() {
    let server = SupabaseServer::start().await;
    let store = client(&SupabaseSettings { url: format!("{}/elsewhere/", server.url()), ..settings(&server) });
    for error in [
        store.head(&Path::from("audio/a")).await.unwrap_err(),
        store.delete(&Path::from("audio/a")).await.unwrap_err(),
        store.begin_resumable(&Path::from("audio/a"), 5, "audio/wav").await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Generic { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_object_is_never_replaced() {
    let (_server, store) = start().await;
    put(&store, "audio/a", b"first").await.unwrap();
    assert!(matches!(put(&store, "audio/a", b"second").await, Err(Error::AlreadyExists { .. })));
    let upload = store.begin_resumable(&Path::from("audio/a"), 6, "audio/wav").await;
    assert!(matches!(upload, Err(Error::AlreadyExists { .. })));
    assert_eq!(read(&store, "audio/a").await.unwrap(), "first");
}

#[tokio::test]
async fn a_wrong_key_is_denied_and_printed_nowhere() {
    let server = SupabaseServer::start().await;
    let store = client(&SupabaseSettings { service_role_key: "hush-hush".to_owned(), ..settings(&server) });
    let errors = [
        put(&store, "audio/a", b"bytes").await.unwrap_err(),
        read(&store, "audio/a").await.unwrap_err(),
        store.begin_resumable(&Path::from("audio/a"), 6, "audio/wav").await.unwrap_err(),
        store.list(None).try_collect::<Vec<_>>().await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hush-hush"));
    }
    assert!(!format!("{store} {store:?}").contains("hush-hush"));
}

#[tokio::test]
async fn a_key_that_fits_no_header_is_refused_and_not_printed() {
    let server = SupabaseServer::start().await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = SupabaseSettings { service_role_key: "hush\nhush".to_owned(), ..settings(&server) };
    let error = Supabase::new(&settings).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hush"));
}

#[tokio::test]
async fn a_missing_bucket_is_no_empty_one() {
    let server = SupabaseServer::start().await;
    let store = client(&SupabaseSettings { bucket: "elsewhere".to_owned(), ..settings(&server) });
    let listed = store.list(None).try_collect::<Vec<_>>().await.unwrap_err();
    for error in [listed, put(&store, "audio/a", b"bytes").await.unwrap_err()] {
        assert_eq!(code(&error), "NoSuchBucket");
        assert!(error.to_string().contains("the bucket does not exist"), "{error}");
    }
}

#[tokio::test]
async fn what_the_bucket_does_not_take_keeps_the_servers_words() {
    let (server, store) = start().await;
    let invalid = store.put(&Path::parse("audio/é").unwrap(), PutPayload::from_static(b"bytes")).await.unwrap_err();
    assert_eq!(code(&invalid), "InvalidKey");
    let long = put(&store, &"a".repeat(300), b"bytes").await.unwrap_err();
    assert_eq!(code(&long), "InternalError");
    server.limit_size(4);
    assert_eq!(code(&put(&store, "audio/a", b"bytes").await.unwrap_err()), "EntityTooLarge");
    let large = store.begin_resumable(&Path::from("audio/a"), 5, "audio/wav").await.unwrap_err();
    assert!(!crate::backend::Error::from(invalid).is_outage());
    assert!(large.to_string().contains("413"), "{large}");
    server.allow_only("audio/flac");
    assert_eq!(code(&put(&store, "audio/a", b"byte").await.unwrap_err()), "InvalidMimeType");
    assert!(server.objects().is_empty());
}

#[tokio::test]
async fn a_read_is_asked_twice_and_a_put_once() {
    let (server, store) = start().await;
    server.fail_next(StorageFault::Status500);
    assert_eq!(code(&put(&store, "audio/a", b"bytes").await.unwrap_err()), "InternalError");
    assert!(server.objects().is_empty());
    put(&store, "audio/a", b"bytes").await.unwrap();
    for failure in [StorageFault::Status500, StorageFault::Status544, StorageFault::DropResponse] {
        server.fail_next(failure);
        assert_eq!(read(&store, "audio/a").await.unwrap(), "bytes");
    }
    server.fail_next(StorageFault::Status544);
    server.fail_next(StorageFault::Status544);
    assert_eq!(code(&read(&store, "audio/a").await.unwrap_err()), "DatabaseTimeout");
}

#[tokio::test]
async fn a_server_that_is_down_is_an_error() {
    let server = SupabaseServer::start().await;
    let closed = ReservedPort::new();
    let store = client(&SupabaseSettings { url: format!("http://{}", closed.address()), ..settings(&server) });
    let error = read(&store, "audio/a").await.unwrap_err();
    assert!(matches!(error, Error::Generic { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains(SupabaseServer::KEY));
}

#[tokio::test]
async fn a_range_is_the_one_that_was_asked_for() {
    let (_server, store) = start().await;
    put(&store, "audio/a", b"0123456789").await.unwrap();
    assert_eq!(read_range(&store, GetRange::Bounded(2..5)).await.unwrap(), "234");
    assert_eq!(read_range(&store, GetRange::Bounded(8..20)).await.unwrap(), "89");
    assert_eq!(read_range(&store, GetRange::Offset(7)).await.unwrap(), "789");
    assert_eq!(read_range(&store, GetRange::Suffix(1)).await.unwrap(), "9");
    let beyond = read_range(&store, GetRange::Offset(10)).await.unwrap_err();
    assert!(beyond.to_string().contains("416"), "{beyond}");
    assert!(read_range(&store, GetRange::Bounded(3..3)).await.is_err());
}

#[tokio::test]
async fn another_range_than_the_one_that_was_asked_for_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let store = client(&SupabaseSettings {
        url,
        service_role_key: SupabaseServer::KEY.to_owned(),
        bucket: SupabaseServer::BUCKET.to_owned(),
    });
    for (answer, is_right) in [
        ("206 Partial Content\r\ncontent-range: bytes 0-4/10", true),
        ("206 Partial Content\r\ncontent-range: bytes 0-3/10", false),
        ("206 Partial Content\r\ncontent-range: bytes 1-5/10", false),
        ("206 Partial Content\r\ncontent-range: bytes 4-0/10", false),
        ("206 Partial Content\r\ncontent-range: bytes 0-18446744073709551615/18446744073709551615", false),
        ("206 Partial Content\r\ncontent-range: bytes 0-4/3", false),
        ("206 Partial Content\r\ncontent-range: bytes 0-4/*", false),
        ("206 Partial Content\r\ncontent-range: bytes */10", false),
        ("206 Partial Content\r\ncontent-range: lines 0-4/10", false),
        ("206 Partial Content\r\nx: y", false),
        ("200 OK\r\ncontent-range: bytes 0-4/10", false),
    ] {
        let serve = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(connection.read_u8().await.unwrap());
            }
            let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 5\r\nconnection: close\r\n\r\n01234");
            connection.write_all(answer.as_bytes()).await.unwrap();
        };
        let ((), part) = tokio::join!(serve, read_range(&store, GetRange::Bounded(0..5)));
        assert_eq!(part.is_ok(), is_right, "{answer}: {part:?}");
    }
}

#[tokio::test]
async fn a_row_without_its_file_is_found_out_by_reading() {
    let (server, store) = start().await;
    put(&store, "audio/a", b"bytes").await.unwrap();
    server.lose_file("audio/a");
    assert_eq!(store.head(&Path::from("audio/a")).await.unwrap().size, 5);
    assert!(read(&store, "audio/a").await.is_err());
}

#[tokio::test]
async fn a_byte_that_was_not_kept_is_found_out_by_reading() {
    let (server, store) = start().await;
    server.fail_next(StorageFault::StoreTruncated);
    put(&store, "audio/a", b"bytes").await.unwrap();
    assert_eq!(read(&store, "audio/a").await.unwrap(), "byte");
}

#[tokio::test]
async fn a_signed_address_gives_one_object_until_it_expires() {
    let (server, store) = start().await;
    put(&store, "audio/a", b"bytes").await.unwrap();
    put(&store, "audio/b", b"others").await.unwrap();
    let address = store.signed_url(&Path::from("audio/a"), None, 10 * MINUTE).await.unwrap();
    let fetch = async |address: &str| reqwest::get(address).await.unwrap().text().await.unwrap();
    assert_eq!(fetch(&address).await, "bytes");
    assert!(fetch(&address.replace("audio/a", "audio/b")).await.contains("InvalidSignature"));
    server.advance_clock(9 * MINUTE);
    assert_eq!(fetch(&address).await, "bytes");
    server.advance_clock(2 * MINUTE);
    assert!(fetch(&address).await.contains("InvalidJWT"));
}

#[tokio::test]
async fn a_listing_goes_through_folders_and_pages() {
    let (_server, store) = start().await;
    let mut keys: Vec<_> = (0..1003).map(|number| format!("audio/{number:04}")).collect();
    keys.extend(["covers/deep/er/a", "covers/b", "c", "audiobook/d"].map(str::to_owned));
    keys.sort();
    let puts = stream::iter(&keys).map(|key| put(&store, key, b"four")).buffer_unordered(8);
    puts.try_collect::<Vec<()>>().await.unwrap();

    let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
    assert!(objects.iter().all(|object| object.size == 4));
    let mut listed: Vec<_> = objects.iter().map(|object| object.location.to_string()).collect();
    listed.sort();
    assert_eq!(listed, keys);

    let audio: Vec<_> = store.list(Some(&Path::from("audio"))).try_collect().await.unwrap();
    assert_eq!(audio.len(), 1003);
}

#[tokio::test]
async fn an_empty_bucket_is_listed_as_empty() {
    let (_server, store) = start().await;
    assert!(store.list(None).next().await.is_none());
}

#[tokio::test]
async fn a_resumable_upload_is_there_once_it_is_complete() {
    let (server, store) = start().await;
    let bytes = Bytes::from(vec![7; CHUNK_BYTES + 3]);
    let key = Path::from("audio/a");
    let upload = store.begin_resumable(&key, bytes.len() as u64, "audio/wav").await.unwrap();
    assert!(upload.starts_with("/storage/v1/upload/resumable/"), "{upload}");
    store.put_chunk(&upload, 0, bytes.slice(..CHUNK_BYTES)).await.unwrap();
    assert_eq!((server.objects().len(), server.open_uploads()), (0, 1));
    store.put_chunk(&upload, CHUNK_BYTES as u64, bytes.slice(CHUNK_BYTES..)).await.unwrap();
    assert_eq!((server.objects().len(), server.open_uploads()), (1, 0));
    assert_eq!(read(&store, "audio/a").await.unwrap(), bytes);
}

#[tokio::test]
async fn a_chunk_whose_answer_was_lost_is_not_taken_twice() {
    let (server, store) = start().await;
    let bytes = Bytes::from(vec![7; CHUNK_BYTES]);
    let upload = store.begin_resumable(&Path::from("audio/a"), 2 * CHUNK_BYTES as u64, "audio/wav").await.unwrap();
    server.fail_next(StorageFault::DropResponse);
    assert!(matches!(store.put_chunk(&upload, 0, bytes.clone()).await, Err(Error::Generic { .. })));
    assert!(matches!(store.put_chunk(&upload, 0, bytes.clone()).await, Err(Error::Precondition { .. })));
    assert_eq!(server.open_uploads(), 1);
    store.abort_multipart(&upload).await.unwrap();
    assert_eq!((server.objects().len(), server.open_uploads()), (0, 0));
    store.abort_multipart(&upload).await.unwrap();
    assert!(matches!(store.put_chunk(&upload, 0, bytes).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_complete_upload_counts_as_ended_and_keeps_its_object() {
    let (server, store) = start().await;
    let upload = store.begin_resumable(&Path::from("audio/a"), 5, "audio/wav").await.unwrap();
    server.fail_next(StorageFault::DropResponse);
    store.put_chunk(&upload, 0, Bytes::from_static(b"bytes")).await.unwrap_err();
    store.abort_multipart(&upload).await.unwrap();
    assert_eq!(server.objects(), ["audio/a"]);
}

#[tokio::test]
async fn an_upload_that_cannot_be_ended_is_an_error() {
    let (server, store) = start().await;
    let upload = store.begin_resumable(&Path::from("audio/a"), 5, "audio/wav").await.unwrap();
    server.fail_next(StorageFault::Status500);
    assert_eq!(code(&store.abort_multipart(&upload).await.unwrap_err()), "InternalError");
    assert_eq!(server.open_uploads(), 1);
}
