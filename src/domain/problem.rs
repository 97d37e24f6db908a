//! What a person is told when something cannot be done. Everything else that goes wrong is logged and never leaves the server.

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

/// Why a request was refused, in words for the person who made it.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Problem {
    /// 400: some fields need mending.
    #[error("Some fields need your attention.")]
    Invalid(FieldErrors),
    /// 400: the request makes no sense as it is.
    #[error("{0}")]
    BadRequest(String),
    /// 401.
    #[error("Sign in to continue.")]
    SignedOut,
    /// 401 at the sign-in form: never says which of the two was wrong.
    #[error("E-mail or password is wrong.")]
    WrongCredentials,
    /// 403.
    #[error("This is for admins only.")]
    Forbidden,
    /// 404: what does not exist and what belongs to somebody else look the same.
    #[error("This does not exist, or you have no access to it.")]
    NotFound,
    /// 409: somebody or something was faster, or the state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// 410.
    #[error("{0}")]
    Gone(String),
    /// 413, 415 or 422: the file is not what it has to be.
    #[error("{message}")]
    Refused { status: u16, message: String },
    /// 429: something there may be so many of.
    #[error("{0}")]
    TooMany(String),
    /// 429: too many requests in too short a time. The words are part of the interface that scripts know.
    #[error("Rate limit exceeded. Please try again later.")]
    RateLimited { by: LimitedBy, retry_after_seconds: u32 },
    /// 503: trying again later helps.
    #[error("{0}")]
    Unavailable(String),
    /// 507.
    #[error("The server's disk is full. Everything that has arrived is safe; try again in a few minutes.")]
    DiskFull,
    /// 507: this artist's files take their share of the disk on which files wait to be stored.
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

    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid(_) | Self::BadRequest(_) => 400,
            Self::SignedOut | Self::WrongCredentials => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict(_) => 409,
            Self::Gone(_) => 410,
            Self::Refused { status, .. } => *status,
            Self::TooMany(_) | Self::RateLimited { .. } => 429,
            Self::Unavailable(_) => 503,
            Self::DiskFull | Self::SpoolShare => 507,
        }
    }
}
