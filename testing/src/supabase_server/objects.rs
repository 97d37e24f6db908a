//! Puts, reads, lists, signs and deletes objects.

use std::{
    collections::BTreeMap,
    mem,
    ops::Range,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use hyper::{
    Response,
    http::{HeaderValue, request::Parts},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Object, State, SupabaseServer,
    answers::{Answer, body, error_response, header, internal_error, json, text},
};

/// The creation time of every object, in the two formats that the server uses.
const MADE: &str = "2026-11-01T12:00:00.000Z";
const MADE_HTTP: &str = "Sun, 01 Nov 2026 12:00:00 GMT";

impl State {
    pub(super) fn put(&mut self, head: &Parts, key: String, body: Bytes) -> Answer {
        let content_type = header(head, "content-type").to_owned();
        if key.split('/').any(|segment| segment.len() > 255) {
            return internal_error();
        }
        if body.len() > self.size_limit {
            let message = "The object exceeded the maximum allowed size";
            return error_response("413", "Payload too large", message, "EntityTooLarge");
        }
        if self.allowed.as_ref().is_some_and(|allowed| *allowed != content_type) {
            let message = format!("mime type {content_type} is not supported");
            return error_response("415", "invalid_mime_type", &message, "InvalidMimeType");
        }
        if self.objects.contains_key(&key) && header(head, "x-upsert") != "true" {
            return error_response("409", "Duplicate", "The resource already exists", "KeyAlreadyExists");
        }
        let full_key = format!("{}/{key}", SupabaseServer::BUCKET);
        let id = self.keep(key, content_type, body);
        json(200, &json!({ "Key": full_key, "Id": id }))
    }

    pub(super) fn keep(&mut self, key: String, content_type: String, mut bytes: Bytes) -> Uuid {
        if mem::take(&mut self.stores_truncated) {
            bytes.truncate(bytes.len().saturating_sub(1));
        }
        if mem::take(&mut self.stores_corrupted) {
            let mut other = bytes.to_vec();
            if let Some(last) = other.last_mut() {
                *last ^= 1;
            }
            bytes = other.into();
        }
        let id = Uuid::new_v4();
        self.objects.insert(key, Object { id, bytes, content_type, file_is_gone: false });
        id
    }

    pub(super) fn read(&self, head: &Parts, key: &str) -> Answer {
        let object = &self.objects[key];
        let (bytes, e_tag, size) = (&object.bytes, object.e_tag(), object.bytes.len());
        let answer = Response::builder()
            .header("accept-ranges", "bytes")
            .header("content-type", &object.content_type)
            .header("etag", &e_tag)
            .header("last-modified", MADE_HTTP);
        if head.method == "HEAD" {
            return body(answer, bytes.clone());
        }
        if object.file_is_gone {
            return internal_error();
        }
        if header(head, "if-none-match") == e_tag {
            return body(answer.status(304), Bytes::new());
        }
        match header(head, "range") {
            "" => body(answer, bytes.clone()),
            asked => match range(asked, size) {
                None => text(416, "The requested range is not satisfiable"),
                Some(range) => {
                    let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                    body(answer.status(206).header("content-range", content_range), bytes.slice(range))
                }
            },
        }
    }

    pub(super) fn sign(&self, key: &str, asked: &Value) -> Answer {
        let expires = self.now() + asked["expiresIn"].as_u64().expect("a lifetime in seconds");
        let (bucket, token) = (SupabaseServer::BUCKET, token(key, expires));
        json(200, &json!({ "signedURL": format!("/object/sign/{bucket}/{key}?token={token}") }))
    }

    pub(super) fn read_signed(&self, head: &Parts, key: &str) -> Answer {
        let given = head.uri.query().and_then(|query| query.split('&').find_map(|part| part.strip_prefix("token=")));
        let given = given.unwrap_or_default();
        let expires = given.split('.').next().and_then(|expires| expires.parse().ok()).unwrap_or_default();
        if given != token(key, expires) {
            error_response("400", "InvalidSignature", "The url does not match the signature", "InvalidSignature")
        } else if expires <= self.now() {
            error_response("400", "InvalidJWT", "\"exp\" claim timestamp check failed", "InvalidJWT")
        } else {
            let mut answer = self.read(head, key);
            let asked =
                head.uri.query().and_then(|query| query.split('&').find_map(|part| part.strip_prefix("download=")));
            if let Some(name) = asked {
                // Supabase decodes the name and encodes it again, without quotes.
                let disposition = match name {
                    "" => "attachment".to_owned(),
                    name => format!("attachment; filename={name}; filename*=UTF-8''{name};"),
                };
                let disposition = HeaderValue::from_str(&disposition).expect("an address is ASCII");
                answer.headers_mut().insert("content-disposition", disposition);
            }
            answer
        }
    }

    fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is later than 1970");
        (since + self.clock_ahead).as_secs()
    }

    pub(super) fn list(&self, bucket: &str, asked: &Value) -> Value {
        let prefix = match asked["prefix"].as_str().unwrap_or_default().trim_end_matches('/') {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        let mut entries = BTreeMap::new();
        for (key, object) in self.objects.iter().filter(|_| bucket == SupabaseServer::BUCKET) {
            match key.strip_prefix(&prefix).map(|name| name.split_once('/').ok_or(name)) {
                Some(Ok((folder, _))) => entries.entry(folder).or_insert(Value::Null),
                Some(Err(name)) => entries.entry(name).or_insert(object.entry()),
                None => continue,
            };
        }
        let (limit, offset) = (asked["limit"].as_u64().unwrap_or(100), asked["offset"].as_u64().unwrap_or(0));
        let page = entries.into_iter().skip(offset as usize).take(limit as usize);
        page.map(|(name, mut entry)| {
            if entry.is_null() {
                entry = json!({ "id": null, "updated_at": null, "metadata": null });
            }
            entry["name"] = name.into();
            entry
        })
        .collect()
    }

    pub(super) fn delete_many(&mut self, asked: &Value) -> Value {
        let keys = asked["prefixes"].as_array().expect("a list of keys").iter().filter_map(Value::as_str);
        keys.filter_map(|key| Some(self.objects.remove(key)?.info(key))).collect()
    }
}

impl Object {
    fn e_tag(&self) -> String {
        format!("\"{}\"", &hex::encode(Sha256::digest(&self.bytes))[..32])
    }

    pub(super) fn info(&self, key: &str) -> Value {
        json!({
            "id": self.id, "name": key, "version": self.id, "bucket_id": SupabaseServer::BUCKET,
            "size": self.bytes.len(), "content_type": self.content_type, "cache_control": "no-cache",
            "etag": self.e_tag(), "metadata": {}, "last_modified": MADE, "created_at": MADE,
        })
    }

    fn entry(&self) -> Value {
        json!({
            "id": self.id, "updated_at": MADE, "created_at": MADE, "last_accessed_at": MADE,
            "metadata": { "eTag": self.e_tag(), "size": self.bytes.len(), "mimetype": self.content_type },
        })
    }
}

fn range(header: &str, size: usize) -> Option<Range<usize>> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first, last) {
        ("", length) => size.saturating_sub(length.parse().ok()?)..size,
        (first, "") => first.parse().ok()?..size,
        (first, last) => first.parse().ok()?..size.min(last.parse::<usize>().ok()? + 1),
    };
    (range.start < range.end).then_some(range)
}

fn token(key: &str, expires: u64) -> String {
    format!("{expires}.{}", hex::encode(Sha256::digest(format!("{}/{key}/{expires}", SupabaseServer::KEY))))
}
