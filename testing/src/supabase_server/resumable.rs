//! Resumable uploads with the tus protocol. Unlike the other routes, this one answers with real statuses and plain
//! text.

use std::{collections::HashMap, mem};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hyper::{
    Response,
    http::{request::Parts, response::Builder},
};
use uuid::Uuid;

use super::{
    State, SupabaseServer, Upload,
    answers::{Answer, body, header, is_valid, text},
};

const CHUNK_BYTES: usize = 6 * 1024 * 1024;

impl State {
    pub(super) fn resumable(&mut self, head: &Parts, id: &str, chunk: &Bytes) -> Answer {
        if header(head, "tus-resumable") != "1.0.0" {
            return text(412, "Tus-Resumable Required");
        }
        if head.method == "POST" && id.is_empty() {
            return self.begin(head);
        }
        let Some(upload) = self.uploads.get_mut(id) else {
            return text(404, "The file for this url was not found");
        };
        let offset = if upload.complete { upload.length } else { upload.received.len() };
        let end = offset + chunk.len();
        match head.method.as_str() {
            "HEAD" => return body(progress(200, offset).header("upload-length", upload.length), Bytes::new()),
            "DELETE" if upload.complete => return text(400, "Cannot terminate an already completed upload"),
            "DELETE" => {
                self.uploads.remove(id);
                return body(Response::builder().status(204), Bytes::new());
            }
            "PATCH" if header(head, "upload-offset") != offset.to_string() => {
                return text(409, "Upload-Offset conflict");
            }
            "PATCH" if end > upload.length => return text(413, "Maximum size exceeded"),
            "PATCH" if end < upload.length && chunk.len() != CHUNK_BYTES => return text(400, "Chunks have 6 MB"),
            "PATCH" if self.objects.contains_key(&upload.key) => return text(409, "The resource already exists"),
            "PATCH" => upload.received.extend_from_slice(chunk),
            _ => return text(404, "no such route"),
        }
        if end < upload.length {
            return body(progress(204, end), Bytes::new());
        }
        upload.complete = true;
        let (key, content_type) = (upload.key.clone(), upload.content_type.clone());
        let bytes = mem::take(&mut upload.received).into();
        self.keep(key, content_type, bytes);
        body(progress(204, end).header("tus-complete", "1"), Bytes::new())
    }

    fn begin(&mut self, head: &Parts) -> Answer {
        let Ok(length) = header(head, "upload-length").parse::<usize>() else {
            return text(400, "Upload-Length or Upload-Defer-Length header required");
        };
        let metadata: HashMap<_, _> = header(head, "upload-metadata").split(',').filter_map(metadatum).collect();
        let given = |name: &str| metadata.get(name).cloned().unwrap_or_default();
        let (bucket, key, content_type) = (given("bucketName"), given("objectName"), given("contentType"));
        if bucket != SupabaseServer::BUCKET {
            return text(404, "Bucket not found");
        }
        if !is_valid(&key) {
            return text(400, "Invalid key");
        }
        if length > self.size_limit {
            return text(413, "Maximum size exceeded");
        }
        if self.allowed.as_ref().is_some_and(|allowed| *allowed != content_type) {
            return text(415, "mime type is not supported");
        }
        if self.objects.contains_key(&key) {
            return text(409, "The resource already exists");
        }
        let id = Uuid::new_v4().simple().to_string();
        // The real server in production always answers with an https URL, even to a request over http.
        let location = format!("https://{}/storage/v1/upload/resumable/{id}", self.address);
        self.uploads.insert(id, Upload { key, content_type, length, received: Vec::new(), complete: false });
        body(progress(201, 0).header("location", location), Bytes::new())
    }
}

/// Parses one pair of Upload-Metadata: `name base64`.
fn metadatum(pair: &str) -> Option<(&str, String)> {
    let (name, value) = pair.split_once(' ')?;
    Some((name, String::from_utf8(BASE64_STANDARD.decode(value).ok()?).ok()?))
}

fn progress(status: u16, offset: usize) -> Builder {
    Response::builder().status(status).header("tus-resumable", "1.0.0").header("upload-offset", offset)
}
