//! Sentences for a person whose request cannot be done. Every other error is logged and never leaves the server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::limits::LimitedBy;

/// Sentences by field name, shown beside the field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldErrors(pub BTreeMap<String, String>);

impl FieldErrors {
    pub fn one(field: &str, message: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(field, message);
        errors
    }

    /// The first sentence for a field stays: it is the one to mend first.
    pub fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.entry(field.to_owned()).or_insert_with(|| message.into());
    }

    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Unwraps one field's parse result, keeping its error.
    pub(crate) fn take<T: Default>(&mut self, field: &str, parsed: Result<T, String>) -> T {
        parsed.unwrap_or_else(|message| {
            self.add(field, message);
            T::default()
        })
    }

    /// `value`, unless a field was refused.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, Problem> {
        if self.is_empty() { Ok(value) } else { Err(Problem::Invalid(self)) }
    }
}

/// Why a file is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(sqlx::Type),
    sqlx(type_name = "file_refusal", rename_all = "SCREAMING_SNAKE_CASE")
)]
pub enum FileRefusal {
    TooLarge,
    /// Neither audio nor a picture that a release can have.
    WrongKind,
    Empty,
    /// Its beginning or its end is missing.
    Incomplete,
    Damaged,
    /// The file may be fine: the limit is ours.
    CannotDecode,
    /// The file is whole, but it is not what stores accept.
    OutsideLimits,
    /// The file is not the one that was announced by its SHA-256.
    ChecksumMismatch,
    /// Our disk lost bytes of it.
    Lost,
}

impl FileRefusal {
    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::WrongKind => "wrong_kind",
            Self::Empty => "empty",
            Self::Incomplete => "incomplete",
            Self::Damaged => "damaged",
            Self::CannotDecode => "cannot_decode",
            Self::OutsideLimits => "outside_limits",
            Self::ChecksumMismatch => "checksum_mismatch",
            Self::Lost => "lost",
        }
    }
}

/// Why a request was refused, in words for the person who made it.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Problem {
    /// Some fields need mending.
    #[error("Some fields need your attention.")]
    Invalid(FieldErrors),
    /// The request makes no sense as it is.
    #[error("{0}")]
    BadRequest(String),
    #[error("Sign in to continue.")]
    SignedOut,
    /// At the sign-in form: never says which of the two was wrong.
    #[error("E-mail or password is wrong.")]
    WrongCredentials,
    #[error("This is for admins only.")]
    Forbidden,
    /// The person has to do something else first, which the sentence names.
    #[error("{0}")]
    NotAllowedYet(String),
    /// The requested thing does not exist. This is only for people who may know that.
    #[error("{0}")]
    Unknown(String),
    /// The requested thing does not exist or belongs to somebody else. Both look the same.
    #[error("This does not exist, or you have no access to it.")]
    NotFound,
    /// Another request or job was faster, or the state does not allow the request.
    #[error("{0}")]
    Conflict(String),
    /// The subject of the request has ended or was removed.
    #[error("{0}")]
    Gone(String),
    /// The file is refused for the reason in `kind`.
    #[error("{message}")]
    Refused { kind: FileRefusal, message: String },
    /// More bytes arrive than the upload's length.
    #[error("{0}")]
    LengthExceeded(String),
    /// The artist's files take all the space that they may take.
    #[error("{0}")]
    QuotaExceeded(String),
    /// The bytes of one request do not match their checksum.
    #[error("{0}")]
    ChecksumMismatch(String),
    /// Another connection sends bytes of the same upload.
    #[error("{0}")]
    Locked(String),
    /// Something there may be so many of.
    #[error("{0}")]
    TooMany(String),
    /// Too many requests in too short a time. The words are part of the interface that scripts know.
    #[error("Rate limit exceeded. Please try again later.")]
    RateLimited { by: LimitedBy, retry_after_seconds: u32 },
    /// Trying again later helps.
    #[error("{0}")]
    Unavailable(String),
    #[error("The server's disk is full. Everything that has arrived is safe; try again in a few minutes.")]
    DiskFull,
    /// This artist's files take their share of the disk on which files wait to be stored.
    #[error("Your other files are still being stored. This upload continues when they are done.")]
    SpoolShare,
}

impl Problem {
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(FieldErrors::one(field, message))
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::Conflict(message.into())
    }

    /// Whether the same request may succeed later, although nobody changes it.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Locked(_)
            | Self::TooMany(_)
            | Self::RateLimited { .. }
            | Self::Unavailable(_)
            | Self::DiskFull
            | Self::SpoolShare => true,
            Self::Invalid(_)
            | Self::BadRequest(_)
            | Self::SignedOut
            | Self::WrongCredentials
            | Self::Forbidden
            | Self::NotAllowedYet(_)
            | Self::Unknown(_)
            | Self::NotFound
            | Self::Conflict(_)
            | Self::Gone(_)
            | Self::Refused { .. }
            | Self::LengthExceeded(_)
            | Self::QuotaExceeded(_)
            | Self::ChecksumMismatch(_) => false,
        }
    }
}
