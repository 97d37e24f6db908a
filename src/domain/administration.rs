//! User administration: what admins and the operator see of an account and what they can change.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{account::Role, ids::UserId, security::SecurityEvent};

/// An account as admins see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserView {
    pub id: UserId,
    pub artist_name: String,
    pub email: String,
    pub role: Role,
    pub is_disabled: bool,
    pub has_verified_email: bool,
    pub has_two_factor: bool,
    /// Sessions that have not ended.
    pub sessions: i64,
    pub access_tokens: i64,
    pub created_at: OffsetDateTime,
    /// The newest first.
    pub events: Vec<SecurityEvent>,
}

/// A change that an admin makes to an account. Each is idempotent, except `SendResetLink` and `EndSessions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserChange {
    MakeAdmin,
    MakeArtist,
    /// Signs the user out at once: their sessions, access tokens and reset links end.
    Disable,
    Enable,
    EndSessions,
    /// Marks the address as verified.
    VerifyEmail,
    SendResetLink,
    /// Turns two-factor sign-in off, for a user who has lost the app and the recovery codes.
    ResetTwoFactor,
}

impl UserChange {
    /// Whether the admin has to confirm the change with a password, because its effect outlasts the admin's session.
    pub fn needs_password(self) -> bool {
        matches!(self, Self::MakeAdmin | Self::ResetTwoFactor)
    }
}
