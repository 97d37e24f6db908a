//! Helpers for the tus protocol.

use base64::{Engine, prelude::BASE64_STANDARD};

/// Encodes pairs as the header `Upload-Metadata`.
pub(crate) fn metadata(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{key} {}", BASE64_STANDARD.encode(value))).collect();
    pairs.join(",")
}
