//! People: who they are, what they may do, and the forms they fill in about themselves.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    ids::{AccessTokenId, SessionId, UserId},
    problem::{FieldErrors, Problem},
    text::{is_unseen, parse_line},
};

/// Characters; shorter ones are guessed.
pub const PASSWORD_MIN_CHARS: usize = 10;
/// Bytes; longer than any passphrase, short enough to hash without a thought.
pub const PASSWORD_MAX_BYTES: usize = 1024;
/// Days a session lasts; using it in its second half gives it another such time.
pub const SESSION_DAYS: i32 = 30;
/// Days after which a session ends, however much it is used. Source: OWASP Session Management Cheat Sheet (absolute timeout).
pub const SESSION_ABSOLUTE_DAYS: i32 = 90;
/// Minutes for which the link of a reset mail works.
pub const RESET_LINK_MINUTES: i32 = 60;
/// Hours for which the link of a verification mail works.
pub const VERIFICATION_LINK_HOURS: i32 = 24;
/// Characters.
pub const ARTIST_NAME_MAX_CHARS: usize = 100;
/// Bytes. Source: RFC 5321, 4.5.3.1.3 (a path of 256 with its two brackets).
pub const EMAIL_MAX_BYTES: usize = 254;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(type_name = "user_role", rename_all = "UPPERCASE"))]
pub enum Role {
    Artist,
    Admin,
}

/// Who is asking: proven by a session, handed to everything that reads or changes something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub id: UserId,
    pub role: Role,
    pub email: String,
    pub artist_name: String,
    /// The address is not verified yet, and has to be before a release is submitted.
    #[serde(default)]
    pub must_verify_email: bool,
    /// An admin who has to set up two factors before anything else.
    #[serde(default)]
    pub must_set_up_two_factor: bool,
}

impl Actor {
    /// Whether the actor may do what admins do. An admin who has to set up two factors first may not.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin && !self.must_set_up_two_factor
    }

    pub fn require_admin(&self) -> Result<(), Problem> {
        if self.role != Role::Admin {
            return Err(Problem::Forbidden);
        }
        if self.must_set_up_two_factor {
            let message = "Admins need two-factor sign-in on this site. Set it up on your account page first.";
            return Err(Problem::Refused { status: 403, message: message.into() });
        }
        Ok(())
    }
}

/// An e-mail address, trimmed. Uniqueness ignores case; the spelling given is kept for mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    pub fn parse(text: &str) -> Result<Self, String> {
        let email = text.trim_matches(is_unseen);
        let parts = email.split_once('@');
        let fits = parts.is_some_and(|(local, host)| {
            !local.is_empty()
                && host.contains('.')
                && !host.starts_with('.')
                && !host.ends_with('.')
                && !host.contains('@')
                // RFC 5322 gives these a meaning: a display name, a comment, a route.
                && !email.contains(['<', '>', '(', ')', '[', ']', ',', ';', ':', '"', '\\'])
        });
        if fits && email.len() <= EMAIL_MAX_BYTES && !email.contains(is_unseen) {
            Ok(Self(email.to_owned()))
        } else {
            Err("Enter an e-mail address, like ana@example.com.".into())
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a user is sent, beside mails about security, which everybody gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailPreference {
    pub wants_release_mail: bool,
}

/// A password as typed; never shown, not even in debug output.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// For a new password. What is typed at sign-in is never judged, only compared.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() < PASSWORD_MIN_CHARS {
            Err(format!("Use at least {PASSWORD_MIN_CHARS} characters."))
        } else if text.len() > PASSWORD_MAX_BYTES {
            Err(format!("Use at most {PASSWORD_MAX_BYTES} characters."))
        } else if text.contains('\0') {
            Err("This password contains a character that nobody can type. Choose another password.".into())
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// The name that stands on releases.
pub fn parse_artist_name(text: &str) -> Result<String, String> {
    let name = parse_line(text, ARTIST_NAME_MAX_CHARS)?;
    if name.is_empty() { Err("Enter the name that appears on your releases.".into()) } else { Ok(name) }
}

/// Access tokens of one person.
pub const ACCESS_TOKENS_MAX: i64 = 20;
pub const ACCESS_TOKEN_NAME_MAX_CHARS: usize = 60;

/// Days after which an access token expires, unless its owner says otherwise.
pub const ACCESS_TOKEN_DAYS: i32 = 90;
/// What its owner may say.
pub const ACCESS_TOKEN_DAYS_CHOICES: [i32; 3] = [30, 90, 365];
/// Days before the end of an access token at which its owner is told.
pub const ACCESS_TOKEN_NOTICE_DAYS: i32 = 7;

/// # Errors
/// Of the field `days`.
pub fn parse_access_token_days(days: Option<i32>) -> Result<i32, Problem> {
    let days = days.unwrap_or(ACCESS_TOKEN_DAYS);
    let is_offered = ACCESS_TOKEN_DAYS_CHOICES.contains(&days);
    is_offered.then_some(days).ok_or_else(|| Problem::field("days", "Choose 30, 90 or 365 days."))
}

/// What a person calls an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTokenName(String);

impl AccessTokenName {
    /// # Errors
    /// Of the field `name`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        match parse_line(text, ACCESS_TOKEN_NAME_MAX_CHARS) {
            Ok(name) if name.is_empty() => {
                Err(Problem::Invalid(FieldErrors::one("name", "Say what the token is for.")))
            }
            Ok(name) => Ok(Self(name)),
            Err(message) => Err(Problem::Invalid(FieldErrors::one("name", message))),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a person is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    pub id: SessionId,
    /// "Firefox on Linux".
    pub device: String,
    pub created_at: OffsetDateTime,
    /// To about ten minutes.
    pub last_used_at: OffsetDateTime,
    /// Whether it is the one that asks.
    pub is_current: bool,
}

/// An access token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    pub id: AccessTokenId,
    pub name: String,
    pub created_at: OffsetDateTime,
    /// To the minute.
    pub last_used_at: Option<OffsetDateTime>,
    pub expires_at: OffsetDateTime,
    pub is_expired: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAccessToken {
    pub id: AccessTokenId,
    /// Never to be seen again.
    pub token: String,
}

/// The sign-up form as it comes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RawSignUp {
    pub artist_name: String,
    pub email: String,
    pub password: String,
}

#[derive(Clone, Debug)]
pub struct SignUp {
    pub artist_name: String,
    pub email: Email,
    pub password: Password,
}

impl RawSignUp {
    pub fn parse(&self) -> Result<SignUp, Problem> {
        let mut errors = FieldErrors::default();
        let parsed = SignUp {
            artist_name: errors.take("artist_name", parse_artist_name(&self.artist_name)),
            email: errors.take("email", Email::parse(&self.email)),
            password: errors.take("password", Password::parse(&self.password)),
        };
        errors.finish(parsed)
    }
}

/// What became of a change of the e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EmailChange {
    Done,
    /// The link that was sent to the new address has to be opened first.
    Unconfirmed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let form = RawSignUp { artist_name: "  ".into(), email: "ana@".into(), password: "short".into() };
        let Err(Problem::Invalid(errors)) = form.parse() else { panic!("accepted") };
        assert_eq!(errors.0.keys().collect::<Vec<_>>(), ["artist_name", "email", "password"]);
    }

    #[test]
    fn a_name_or_an_address_that_nobody_sees_is_none() {
        for text in ["", "\u{3164}", "\u{2800}\u{115F}", "\u{200E}\u{E0020}"] {
            assert!(parse_artist_name(text).is_err() && AccessTokenName::parse(text).is_err(), "{text:?}");
            assert!(Email::parse(text).is_err());
        }
        assert_eq!(Email::parse("\u{2068}ana@example.com\u{2069} ").unwrap().as_str(), "ana@example.com");
        assert!(Email::parse("an\u{200B}a@example.com").is_err());
    }

    #[test]
    fn a_password_of_64_characters_is_kept_whole() {
        let long = "x".repeat(64);
        assert_eq!(Password::parse(&long).unwrap().as_str(), long);
        assert_eq!(format!("{:?}", Password::parse(&long).unwrap()), "Password(…)");
    }
}
