//! Helpers that read requests and build responses.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response,
    http::{request::Parts, response::Builder},
};
use object_store::path::Path;
use serde_json::{Value, json};

pub(super) type Answer = Response<Full<Bytes>>;

/// Decodes a key from a URL. `None` if the server would refuse it.
pub(super) fn decoded(key: &str) -> Option<String> {
    let decoded = Path::from_url_path(key).ok()?.to_string();
    is_valid(&decoded).then_some(decoded)
}

pub(super) fn is_valid(key: &str) -> bool {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "_/!-.*'() &$@=;:+,?".contains(letter);
    Path::parse(key).is_ok_and(|path| !path.is_root()) && key.chars().all(is_allowed)
}

pub(super) fn header<'a>(head: &'a Parts, name: &str) -> &'a str {
    head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

pub(super) fn parsed(body: &Bytes) -> Value {
    serde_json::from_slice(body).expect("the body is JSON")
}

pub(super) fn no_such_key() -> Answer {
    error_response("404", "not_found", "Object not found", "NoSuchKey")
}

pub(super) fn internal_error() -> Answer {
    error_with_status(500, "500", "Internal", "Internal Server Error", "InternalError")
}

/// Supabase's error response: always HTTP 400, with the real status in the body.
pub(super) fn error_response(status_code: &str, error: &str, message: &str, code: &str) -> Answer {
    error_with_status(400, status_code, error, message, code)
}

pub(super) fn error_with_status(status: u16, status_code: &str, error: &str, message: &str, code: &str) -> Answer {
    json(status, &json!({ "statusCode": status_code, "error": error, "message": message, "code": code }))
}

pub(super) fn json(status: u16, value: &Value) -> Answer {
    let answer = Response::builder().status(status).header("content-type", "application/json; charset=utf-8");
    body(answer, value.to_string().into())
}

pub(super) fn text(status: u16, text: &'static str) -> Answer {
    let answer = Response::builder().status(status).header("content-type", "text/plain; charset=utf-8");
    body(answer, Bytes::from_static(text.as_bytes()))
}

pub(super) fn body(answer: Builder, bytes: Bytes) -> Answer {
    answer.body(Full::new(bytes)).expect("statuses and headers are valid")
}
