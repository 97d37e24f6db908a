//! HTTP statuses: the one table from kinds of problems to numbers, and from numbers to what they mean to a caller. The
//! core never decides by a number, and its callers decide by a [`StatusMeaning`].

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

/// The meaning of an answer of ours to its caller, by its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusMeaning {
    /// Nothing answered: clients write 0 for that.
    Unanswered,
    Done,
    SignedOut,
    Forbidden,
    Missing,
    Conflict,
    Gone,
    /// The file is not what it has to be.
    FileRefused,
    /// The bytes of one request do not match their checksum.
    ChecksumMismatch,
    /// The method or the version of the protocol is none of ours.
    NotSupported,
    /// Some of the request did not arrive in time, or the answer was not ready in time.
    TimedOut,
    /// Something else is in the way for now, or there were too many requests.
    Busy,
    /// The server can't do it for now.
    Unavailable,
    /// Something broke on the server's side.
    Fault,
    /// The request itself is wrong.
    Invalid,
}

impl StatusMeaning {
    pub fn of(status: u16) -> Self {
        match status {
            0 => Self::Unanswered,
            200..=299 => Self::Done,
            401 => Self::SignedOut,
            403 => Self::Forbidden,
            404 => Self::Missing,
            405 | 412 => Self::NotSupported,
            408 => Self::TimedOut,
            409 => Self::Conflict,
            410 => Self::Gone,
            413 | 415 | 422 => Self::FileRefused,
            423 | 429 => Self::Busy,
            460 => Self::ChecksumMismatch,
            503 | 507 => Self::Unavailable,
            500.. => Self::Fault,
            _ => Self::Invalid,
        }
    }

    /// Whether the same request may succeed later, although nobody changes it.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Unanswered | Self::TimedOut | Self::Busy | Self::Unavailable | Self::Fault)
    }

    /// Whether the answer says in `Retry-After` when to ask again.
    pub fn has_retry_after(self) -> bool {
        matches!(self, Self::Busy | Self::Unavailable)
    }

    /// Whether the cause is on the server's side.
    pub fn is_our_fault(self) -> bool {
        matches!(self, Self::Unavailable | Self::Fault)
    }
}

/// The meaning of a proxy's answer, by its status. Such an answer says nothing about the request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyMeaning {
    /// The body is too large for the proxy.
    TooLarge,
    /// The proxy asks for a sign-in, or shows a page that does.
    WantsSignIn,
    /// The proxy lets such requests never through.
    Blocked,
    /// The proxy did not reach Vwaza. Among them 400, which it sends after its connection dropped, and 404, while Vwaza
    /// restarts.
    OutOfReach,
}

impl ProxyMeaning {
    pub fn of(status: u16) -> Self {
        match status {
            413 => Self::TooLarge,
            200..=399 | 401 | 403 | 407 | 511 => Self::WantsSignIn,
            405 | 411 | 415 | 422 | 451 | 501 => Self::Blocked,
            _ => Self::OutOfReach,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{limits::LimitedBy, problem::FieldErrors};

    #[test]
    fn every_number_says_whether_the_request_may_succeed_later() {
        let may_pass = |status: &u16| StatusMeaning::of(*status).may_pass();
        let passing: Vec<u16> = (0..500).filter(may_pass).collect();
        assert_eq!(passing, [0, 408, 423, 429]);
        assert!((500..=999).all(|status| may_pass(&status)));
    }

    #[test]
    fn four_numbers_say_when_to_ask_again() {
        let with_header: Vec<u16> = (0..=999).filter(|status| StatusMeaning::of(*status).has_retry_after()).collect();
        assert_eq!(with_header, [423, 429, 503, 507]);
    }

    #[test]
    fn a_problem_and_its_number_agree_on_what_may_pass() {
        let text = || "Words.".to_owned();
        let file_refusals = [
            FileRefusal::TooLarge,
            FileRefusal::WrongKind,
            FileRefusal::Empty,
            FileRefusal::Incomplete,
            FileRefusal::Damaged,
            FileRefusal::CannotDecode,
            FileRefusal::OutsideLimits,
            FileRefusal::ChecksumMismatch,
            FileRefusal::Lost,
        ];
        let of_request = [
            Problem::Invalid(FieldErrors::default()),
            Problem::BadRequest(text()),
            Problem::SignedOut,
            Problem::WrongCredentials,
            Problem::Forbidden,
            Problem::NotAllowedYet(text()),
            Problem::Unknown(text()),
            Problem::NotFound,
            Problem::Conflict(text()),
            Problem::Gone(text()),
            Problem::LengthExceeded(text()),
            Problem::QuotaExceeded(text()),
            Problem::ChecksumMismatch(text()),
            Problem::Locked(text()),
            Problem::TooMany(text()),
            Problem::RateLimited { by: LimitedBy::Network, retry_after_seconds: 1 },
            Problem::Unavailable(text()),
            Problem::DiskFull,
            Problem::SpoolShare,
        ];
        let of_file = file_refusals.map(|kind| Problem::Refused { kind, message: text() });
        for problem in of_request.into_iter().chain(of_file) {
            let meaning = StatusMeaning::of(problem.status());
            assert_eq!(problem.may_pass(), meaning.may_pass(), "{problem:?}");
            assert_eq!(problem.may_pass(), meaning.has_retry_after(), "{problem:?}");
        }
    }
}
