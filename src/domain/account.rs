//! Accounts: roles, sessions, access tokens, and the forms that people fill in about themselves.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    ids::{AccessTokenId, SessionId, UserId},
    problem::{FieldErrors, Problem},
    text::{is_unseen, parse_line},
};

/// The shortest password, in characters: a code point counts as one (NIST SP 800-63B-4, 3.1.1.2). Shorter passwords are
/// easy to guess.
pub const PASSWORD_MIN_CHARS: usize = 10;
/// The longest password, in characters. The limit is longer than any passphrase and bounds the cost of a hash: a
/// character has at most four bytes.
pub const PASSWORD_MAX_CHARS: usize = 1024;
/// The lifetime of a session, in days. A session that is used in the second half of its lifetime gets a full lifetime
/// again.
pub const SESSION_DAYS: i32 = 30;
/// The longest lifetime of a session, in days, however often it is used. Source: OWASP Session Management Cheat Sheet
/// (absolute timeout).
pub const SESSION_ABSOLUTE_DAYS: i32 = 90;
/// The lifetime of the link in a reset mail, in minutes.
pub const RESET_LINK_MINUTES: i32 = 60;
/// The lifetime of the link in a verification mail, in hours.
pub const VERIFICATION_LINK_HOURS: i32 = 24;
/// The longest artist name, in characters.
pub const ARTIST_NAME_MAX_CHARS: usize = 100;
/// The longest e-mail address, in bytes. Source: RFC 5321, 4.5.3.1.3 (a path of 256 with its two brackets).
pub const EMAIL_MAX_BYTES: usize = 254;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(type_name = "user_role", rename_all = "UPPERCASE"))]
pub enum Role {
    Artist,
    Admin,
}

impl Role {
    pub fn label(self) -> &'static str {
        match self {
            Self::Artist => "Artist",
            Self::Admin => "Admin",
        }
    }
}

/// The user who makes a request, proven by a session. Everything that reads or changes data takes an actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub id: UserId,
    pub role: Role,
    pub email: String,
    pub artist_name: String,
    /// Whether the user still has to verify the e-mail address. They can't submit a release before.
    #[serde(default)]
    pub must_verify_email: bool,
    /// Whether the user is an admin who has to set up two-factor sign-in before anything else.
    #[serde(default)]
    pub must_set_up_two_factor: bool,
}

impl Actor {
    /// Whether the actor may do what admins do. `false` for an admin who still has to set up two-factor sign-in.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin && !self.must_set_up_two_factor
    }

    /// Refuses an actor who may not do what admins do.
    ///
    /// # Errors
    /// `Forbidden` for an artist, `NotAllowedYet` for an admin who still has to set up two-factor sign-in.
    pub fn require_admin(&self) -> Result<(), Problem> {
        if self.role != Role::Admin {
            return Err(Problem::Forbidden);
        }
        if self.must_set_up_two_factor {
            let message = "Admins need two-factor sign-in on this site. Set it up on your account page first.";
            return Err(Problem::NotAllowedYet(message.into()));
        }
        Ok(())
    }
}

/// An e-mail address, trimmed of white space and invisible characters. Comparisons for uniqueness ignore case; mails go
/// to the spelling as it was typed.
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
                // RFC 5322 gives these characters a meaning: a display name, a comment, a route.
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

/// Shortens an e-mail address for the log, so that it tells accounts apart without giving anybody's address away:
/// `a***@example.com`.
pub fn masked_email(email: &str) -> String {
    let (local, host) = email.split_once('@').unwrap_or((email, ""));
    format!("{}***@{host}", local.chars().next().unwrap_or_default())
}

/// The mails that a user wants. Mails about security go to everybody, whatever their preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailPreference {
    pub wants_release_mail: bool,
}

/// A password as it was typed. Debug output hides it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Parses a new password. A sign-in doesn't validate its password but only compares it.
    ///
    /// # Errors
    /// A sentence for a password that is too short or too long, or that contains U+0000.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() < PASSWORD_MIN_CHARS {
            Err(format!("Use at least {PASSWORD_MIN_CHARS} characters."))
        } else if Self::is_too_long(text) {
            Err(format!("Use at most {PASSWORD_MAX_CHARS} characters."))
        } else if text.contains('\0') {
            Err("This password contains a character that nobody can type. Choose another password.".into())
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// Whether a text is too long for a password, so that nobody has to hash it to know that it is none.
    pub fn is_too_long(text: &str) -> bool {
        text.chars().count() > PASSWORD_MAX_CHARS
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

/// Parses the artist name that appears on releases.
///
/// # Errors
/// A sentence for a name that is empty or too long, or that contains a control character or a bidirectional override.
pub fn parse_artist_name(text: &str) -> Result<String, String> {
    let name = parse_line(text, ARTIST_NAME_MAX_CHARS)?;
    if name.is_empty() { Err("Enter the name that appears on your releases.".into()) } else { Ok(name) }
}

/// How many access tokens one user may have.
pub const ACCESS_TOKENS_MAX: i64 = 20;
/// The longest name of an access token, in characters.
pub const ACCESS_TOKEN_NAME_MAX_CHARS: usize = 60;

/// The lifetime of an access token in days, unless its owner chooses another one.
pub const ACCESS_TOKEN_DAYS: i32 = 90;
/// The lifetimes in days that the owner of an access token can choose from.
pub const ACCESS_TOKEN_DAYS_CHOICES: [i32; 3] = [30, 90, 365];
/// How many days before the end of an access token a mail tells its owner.
pub const ACCESS_TOKEN_NOTICE_DAYS: i32 = 7;

/// # Errors
/// A message for the field `days` if the number is not one of the choices.
pub fn parse_access_token_days(days: Option<i32>) -> Result<i32, Problem> {
    let days = days.unwrap_or(ACCESS_TOKEN_DAYS);
    let is_offered = ACCESS_TOKEN_DAYS_CHOICES.contains(&days);
    is_offered.then_some(days).ok_or_else(|| Problem::field("days", "Choose 30, 90 or 365 days."))
}

/// The name that a user gives to an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTokenName(String);

impl AccessTokenName {
    /// # Errors
    /// A message for the field `name` if the name is empty or too long, or has a character that is not allowed.
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

/// A session, as its user sees it on the account page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    pub id: SessionId,
    /// "Firefox on Linux".
    pub device: String,
    pub created_at: OffsetDateTime,
    /// Precise to about ten minutes.
    pub last_used_at: OffsetDateTime,
    /// Whether the request came from this session.
    pub is_current: bool,
}

/// An access token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    pub id: AccessTokenId,
    pub name: String,
    pub created_at: OffsetDateTime,
    /// Precise to the minute.
    pub last_used_at: Option<OffsetDateTime>,
    pub expires_at: OffsetDateTime,
    pub is_expired: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAccessToken {
    pub id: AccessTokenId,
    /// The secret. This is the only time that it is shown.
    pub token: String,
}

/// The sign-up form as a browser sends it.
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

/// The result of a change of the e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EmailChange {
    Done,
    /// The user has to open the link that was sent to the new address first.
    Unconfirmed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_address_keeps_its_first_letter_and_its_host() {
        assert_eq!(masked_email("ana@example.com"), "a***@example.com");
        assert_eq!(masked_email("é@example.com"), "é***@example.com");
        assert_eq!(masked_email("no address"), "n***@");
    }

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

    #[test]
    fn both_limits_of_a_password_count_characters() {
        for (bytes, character) in [(1, 'x'), (2, 'ß'), (3, '夜'), (4, '🚌')] {
            assert_eq!(character.len_utf8(), bytes);
            let of = |chars: usize| Password::parse(&character.to_string().repeat(chars)).map(|_| ());
            assert_eq!(of(PASSWORD_MIN_CHARS - 1), Err("Use at least 10 characters.".into()), "{character}");
            assert_eq!((of(PASSWORD_MIN_CHARS), of(PASSWORD_MAX_CHARS)), (Ok(()), Ok(())), "{character}");
            assert_eq!(of(PASSWORD_MAX_CHARS + 1), Err("Use at most 1024 characters.".into()), "{character}");
        }
    }
}
