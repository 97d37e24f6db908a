//! The header `Upload-Checksum`.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::domain::problem::Problem;

/// What a chunk's bytes must hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksum {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

impl Checksum {
    /// The algorithms as tus lists them.
    pub const ALGORITHMS: &'static str = "sha1,sha256";

    /// `sha256 <base64>`, as the checksum extension of tus has it.
    ///
    /// # Errors
    /// 400 for anything else, and for a digest of another length than its algorithm's.
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
            "sha1" => digest.try_into().ok().map(Self::Sha1),
            "sha256" => digest.try_into().ok().map(Self::Sha256),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_has_the_length_of_its_algorithm() {
        assert_eq!(Checksum::parse(b"sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="), Ok(Checksum::Sha1([0; 20])));
        let sha256 = b"sha256 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert_eq!(Checksum::parse(sha256), Ok(Checksum::Sha256([0; 32])));
        for header in [
            "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "sha256 AAAA",
            "sha256 !",
            "sha256",
            "md5 AAAAAAAAAAAAAAAAAAAAAA==",
            "",
        ] {
            assert_eq!(Checksum::parse(header.as_bytes()).unwrap_err().status(), 400, "{header}");
        }
    }
}
