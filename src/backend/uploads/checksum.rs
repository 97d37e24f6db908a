//! Computes the checksum that a client sends with a chunk, while the chunk arrives.

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::domain::upload::Checksum;

/// A checksum that is updated with each piece of a chunk, and the digest that the client sent.
pub(super) enum RunningChecksum {
    Sha1(Sha1, Vec<u8>),
    Sha256(Sha256, Vec<u8>),
}

impl RunningChecksum {
    pub(super) fn of(checksum: Checksum) -> Self {
        match checksum {
            Checksum::Sha1(digest) => Self::Sha1(Sha1::new(), digest),
            Checksum::Sha256(digest) => Self::Sha256(Sha256::new(), digest),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hash, _) => hash.update(bytes),
            Self::Sha256(hash, _) => hash.update(bytes),
        }
    }

    pub(super) fn matches(self) -> bool {
        match self {
            Self::Sha1(hash, digest) => hash.finalize()[..] == digest[..],
            Self::Sha256(hash, digest) => hash.finalize()[..] == digest[..],
        }
    }
}
