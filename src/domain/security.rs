//! Security events: what happened to an account, as its user and admins see it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The kind of a security event.
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
    /// There were too many wrong passwords, so for a while only known browsers may sign in.
    SignInBlocked,
    ResetRequested,
    /// The password was reset with a link from a mail.
    PasswordReset,
    /// The password was changed on the account page.
    PasswordChanged,
    /// A link was sent to the new address, which becomes the account's once the link is opened.
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

    /// Whether the event is a failure. Failures get a warning sign, and failures of one kind in a row share one line.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::SignInFailed | Self::SignInBlocked | Self::CodeFailed | Self::CurrentPasswordFailed)
    }
}

/// One entry of an account's security log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityEvent {
    pub kind: SecurityEventKind,
    /// The object of the event: the name of an access token, or a new role. Empty if the kind says everything.
    pub subject: String,
    /// How often a failure happened in a row. 1 for other events.
    pub times: i32,
    /// The browser's name, as in "Firefox on Linux". Empty if no browser was involved.
    pub device: String,
    /// The IP address of the request. `None` for a command of the operator.
    pub address: Option<String>,
    /// Whether somebody other than the user caused the event: an admin or the operator.
    pub by_admin: bool,
    pub created_at: OffsetDateTime,
}
