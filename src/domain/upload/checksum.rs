//! The header `Upload-Checksum`.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::domain::problem::Problem;

/// What a chunk's bytes must hash to. A digest of another length than its algorithm's is one that no bytes match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksum {
    Sha1(Vec<u8>),
    Sha256(Vec<u8>),
}

impl Checksum {
    /// The algorithms as tus lists them.
    pub const ALGORITHMS: &'static str = "sha1,sha256";

    /// `sha256 <base64>`, as the checksum extension of tus has it.
    ///
    /// # Errors
    /// `BadRequest` for an algorithm that is not listed, and for a digest that is not base64.
    pub fn parse(header: &[u8]) -> Result<Self, Problem> {
        Self::read(header).ok_or_else(|| {
            let algorithms = Self::ALGORITHMS;
            Problem::BadRequest(format!(
                "The header Upload-Checksum has to be one of {algorithms} and a digest in base64."
            ))
        })
    }

    fn read(header: &[u8]) -> Option<Self> {
        let text = str::from_utf8(header).ok().filter(|text| text.is_ascii())?;
        let (algorithm, digest) = text.trim().split_once(' ')?;
        let digest = BASE64_STANDARD.decode(digest.trim()).ok()?;
        match algorithm {
            "sha1" => Some(Self::Sha1(digest)),
            "sha256" => Some(Self::Sha256(digest)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_a_known_algorithm_and_a_digest_in_base64() {
        assert_eq!(Checksum::parse(b"sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="), Ok(Checksum::Sha1(vec![0; 20])));
        let sha256 = b"sha256 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert_eq!(Checksum::parse(sha256), Ok(Checksum::Sha256(vec![0; 32])));
        // Bytes decide what it matches: none, if it is too short or too long.
        assert_eq!(Checksum::parse(b"sha256 AAAA"), Ok(Checksum::Sha256(vec![0; 3])));
        for header in ["sha1 AAA", "sha256 !", "sha256", "SHA1 AAAA", "md5 AAAAAAAAAAAAAAAAAAAAAA==", ""] {
            assert_eq!(Checksum::parse(header.as_bytes()).unwrap_err().status(), 400, "{header}");
        }
    }
}
