//! Security events: what happened to an account, as its user and admins see it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What happened to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(sqlx::Type),
    sqlx(type_name = "security_event_kind", rename_all = "SCREAMING_SNAKE_CASE")
)]
pub enum SecurityEventKind {
    SignIn,
    /// Somebody gave a wrong password at sign-in.
    SignInFailed,
    /// Somebody knew the password and gave a wrong code.
    CodeFailed,
    /// Somebody who was signed in gave a wrong password on the account page.
    CurrentPasswordFailed,
    /// Too many wrong passwords: from now on only known browsers may sign in, for a while.
    SignInBlocked,
    ResetRequested,
    /// A new password, with a link from a mail.
    PasswordReset,
    /// A new password, on the account page.
    PasswordChanged,
    /// A link was sent to a new address, which is to become the account's.
    EmailChangeRequested,
    EmailChanged,
    EmailVerified,
    RoleChanged,
    Disabled,
    Enabled,
    SessionEnded,
    SessionsEnded,
    AccessTokenMade,
    AccessTokenRevoked,
    TwoFactorEnabled,
    TwoFactorDisabled,
    RecoveryCodeUsed,
    RecoveryCodesMade,
}

impl SecurityEventKind {
    /// A sentence for the account's user.
    pub fn label(self) -> &'static str {
        match self {
            Self::SignIn => "Signed in",
            Self::SignInFailed => "Wrong password at sign-in",
            Self::CodeFailed => "Right password, wrong code",
            Self::CurrentPasswordFailed => "Wrong password on the account page",
            Self::SignInBlocked => "Sign-in blocked for unknown browsers after too many wrong passwords",
            Self::ResetRequested => "Password reset requested",
            Self::PasswordReset => "Password reset with a link from a mail",
            Self::PasswordChanged => "Password changed",
            Self::EmailChangeRequested => "Change of e-mail address requested",
            Self::EmailChanged => "E-mail address changed",
            Self::EmailVerified => "E-mail address confirmed",
            Self::RoleChanged => "Role changed",
            Self::Disabled => "Account disabled",
            Self::Enabled => "Account enabled",
            Self::SessionEnded => "Session ended",
            Self::SessionsEnded => "Sessions ended",
            Self::AccessTokenMade => "Access token made",
            Self::AccessTokenRevoked => "Access token revoked",
            Self::TwoFactorEnabled => "Two-factor sign-in turned on",
            Self::TwoFactorDisabled => "Two-factor sign-in turned off",
            Self::RecoveryCodeUsed => "Recovery code used",
            Self::RecoveryCodesMade => "New recovery codes made",
        }
    }

    /// Whether it failed: shown with a warning sign, and as one line with failures of its kind right before it.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::SignInFailed | Self::SignInBlocked | Self::CodeFailed | Self::CurrentPasswordFailed)
    }
}

/// One line of an account's security log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityEvent {
    pub kind: SecurityEventKind,
    /// What it was about: the name of an access token, a new role. Empty where the kind says it all.
    pub subject: String,
    /// How often in a row, for a failure.
    pub times: i32,
    /// "Firefox on Linux"; empty where no browser was involved.
    pub device: String,
    /// The address of the network it came from; `None` for a command of the operator's.
    pub address: Option<String>,
    /// Whether an admin did it, not the user.
    pub by_admin: bool,
    pub created_at: OffsetDateTime,
}
