//! Supabase Storage over its REST API, behind object_store's trait.
//!
//! The server answers errors with HTTP 400 and puts the real status into the body, as a string. Resumable uploads (tus)
//! answer with real statuses and plain text. Requests that carry bytes and requests that delete are sent once: the
//! queue repeats them.

pub(in crate::backend) mod responses;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    ops::Range,
    path::Path as FilePath,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use headers::{HeaderMapExt, LastModified};
use object_store::{
    Attribute, Attributes, CopyOptions, Error, Extensions, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    path::Path,
};
use reqwest::{
    Client, Method, RequestBuilder, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, LOCATION, RANGE},
    redirect::Policy,
};
use serde_json::json;
use tokio::fs::File;

use self::responses::{
    Entry, Info, Signed, accepted, accepted_upload, answer, header, number, requested_range, send_with_retry,
};
use super::{file_parts::read_part, objects::IntendedObject, s3::attributes};
use crate::{
    backend::{self, SupabaseSettings},
    domain::download::percent_encoded,
};

const STORE: &str = "Supabase";
/// The size of the chunks of a resumable upload. Hosted servers require it of every chunk but the last.
pub(super) const CHUNK_BYTES: usize = 6 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// The timeout of a request that carries a chunk or an object, long enough for a slow connection.
const PUT_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest silence while an object is read. The whole read has no limit: it takes as long as its reader needs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const PAGE_ENTRIES: usize = 1000;
const DELETES_AT_ONCE: usize = 10;
/// The media type of an object whose attributes name none.
const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";

/// A client of one bucket in Supabase Storage.
#[derive(Clone, Debug)]
pub(super) struct Supabase {
    /// The address of the API, which ends in `/storage/v1`.
    base: Url,
    origin: String,
    bucket: String,
    calls: Client,
    /// The client that reads objects. Its requests have no total timeout.
    reads: Client,
}

impl Supabase {
    pub(super) fn new(settings: &SupabaseSettings) -> Result<Self> {
        let mut base = Url::parse(&settings.url).map_err(generic)?;
        base.path_segments_mut()
            .map_err(|()| generic("the project's address is not one of a web server"))?
            .pop_if_empty()
            .extend(["storage", "v1"]);
        let key = &settings.service_role_key;
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, secret(&format!("Bearer {key}"))?),
            (HeaderName::from_static("apikey"), secret(key)?),
        ]);
        // A redirect would send the key to another host.
        let client = || {
            Client::builder().default_headers(headers.clone()).connect_timeout(CONNECT_TIMEOUT).redirect(Policy::none())
        };
        Ok(Self {
            origin: base.origin().ascii_serialization(),
            base,
            bucket: settings.bucket.clone(),
            calls: client().timeout(CALL_TIMEOUT).build().map_err(generic)?,
            reads: client().read_timeout(IDLE_TIMEOUT).build().map_err(generic)?,
        })
    }

    /// Puts a file of at most one chunk in one request, and a larger file as a resumable upload with one chunk in
    /// memory at a time. `on_multipart_begun` gets the path of the resumable upload before its first chunk is sent.
    pub(super) async fn put_file(
        &self,
        object: &IntendedObject,
        path: &FilePath,
        on_multipart_begun: impl AsyncFnOnce(&str) -> backend::Result<()>,
    ) -> backend::Result<()> {
        let key = Path::from(object.key.as_str());
        let mut file = File::open(path).await?;
        if object.size_bytes <= CHUNK_BYTES as i64 {
            let bytes = read_part(&mut file, CHUNK_BYTES).await?;
            let options = PutOptions { attributes: attributes(object), ..PutOptions::default() };
            self.put_opts(&key, bytes.into(), options).await?;
            return Ok(());
        }
        let upload = self.begin_resumable(&key, object.size_bytes.unsigned_abs(), &object.content_type).await?;
        if let Err(error) = on_multipart_begun(&upload).await {
            // The path is recorded nowhere, so only this call can abort the upload. Best effort: the server ends it
            // after a day.
            let _ = self.abort_multipart(&upload).await;
            return Err(error);
        }
        let mut offset = 0;
        loop {
            let chunk = read_part(&mut file, CHUNK_BYTES).await?;
            let length = chunk.len() as u64;
            if length == 0 {
                return Ok(());
            }
            self.put_chunk(&upload, offset, chunk).await?;
            fail::fail_point!("object-half-put");
            offset += length;
        }
    }

    /// The origin of signed addresses.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Begins a resumable upload of `length` bytes. Returns its path, which `put_chunk` and `abort_multipart` take.
    async fn begin_resumable(&self, key: &Path, length: u64, content_type: &str) -> Result<String> {
        let route = format!("{}/upload/resumable", self.base.path());
        let metadata =
            [("bucketName", self.bucket.as_str()), ("objectName", key.as_ref()), ("contentType", content_type)]
                .map(|(name, value)| format!("{name} {}", BASE64_STANDARD.encode(value)))
                .join(",");
        let request = self
            .resumable(Method::POST, &route)
            .header("upload-length", length)
            .header("upload-metadata", metadata)
            .header("x-upsert", "false");
        let response = accepted(request.send().await, key.as_ref()).await?;
        // A server behind a gateway does not know its scheme, host and prefix. Only the last segment counts: it names
        // the upload.
        let location = header(&response, LOCATION.as_str()).and_then(|location| self.base.join(location).ok());
        let name = location.as_ref().and_then(|location| location.path_segments()?.next_back());
        match name.filter(|name| !name.is_empty() && response.status() == StatusCode::CREATED) {
            Some(name) => Ok(format!("{route}/{name}")),
            None => Err(generic("a resumable upload was begun, and the answer does not say where")),
        }
    }

    /// Sends one chunk: [`CHUNK_BYTES`] bytes, or fewer if it is the last one.
    async fn put_chunk(&self, upload: &str, offset: u64, bytes: Bytes) -> Result<()> {
        let end = offset + bytes.len() as u64;
        let request = self
            .resumable(Method::PATCH, upload)
            .header("upload-offset", offset)
            .header(CONTENT_TYPE, "application/offset+octet-stream")
            .timeout(PUT_TIMEOUT)
            .body(bytes);
        let response = accepted_upload(request.send().await, upload).await?;
        let acknowledged = number(&response, "upload-offset");
        if response.status() == StatusCode::NO_CONTENT && acknowledged == Some(end) {
            return Ok(());
        }
        Err(generic(format!("a chunk up to {end} was acknowledged up to {acknowledged:?}")))
    }

    /// Aborts a resumable upload. Succeeds if the upload is missing or complete.
    pub(super) async fn abort_multipart(&self, upload: &str) -> Result<()> {
        match accepted_upload(self.resumable(Method::DELETE, upload).send().await, upload).await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            // The server refuses to abort a complete upload, with a message that depends on its version.
            Err(error) => match self.is_complete(upload).await {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(error),
            },
        }
    }

    async fn is_complete(&self, upload: &str) -> Result<bool> {
        let response = accepted_upload(send_with_retry(self.resumable(Method::HEAD, upload)).await, upload).await?;
        let offset = number(&response, "upload-offset");
        Ok(offset.is_some() && offset == number(&response, "upload-length"))
    }

    /// Returns an address that gives the object to anybody who has it, for `lifetime`. A browser saves the object as
    /// `name`, or as the last part of its key.
    pub(super) async fn signed_url(&self, key: &Path, name: Option<&str>, lifetime: Duration) -> Result<String> {
        let request = self.calls.post(self.url("object/sign", key)).json(&json!({ "expiresIn": lifetime.as_secs() }));
        let signed: Signed = answer(send_with_retry(request).await, key).await?;
        if signed.signed_url.starts_with("/object/sign/") {
            // `download` makes browsers save the object and never run it.
            Ok(format!("{}{}&download={}", self.base, signed.signed_url, percent_encoded(name.unwrap_or_default())))
        } else {
            Err(generic("the signed address is not one of an object"))
        }
    }

    async fn info(&self, key: &Path) -> Result<ObjectMeta> {
        let info: Info = answer(send_with_retry(self.calls.get(self.url("object/info", key))).await, key).await?;
        Ok(ObjectMeta {
            location: key.clone(),
            last_modified: info.last_modified.parse().map_err(generic)?,
            size: info.size,
            e_tag: info.etag,
            version: None,
        })
    }

    /// Lists one page of a folder, by name. An object that is deleted meanwhile may hide another one from the next
    /// page.
    async fn page(&self, folder: &Path, offset: usize) -> Result<Vec<Entry>> {
        let prefix: &str = folder.as_ref();
        let request = self.calls.post(self.url("object/list", &Path::ROOT)).json(&json!({
            "prefix": prefix,
            "limit": PAGE_ENTRIES,
            "offset": offset,
            "sortBy": { "column": "name", "order": "asc" },
        }));
        let page: Vec<Entry> = answer(send_with_retry(request).await, folder).await?;
        if page.is_empty() && offset == 0 {
            self.find_bucket().await?;
        }
        Ok(page)
    }

    /// Fails if the bucket is missing. The server lists a missing bucket as an empty one, but a request for one object
    /// tells them apart.
    async fn find_bucket(&self) -> Result<()> {
        match self.info(&Path::from("health")).await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The address of a route for an object of the bucket; each segment is percent-encoded.
    fn url(&self, route: &str, key: &Path) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("`new` has put segments into this address")
            .extend(route.split('/'))
            .push(&self.bucket)
            .extend(key.parts());
        url
    }

    fn resumable(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(path);
        self.calls.request(method, url).header("tus-resumable", "1.0.0")
    }
}

impl fmt::Display for Supabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STORE}({})", self.bucket)
    }
}

#[async_trait]
impl ObjectStore for Supabase {
    /// Puts an object and never replaces one: each key is put once, so an object that is there already is an error.
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if matches!(opts.mode, PutMode::Update(_)) {
            return Err(not_implemented("put_opts of a version"));
        }
        let content_type = opts.attributes.get(&Attribute::ContentType).map_or(DEFAULT_CONTENT_TYPE, AsRef::as_ref);
        let request = self
            .calls
            .post(self.url("object", location))
            .header(CONTENT_TYPE, content_type)
            .timeout(PUT_TIMEOUT)
            .body(Bytes::from(payload));
        accepted(request.send().await, location.as_ref()).await?;
        Ok(PutResult { e_tag: None, version: None, extensions: Extensions::default() })
    }

    /// Not implemented: a resumable upload needs its length first, which this method is not given. See
    /// [`Supabase::begin_resumable`].
    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(not_implemented("put_multipart_opts"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let GetOptions {
            range,
            head,
            if_match: None,
            if_none_match: None,
            if_modified_since: None,
            if_unmodified_since: None,
            version: None,
            ..
        } = options
        else {
            return Err(not_implemented("get_opts with conditions"));
        };
        if head {
            let meta = self.info(location).await?;
            return Ok(get_result(0..meta.size, meta, stream::empty().boxed()));
        }
        let mut request = self.reads.get(self.url("object/authenticated", location));
        if let Some(range) = &range {
            range.is_valid().map_err(generic)?;
            request = request.header(RANGE, range.to_string());
        }
        let response = accepted(send_with_retry(request).await, location.as_ref()).await?;
        let (range, size) = match (range, response.content_length()) {
            (Some(range), _) => requested_range(&response, &range)?,
            (None, Some(size)) => (0..size, size),
            // A proxy may send the bytes without their length.
            (None, None) => self.info(location).await.map(|meta| (0..meta.size, meta.size))?,
        };
        // A missing or unreadable date is no reason to fail the read.
        let modified = response.headers().typed_get::<LastModified>().map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: modified.into(),
            size,
            e_tag: header(&response, ETAG.as_str()).map(str::to_owned),
            version: None,
        };
        Ok(get_result(range, meta, response.bytes_stream().map_err(generic).boxed()))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let deleted = locations.map(move |location| {
            let store = store.clone();
            async move {
                let location = location?;
                let answer = store.calls.delete(store.url("object", &location)).send().await;
                accepted(answer, location.as_ref()).await?;
                Ok::<_, Error>(location)
            }
        });
        deleted.buffered(DELETES_AT_ONCE).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = self.clone();
        let ahead = vec![(prefix.cloned().unwrap_or_default(), 0)];
        let pages = stream::try_unfold(ahead, move |mut ahead| {
            let store = store.clone();
            async move {
                let Some((folder, offset)) = ahead.pop() else { return Ok(None) };
                let page = store.page(&folder, offset).await?;
                if page.len() >= PAGE_ENTRIES {
                    ahead.push((folder.clone(), offset + page.len()));
                }
                let mut objects = Vec::new();
                for entry in page {
                    let location = entry.location(&folder)?;
                    if entry.id.is_none() {
                        ahead.push((location, 0));
                    } else {
                        objects.push(entry.into_meta(location)?);
                    }
                }
                Ok::<_, Error>(Some((stream::iter(objects.into_iter().map(Ok::<_, Error>)), ahead)))
            }
        });
        pages.try_flatten().boxed()
    }

    /// Not implemented: no caller lists a single level.
    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(not_implemented("list_with_delimiter"))
    }

    /// Not implemented: no caller copies objects, because each key has its own object.
    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(not_implemented("copy_opts"))
    }
}

fn get_result(range: Range<u64>, meta: ObjectMeta, bytes: BoxStream<'static, Result<Bytes>>) -> GetResult {
    GetResult {
        payload: GetResultPayload::Stream(bytes),
        meta,
        range,
        attributes: Attributes::default(),
        extensions: Extensions::default(),
    }
}

/// Makes the value of a header that `Debug` does not print.
fn secret(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(text).map_err(generic)?;
    value.set_sensitive(true);
    Ok(value)
}

fn generic(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: STORE, source: source.into() }
}

fn not_implemented(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: STORE.to_owned() }
}
