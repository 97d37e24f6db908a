//! HTTP statuses: the one table from kinds of problems to numbers. The core never decides by a number.

use super::{
    problem::{FileRefusal, Problem},
    upload::UploadState,
};

impl Problem {
    /// The HTTP status of the answer. 460 is the checksum extension's of tus 1.0.0.
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid(_) | Self::BadRequest(_) => 400,
            Self::SignedOut | Self::WrongCredentials => 401,
            Self::Forbidden | Self::NotAllowedYet(_) => 403,
            Self::NotFound | Self::Unknown(_) => 404,
            Self::Conflict(_) => 409,
            Self::Gone(_) => 410,
            Self::LengthExceeded(_) | Self::QuotaExceeded(_) => 413,
            Self::Refused { kind, .. } => kind.status(),
            Self::Locked(_) => 423,
            Self::TooMany(_) | Self::RateLimited { .. } => 429,
            Self::ChecksumMismatch(_) => 460,
            Self::Unavailable(_) => 503,
            Self::DiskFull | Self::SpoolShare => 507,
        }
    }
}

impl FileRefusal {
    /// The HTTP status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::Lost => 410,
            Self::TooLarge => 413,
            Self::WrongKind => 415,
            Self::Empty
            | Self::Incomplete
            | Self::Damaged
            | Self::CannotDecode
            | Self::OutsideLimits
            | Self::ChecksumMismatch => 422,
        }
    }
}

impl UploadState {
    /// The HTTP status that tells a client how its upload is doing. `refusal` is why a file was refused.
    pub fn status(self, refusal: Option<FileRefusal>) -> u16 {
        match self {
            Self::Attached => 200,
            Self::Receiving | Self::Received => 202,
            Self::Superseded => 409,
            Self::Discarded | Self::Cancelled | Self::Expired => 410,
            Self::Refused | Self::Failed => refusal.unwrap_or(FileRefusal::OutsideLimits).status(),
        }
    }
}
