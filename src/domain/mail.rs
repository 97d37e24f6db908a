//! Mails and what each of them is about. The backend writes the text, and generates the token of the link, when the
//! mail is sent.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::ids::ReleaseId;

/// The subject of a mail. It is queued as JSON in the transaction that causes the mail, so it holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Message {
    /// Brings the link that sets a new password. Says which address and browser asked for it, because anybody can ask.
    PasswordReset { address: Option<String>, user_agent: String },
    /// Brings the link that sets a new password, at an admin's request.
    PasswordResetByAdmin,
    /// Says that the password was changed, how, and what to do if it wasn't the user.
    PasswordChanged { how: PasswordChange },
    /// Brings the link that proves that an address belongs to the user.
    VerifyEmail,
    /// Tells the current address that the account is to get another one.
    EmailChangeRequested { new_email: String },
    /// Tells the old address that the account has another one now.
    EmailChanged { new_email: String },
    /// Says what happened to the second factor.
    TwoFactor { what: TwoFactorNews },
    /// Says that an access token is about to expire.
    AccessTokenExpires {
        name: String,
        #[serde(with = "time::serde::rfc3339")]
        expires_at: OffsetDateTime,
    },
    /// Tells an admin which stored objects are damaged: how many, and the keys of the first ones.
    DamagedObjects { count: usize, keys: Vec<String> },
    /// Says what happened to a release of the user.
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
    /// Whether the mail also goes to an address that isn't verified, because its link proves who owns the address. Any
    /// other mail to such an address would let somebody sign up with a stranger's address and have mails sent there.
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
    /// Files couldn't be stored or examined. The failures of ten minutes share one mail.
    FilesFailed {
        files: Vec<FailedFile>,
    },
    /// An admin discarded a failed file.
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
    /// With the link from a reset mail.
    WithResetLink,
}

/// The wait before the first retry of a mail. Each further retry doubles it. A server that uses greylisting expects
/// minutes (RFC 6647, 4).
const BACKOFF_BASE: Duration = Duration::from_secs(60);
const BACKOFF_MAX: Duration = Duration::from_secs(4 * 60 * 60);
/// How many times a mail is tried. The last attempt comes 10 to 20 hours after the first, depending on the jitter.
const ATTEMPTS_MAX: u32 = 13;

/// How long a mail waits for its next attempt after `failures` failures. `None` if it is given up. `jitter` lies in
/// 0..1: it scales the wait from half to the whole.
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
