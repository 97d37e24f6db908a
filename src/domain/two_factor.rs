//! Two-factor sign-in: what a user sees and types.

use serde::{Deserialize, Serialize};

/// How many recovery codes are made at once. Each signs in once without the app.
pub const RECOVERY_CODES: usize = 10;
/// The length of a recovery code in characters, without its dashes: 80 bits.
const RECOVERY_CODE_CHARS: usize = 16;
/// The length of a code in digits. Source: RFC 6238, with the parameters that all apps use (SHA-1, 6 digits, 30 s).
pub const CODE_DIGITS: usize = 6;
/// The time for which a code is the current one, in seconds.
pub const STEP_SECONDS: u64 = 30;

/// The result of the first step of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignInStep {
    SignedIn,
    /// The password is right, and the account asks for a code.
    CodeNeeded,
}

/// The secret that an authenticator app needs to make codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwoFactorSetup {
    /// The secret in Base32, for people who type it.
    pub secret: String,
    /// `otpauth://totp/…`.
    pub url: String,
    /// The URL as a QR code, in an SVG element.
    pub qr_svg: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwoFactorState {
    pub is_on: bool,
    pub recovery_codes_left: i64,
    /// Whether the user is an admin on a server that requires two-factor sign-in of all admins.
    pub is_required: bool,
}

/// A code as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypedCode {
    /// The digits that an authenticator app shows.
    Totp(String),
    /// A recovery code in lower case, without dashes.
    Recovery(String),
}

impl TypedCode {
    /// Parses a code. `None` if it is neither of the two kinds.
    pub fn parse(text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if text.len() == CODE_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Self::Totp(text));
        }
        let is_recovery = text.len() == RECOVERY_CODE_CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_recovery.then(|| Self::Recovery(text.to_ascii_lowercase()))
    }
}

/// Writes a code in groups of four, as people copy it: `abcd-efgh-ijkl-mnop`.
pub fn with_dashes(code: &str) -> String {
    let groups: Vec<&str> = (0..code.len()).step_by(4).filter_map(|at| code.get(at..code.len().min(at + 4))).collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_understood_however_they_are_typed() {
        assert_eq!(TypedCode::parse(" 123 456 "), Some(TypedCode::Totp("123456".into())));
        let code = "abcdefghijklmn23";
        assert_eq!(with_dashes(code), "abcd-efgh-ijkl-mn23");
        assert_eq!(TypedCode::parse(" ABCD-efgh ijkl-mn23"), Some(TypedCode::Recovery(code.into())));
        for text in ["", "12345", "1234567", "abcd-efgh", "äbcd-efgh-ijkl-mn23"] {
            assert_eq!(TypedCode::parse(text), None, "{text}");
        }
    }
}
