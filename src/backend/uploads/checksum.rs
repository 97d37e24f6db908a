//! The checksum that a client sends with a chunk.

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What a chunk's bytes must hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    digest: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
}

impl Checksum {
    /// The algorithms as the tus protocol lists them.
    pub const ALGORITHMS: &'static str = "sha1,sha256";

    /// By the algorithm's name; `None` for one that is not on the list, and for a digest of another length than its own.
    pub fn new(algorithm: &str, digest: Vec<u8>) -> Option<Self> {
        let (algorithm, length) = match algorithm {
            "sha1" => (Algorithm::Sha1, <Sha1 as Digest>::output_size()),
            "sha256" => (Algorithm::Sha256, <Sha256 as Digest>::output_size()),
            _ => return None,
        };
        (digest.len() == length).then_some(Self { algorithm, digest })
    }
}

/// Runs along with a chunk's bytes.
pub(super) struct Check {
    hash: Hash,
    digest: Vec<u8>,
}

enum Hash {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Check {
    pub(super) fn of(checksum: Checksum) -> Self {
        let hash = match checksum.algorithm {
            Algorithm::Sha1 => Hash::Sha1(Sha1::new()),
            Algorithm::Sha256 => Hash::Sha256(Sha256::new()),
        };
        Self { hash, digest: checksum.digest }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.hash {
            Hash::Sha1(hash) => hash.update(bytes),
            Hash::Sha256(hash) => hash.update(bytes),
        }
    }

    pub(super) fn matches(self) -> bool {
        match self.hash {
            Hash::Sha1(hash) => hash.finalize()[..] == self.digest[..],
            Hash::Sha256(hash) => hash.finalize()[..] == self.digest[..],
        }
    }
}
