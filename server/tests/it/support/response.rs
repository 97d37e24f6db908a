//! A response, and what a test expects of it.

use bytes::Bytes;
use http::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[derive(Debug)]
pub(crate) struct TestResponse {
    /// Method and path of the request, for messages.
    pub(crate) asked: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl TestResponse {
    #[track_caller]
    pub(crate) fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{}: {error}: {} {}", self.asked, self.status, self.text()),
        }
    }

    /// Returns the value of a successful response.
    #[track_caller]
    pub(crate) fn ok<T: DeserializeOwned>(self) -> T {
        self.expect_status(200).json()
    }

    pub(crate) fn request_id(&self) -> &str {
        self.header("x-request-id").unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the body of an error, which must be an error envelope.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let error: Value = self.json();
        let envelope = error.as_object().unwrap_or_else(|| panic!("{}: {}", self.asked, self.text()));
        for key in ["error", "message", "requestId"] {
            assert!(
                envelope.get(key).is_some_and(|value| value.is_string() && value != ""),
                "{}: no {key} in {error}",
                self.asked
            );
        }
        assert_eq!(envelope["statusCode"], self.status, "{}: {error}", self.asked);
        assert_eq!(self.header("x-request-id"), envelope["requestId"].as_str(), "{}", self.asked);
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.asked);
        let known = ["statusCode", "error", "message", "requestId", "fields", "retryAfter", "limitedBy"];
        assert!(envelope.keys().all(|key| known.contains(&key.as_str())), "{}: {error}", self.asked);
        error
    }

    #[track_caller]
    pub(crate) fn message(&self) -> String {
        self.error()["message"].as_str().unwrap().to_owned()
    }

    /// Returns the error without its request id, to compare two responses that must look the same.
    #[track_caller]
    pub(crate) fn anonymous_error(&self) -> Value {
        let mut error = self.error();
        error["requestId"] = Value::Null;
        error
    }

    #[track_caller]
    pub(crate) fn expect_error(self, status: u16, words: &str) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        let message = self.message();
        assert!(message.contains(words), "{}: “{message}” does not say “{words}”", self.asked);
        self
    }

    /// Expects 400 with a message for this field.
    #[track_caller]
    pub(crate) fn expect_field_error(self, field: &str) -> Self {
        assert_eq!(self.status, 400, "{}: {}", self.asked, self.text());
        let error = self.error();
        assert!(error["fields"][field].is_string(), "{}: no {field} in {error}", self.asked);
        self
    }

    #[track_caller]
    pub(crate) fn field_errors(&self) -> Vec<String> {
        let fields = &self.error()["fields"];
        fields.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
    }
}
