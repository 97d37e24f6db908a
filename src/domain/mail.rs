//! Mails: what each is about. The backend makes a letter of it, and the link's token, when the mail is sent.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::ids::ReleaseId;

/// What a mail is about. Queued as JSON in the transaction that causes the mail, so it holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Message {
    /// Brings the link that sets a new password. Says who asked for it: anybody can.
    PasswordReset { address: Option<String>, user_agent: String },
    /// Brings the link that sets a new password, as an admin wants it.
    PasswordResetByAdmin,
    /// Says that the password was changed, by whom it may have been, and what to do if it was not.
    PasswordChanged { how: PasswordChange },
    /// Brings the link that proves that an address belongs to the user.
    VerifyEmail,
    /// Tells the address of now that another one is to take its place.
    EmailChangeRequested { new_email: String },
    /// Tells the old address that the account has another one now.
    EmailChanged { new_email: String },
    /// Something happened to the second factor.
    TwoFactor { what: TwoFactorNews },
    /// An access token is about to end.
    AccessTokenExpires {
        name: String,
        #[serde(with = "time::serde::rfc3339")]
        expires_at: OffsetDateTime,
    },
    /// Something happened to a release of the user.
    ReleaseNews { release: ReleaseId, title: String, news: ReleaseNews },
}

/// What happened to a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TwoFactorNews {
    TurnedOn,
    TurnedOff,
    RecoveryCodeUsed,
    RecoveryCodesMade,
}

impl Message {
    /// Whether it goes to an address that nobody has confirmed: it brings a link that proves to have it. Anything else would let whoever
    /// signs up with the address of somebody else send them mails.
    pub fn proves_address(&self) -> bool {
        matches!(self, Self::VerifyEmail | Self::PasswordReset { .. } | Self::PasswordResetByAdmin)
    }
}

/// What happened to a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReleaseNews {
    Submitted,
    Approved,
    Rejected {
        reason: String,
    },
    /// Files could not be stored or examined. Failures of ten minutes are one mail.
    FilesFailed {
        files: Vec<FailedFile>,
    },
    /// An admin gave a failed file up.
    FileDiscarded {
        note: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedFile {
    pub name: String,
    pub reason: String,
}

/// How a password was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PasswordChange {
    /// On the account page, by somebody who knew the old password.
    OnAccountPage,
    /// With a link from a mail.
    WithResetLink,
}

/// Before the first retry of a mail; doubled for each further one. A server that greylists wants minutes (RFC 6647, 4).
const BACKOFF_BASE: Duration = Duration::from_secs(60);
const BACKOFF_MAX: Duration = Duration::from_secs(4 * 60 * 60);
/// The attempt that is the last: about a day after the first.
const ATTEMPTS_MAX: u32 = 13;

/// How long a mail waits after so many failures, or `None` where it is given up. `jitter` lies in 0..1.
pub fn retry_after(failures: u32, jitter: f64) -> Option<Duration> {
    let doublings = failures.saturating_sub(1).min(16);
    let whole = (BACKOFF_BASE * 2_u32.pow(doublings)).min(BACKOFF_MAX);
    (failures < ATTEMPTS_MAX).then(|| whole.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_tried_for_about_a_day() {
        let wait = |jitter| (1..ATTEMPTS_MAX).filter_map(|failures| retry_after(failures, jitter)).sum::<Duration>();
        assert_eq!(retry_after(1, 1.0), Some(Duration::from_secs(60)));
        assert_eq!(retry_after(ATTEMPTS_MAX, 1.0), None);
        let hours = |wait: Duration| wait.as_secs() / 3600;
        assert!((8..=12).contains(&hours(wait(0.0))) && (16..=24).contains(&hours(wait(1.0))), "{:?}", wait(1.0));
    }
}
