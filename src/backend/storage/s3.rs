//! Objects in a bucket of S3, or of another server that speaks its protocol.

use std::{path::Path, time::Duration};

use object_store::{
    Attribute, AttributeValue, Attributes, ClientOptions, ObjectStore, PutMultipartOptions, PutOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    multipart::MultipartStore,
    path::Path as Key,
    signer::{Method, SignedUrlOptions, Signer},
};
use tokio::fs::File;

use super::{file_parts::read_part, no_bucket, objects::IntendedObject};
use crate::{
    backend::{Result, S3Settings},
    domain::download::content_disposition,
};

/// The size of a part of a multipart upload, of which one part is in memory at a time. A file of at most this size goes
/// up in one request. S3 allows parts from 5 MiB and 10,000 parts per upload.
const PART_BYTES: usize = 8 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest silence within an answer, and the longest time from the start of a request to its answer. A part has to
/// be sent within this time on a slow connection.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
/// The retries of one request. They bridge a short failure only: the queue retries jobs with its own backoff.
const RETRIES: usize = 1;
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct S3 {
    pub(super) store: AmazonS3,
    /// The origin of signed addresses: `scheme://host[:port]`.
    pub(super) origin: Option<String>,
}

impl S3 {
    pub(super) fn open(settings: &S3Settings) -> Result<Self> {
        let client = ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_read_timeout(READ_TIMEOUT)
            .with_timeout_disabled();
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
        let mut builder =
            AmazonS3Builder::new().with_bucket_name(&settings.bucket).with_client_options(client).with_retry(retry);
        for (name, value) in &settings.options {
            // Not every variable called `AWS_…` is an option of this client.
            if let Ok(option) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(option, value);
            }
        }
        let origin = origin(&builder, &settings.bucket);
        Ok(Self { store: builder.build()?, origin })
    }

    /// Puts a file. `on_multipart_begun` gets the id of a multipart upload before its first part is sent, so that the
    /// reaper can abort an upload that a killed process left open.
    pub(super) async fn put_file(
        &self,
        object: &IntendedObject,
        path: &Path,
        on_multipart_begun: impl AsyncFnOnce(&str) -> Result<()>,
    ) -> Result<()> {
        let (key, attributes) = (Key::from(object.key.as_str()), attributes(object));
        let mut file = File::open(path).await?;
        if object.size_bytes <= PART_BYTES as i64 {
            let bytes = read_part(&mut file, PART_BYTES).await?;
            let options = PutOptions { attributes, ..PutOptions::default() };
            self.store.put_opts(&key, bytes.into(), options).await.map_err(no_bucket)?;
            return Ok(());
        }
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let upload = self.store.create_multipart_opts(&key, options).await.map_err(no_bucket)?;
        if let Err(error) = on_multipart_begun(&upload).await {
            // The id is recorded nowhere, so only this call can abort the upload. Best effort: otherwise the bucket's
            // lifecycle rule ends it.
            let _ = self.abort_multipart(&key, &upload).await;
            return Err(error);
        }
        let mut parts = Vec::new();
        loop {
            let part = read_part(&mut file, PART_BYTES).await?;
            if part.is_empty() {
                break;
            }
            parts.push(self.store.put_part(&key, &upload, parts.len(), part.into()).await?);
            fail::fail_point!("object-half-put");
        }
        match self.store.complete_multipart(&key, &upload, parts).await {
            // The answer was lost, and the retry finds no open upload. Reading the object back shows whether it is
            // complete.
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn abort_multipart(&self, key: &Key, upload: &str) -> Result<()> {
        match self.store.abort_multipart(key, &upload.to_owned()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            // Some servers deny the abort of an upload that is over. If it is not over, the bucket's lifecycle rule
            // ends it.
            Err(error @ object_store::Error::PermissionDenied { .. }) => {
                tracing::warn!(
                    object.key = %key,
                    error = ?error,
                    "aborting a multipart upload was denied; it is over, or the bucket's lifecycle rule ends it"
                );
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns an address that gives the object to anybody who has it, for `lifetime`. A browser saves the object as
    /// `name`, or as the last part of its key.
    pub(super) async fn signed_url(&self, key: &Key, name: Option<&str>, lifetime: Duration) -> Result<String> {
        let disposition = name.map(|name| ("response-content-disposition", content_disposition(name)));
        let options = SignedUrlOptions::default().with_query(disposition);
        let address = self.store.signed_url_opts(Method::GET, key, lifetime, &options).await?;
        // The plus sign stands for a space in forms only. Not every server reads it so in an address, and the signature
        // covers "%20".
        Ok(address.as_str().replace('+', "%20"))
    }
}

fn origin(builder: &AmazonS3Builder, bucket: &str) -> Option<String> {
    let value = |key| builder.get_config_value(&key);
    let by_host = value(AmazonS3ConfigKey::VirtualHostedStyleRequest)
        .is_some_and(|value| ["true", "1", "yes", "on", "y", "t"].iter().any(|on| value.eq_ignore_ascii_case(on)));
    // The host of a configured endpoint already names the bucket, or the path does.
    let endpoint = value(AmazonS3ConfigKey::S3Endpoint).or_else(|| value(AmazonS3ConfigKey::Endpoint));
    let address = endpoint.unwrap_or_else(|| {
        let region = value(AmazonS3ConfigKey::Region).unwrap_or_else(|| "us-east-1".into());
        let host = format!("s3.{region}.amazonaws.com");
        if by_host { format!("https://{bucket}.{host}") } else { format!("https://{host}") }
    });
    Some(object_store::signer::Url::parse(&address).ok()?.origin().ascii_serialization())
}

/// The headers of the answer to a signed address: the media type that the validation found, and `attachment`, so that a
/// browser saves the object and never runs it.
pub(super) fn attributes(object: &IntendedObject) -> Attributes {
    Attributes::from_iter([
        (Attribute::ContentType, AttributeValue::from(object.content_type.clone())),
        (Attribute::ContentDisposition, "attachment".into()),
    ])
}
