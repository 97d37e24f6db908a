//! Parses the server's answers: errors, bodies and headers.

use std::{ops::Range, time::Duration};

use headers::{ContentRange, HeaderMapExt};
use object_store::{Error, GetRange, ObjectMeta, Result, path::Path};
use rand::Rng;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error as ThisError;

use super::generic;

const RETRY_PAUSE_MS: Range<u64> = 100..400;
/// The bytes of an error's body that are read.
const ERROR_BODY_BYTES: usize = 4 * 1024;

/// An error in the server's words. [`SupabaseError::into_error`] keeps it as the source of an [`Error`].
#[derive(Debug, ThisError)]
#[error("the server answered {status} {code}: {message}")]
pub(in crate::backend) struct SupabaseError {
    pub(in crate::backend) status: u16,
    pub(in crate::backend) code: String,
    pub(in crate::backend) message: String,
}

impl SupabaseError {
    async fn read(mut response: Response) -> Self {
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while body.len() < ERROR_BODY_BYTES
            && let Ok(Some(bytes)) = response.chunk().await
        {
            body.extend_from_slice(&bytes);
        }
        body.truncate(ERROR_BODY_BYTES);
        Self::parse(status, &body)
    }

    pub(in crate::backend) fn parse(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(told) => {
                Self { status: told.status_code.parse().unwrap_or(status), code: told.code, message: told.message }
            }
            // Resumable uploads and gateways answer in plain text.
            Err(_) => Self { status, code: String::new(), message: String::from_utf8_lossy(body).trim().to_owned() },
        }
    }

    pub(in crate::backend) fn into_error(self, path: &str) -> Error {
        let path = path.to_owned();
        match (self.code.as_str(), self.status) {
            // A 404 without this code does not count: it may come from a server at this address that is no storage at
            // all.
            ("NoSuchKey", _) => Error::NotFound { path, source: self.into() },
            ("KeyAlreadyExists", _) => Error::AlreadyExists { path, source: self.into() },
            ("", 409) if self.message.contains("already exists") => Error::AlreadyExists { path, source: self.into() },
            ("", 409) => Error::Precondition { path, source: self.into() },
            ("AccessDenied", _) => Error::PermissionDenied { path, source: self.into() },
            ("InvalidJWT" | "InvalidSignature", _) | ("", 401 | 403) => {
                Error::Unauthenticated { path, source: self.into() }
            }
            ("NoSuchBucket", _) => {
                generic(Self { message: "the bucket does not exist; create it, as a private one".into(), ..self })
            }
            // These errors are about one object, so they count as a failure of its job and not as an outage.
            ("InvalidKey", _) | ("EntityTooLarge" | "InvalidMimeType", _) | ("", 413 | 415) => {
                Error::NotSupported { source: self.into() }
            }
            _ => generic(self),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ErrorBody {
    status_code: String,
    code: String,
    message: String,
}

#[derive(Deserialize)]
pub(super) struct Signed {
    #[serde(rename = "signedURL")]
    pub(super) signed_url: String,
}

#[derive(Deserialize)]
pub(super) struct Info {
    pub(super) size: u64,
    pub(super) etag: Option<String>,
    pub(super) last_modified: String,
}

/// An entry of a folder: an object or, without an id, a folder in it.
#[derive(Deserialize)]
pub(in crate::backend) struct Entry {
    pub(super) id: Option<String>,
    name: String,
    updated_at: Option<String>,
    metadata: Option<EntryMetadata>,
}

#[derive(Deserialize)]
struct EntryMetadata {
    size: u64,
    #[serde(rename = "eTag")]
    e_tag: Option<String>,
}

impl Entry {
    pub(in crate::backend) fn location(&self, folder: &Path) -> Result<Path> {
        if self.name.is_empty() {
            // Its path would be its folder's path, and the listing would never end.
            return Err(generic(format!("an entry of {folder} has no name")));
        }
        Ok(Path::parse(format!("{folder}/{}", self.name))?)
    }

    pub(in crate::backend) fn into_meta(self, location: Path) -> Result<ObjectMeta> {
        let (Some(metadata), Some(updated_at)) = (self.metadata, self.updated_at) else {
            return Err(generic(format!("{location} is listed without its size")));
        };
        Ok(ObjectMeta {
            location,
            last_modified: updated_at.parse().map_err(generic)?,
            size: metadata.size,
            e_tag: metadata.e_tag,
            version: None,
        })
    }
}

/// Sends a request that changes nothing. Retries once after a short random pause if the request or its answer was lost,
/// or if the server failed.
pub(super) async fn send_with_retry(request: RequestBuilder) -> reqwest::Result<Response> {
    let again = request.try_clone();
    let first = request.send().await;
    let failed = match &first {
        Ok(response) => response.status().is_server_error(),
        Err(error) => !error.is_builder(),
    };
    let Some(again) = again.filter(|_| failed) else { return first };
    let pause = rand::rng().random_range(RETRY_PAUSE_MS);
    tokio::time::sleep(Duration::from_millis(pause)).await;
    again.send().await
}

pub(super) async fn accepted(answer: reqwest::Result<Response>, path: &str) -> Result<Response> {
    let response = answer.map_err(generic)?;
    if response.status().is_success() {
        Ok(response)
    } else {
        Err(SupabaseError::read(response).await.into_error(path))
    }
}

/// Like [`accepted`], for a resumable upload that was begun: a bare 404 or 410 means that the upload is over.
pub(super) async fn accepted_upload(answer: reqwest::Result<Response>, upload: &str) -> Result<Response> {
    let response = answer.map_err(generic)?;
    match response.status() {
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            Err(Error::NotFound { path: upload.to_owned(), source: SupabaseError::read(response).await.into() })
        }
        _ => accepted(Ok(response), upload).await,
    }
}

pub(super) async fn answer<T: DeserializeOwned>(answer: reqwest::Result<Response>, key: &Path) -> Result<T> {
    accepted(answer, key.as_ref()).await?.json().await.map_err(generic)
}

/// Returns the range in the answer and the size of the object.
///
/// # Errors
/// If the answer holds another range than the wanted one, or the whole object.
pub(super) fn requested_range(response: &Response, wanted: &GetRange) -> Result<(Range<u64>, u64)> {
    let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
    let came = response.headers().typed_get::<ContentRange>().filter(|_| is_part);
    let came = came.and_then(|came| Some((came.bytes_range()?, came.bytes_len()?)));
    let Some(((first, last), size)) = came else { return Err(generic("a range was asked for, and none came")) };
    let expected = wanted.as_range(size).map_err(generic)?;
    let is_expected = (first, last.checked_add(1)) == (expected.start, Some(expected.end));
    if !is_expected || response.content_length().is_some_and(|length| length != expected.end - expected.start) {
        return Err(generic(format!("the bytes {expected:?} were asked for, and {first} to {last} came")));
    }
    Ok((expected, size))
}

pub(super) fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

pub(super) fn number(response: &Response, name: &str) -> Option<u64> {
    header(response, name)?.parse().ok()
}
