//! The header `Upload-Metadata`.

use std::collections::HashMap;

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::domain::problem::Problem;

/// `key base64, key base64, key`, as the creation extension of tus has it.
///
/// # Errors
/// `BadRequest` for anything else, and for a key that comes twice.
pub fn parse_metadata(header: &[u8]) -> Result<HashMap<String, String>, Problem> {
    let bad =
        || Problem::BadRequest("The header Upload-Metadata has to be pairs of a key and its value in base64.".into());
    let text = str::from_utf8(header).ok().filter(|text| text.is_ascii()).ok_or_else(bad)?;
    let mut metadata = HashMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        if key.contains(char::is_whitespace) {
            return Err(bad());
        }
        let bytes = BASE64_STANDARD.decode(value.trim()).map_err(|_| bad())?;
        // A value under a key that is not ours may be any bytes, so bytes that are not text pass here. The code that
        // reads one of our keys checks its value.
        let value = String::from_utf8_lossy(&bytes).into_owned();
        if metadata.insert(key.to_owned(), value).is_some() {
            return Err(bad());
        }
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_as_the_protocol_has_it() {
        let read = |text: &str| parse_metadata(text.as_bytes());
        let metadata = read("filename bmlnaHQgYnVzLndhdg==,is_confidential, target YXVkaW86MQ==").unwrap();
        assert_eq!(metadata["filename"], "night bus.wav");
        assert_eq!(metadata["is_confidential"], "");
        assert_eq!(metadata["target"], "audio:1");
        for text in ["filename !!!", "filename YQ", "filename\tYQ==", "a YQ==,a YQ==", "a,a", "schlüssel YQ=="] {
            assert_eq!(read(text).unwrap_err().status(), 400, "{text}");
        }
        assert!(read("").unwrap().is_empty());
        assert_eq!(read("thumbnail //8=").unwrap()["thumbnail"], "\u{FFFD}\u{FFFD}");
    }
}
