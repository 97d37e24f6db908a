//! Two factors: what a user is shown and types.

use serde::{Deserialize, Serialize};

/// Codes that are made at once. Each signs in once without the app.
pub const RECOVERY_CODES: usize = 10;
/// Characters of a recovery code, without its dashes: 80 bits.
const RECOVERY_CODE_CHARS: usize = 16;
/// Digits of a code. Source: RFC 6238 as all apps make it (SHA-1, 6 digits, 30 s).
pub const CODE_DIGITS: usize = 6;
/// Seconds for which a code is the current one.
pub const STEP_SECONDS: u64 = 30;

/// What became of the first step of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignInStep {
    SignedIn,
    /// The password is right, and the account asks for a code.
    CodeNeeded,
}

/// What an app needs to make codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwoFactorSetup {
    /// Base32, for typing.
    pub secret: String,
    /// `otpauth://totp/…`.
    pub url: String,
    /// The URL as a QR code, an SVG element.
    pub qr_svg: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwoFactorState {
    pub is_on: bool,
    pub recovery_codes_left: i64,
    /// The server asks all admins for it, and the user is one.
    pub is_required: bool,
}

/// A code as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypedCode {
    /// Digits of the app.
    Totp(String),
    /// Lower case, without dashes.
    Recovery(String),
}

impl TypedCode {
    /// `None`: it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if text.len() == CODE_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Self::Totp(text));
        }
        let is_recovery = text.len() == RECOVERY_CODE_CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_recovery.then(|| Self::Recovery(text.to_ascii_lowercase()))
    }
}

/// In groups of four, as people copy them: `abcd-efgh-ijkl-mnop`.
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
