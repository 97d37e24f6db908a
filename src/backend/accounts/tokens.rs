//! Secret tokens and the cookies that carry them. The database stores only a token's SHA-256.

use std::fmt;

use cookie::{Cookie, SameSite};
use rand::{TryRngCore, rngs::OsRng};
use sha2::{Digest, Sha256};

use crate::backend::{Error, Result};

/// The lifetime of a cookie: the maximum that browsers allow (400 days). The database alone decides how long a session
/// lasts.
const COOKIE_SECONDS: i64 = 400 * 24 * 60 * 60;
/// The lifetime of a flash, in seconds. This is much longer than a browser takes to follow a redirect, and long enough
/// to sign in first.
pub(super) const FLASH_SECONDS: i32 = 10 * 60;
const TOKEN_BYTES: usize = 32;

/// A random token, which proves a session or, with a prefix, is an access token. The database stores only its hash.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretToken(String);

impl SecretToken {
    pub(in crate::backend) fn generate() -> Result<Self> {
        let mut bytes = [0; TOKEN_BYTES];
        OsRng.try_fill_bytes(&mut bytes).map_err(|error| Error::Io(std::io::Error::other(error)))?;
        Ok(Self(hex::encode(bytes)))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 2 * TOKEN_BYTES && text.bytes().all(|b| b.is_ascii_hexdigit());
        fits.then(|| Self(text.to_owned()))
    }

    pub(in crate::backend) fn reveal(&self) -> &str {
        &self.0
    }

    pub(in crate::backend) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0.as_bytes()).to_vec()
    }
}

impl fmt::Debug for SecretToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretToken(…)")
    }
}

/// The name and attributes of a cookie that carries a token. If the site uses TLS, the cookie is bound to the host and
/// to TLS.
pub struct TokenCookie {
    secure: bool,
    name: &'static str,
    secure_name: &'static str,
    /// The lifetime in the browser.
    seconds: i64,
}

impl TokenCookie {
    fn new(public_url: &str, name: &'static str, secure_name: &'static str) -> Self {
        Self { secure: is_secure(public_url), name, secure_name, seconds: COOKIE_SECONDS }
    }

    /// The cookie that proves a session.
    pub(in crate::backend) fn of_session(public_url: &str) -> Self {
        Self::new(public_url, "vwaza", "__Host-vwaza")
    }

    /// The cookie of the second sign-in step, which proves that the password was right.
    pub(in crate::backend) fn of_challenge(public_url: &str) -> Self {
        Self::new(public_url, "vwaza-challenge", "__Host-vwaza-challenge")
    }

    /// The cookie that holds the token of a flash.
    pub(in crate::backend) fn of_flash(public_url: &str) -> Self {
        Self { seconds: FLASH_SECONDS.into(), ..Self::new(public_url, "vwaza-flash", "__Host-vwaza-flash") }
    }

    /// The cookie that proves that the browser has signed in before.
    pub(in crate::backend) fn of_browser(public_url: &str) -> Self {
        Self::new(public_url, "vwaza-browser", "__Host-vwaza-browser")
    }

    pub fn name(&self) -> &'static str {
        if self.secure { self.secure_name } else { self.name }
    }

    /// The `Set-Cookie` header that sets the cookie to `token`, or deletes it for `None`.
    pub fn header(&self, token: Option<&SecretToken>) -> String {
        let (value, seconds) = token.map_or(("", 0), |token| (token.0.as_str(), self.seconds));
        Cookie::build((self.name(), value))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.secure)
            .max_age(time::Duration::seconds(seconds))
            .to_string()
    }
}

/// Whether the site is reached over TLS only.
pub fn is_secure(public_url: &str) -> bool {
    // The scheme of a URL is case-insensitive (RFC 3986, 3.1).
    public_url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_bound_to_the_host_where_there_is_tls() {
        let token = SecretToken::generate().unwrap();
        let plain = TokenCookie::of_session("http://127.0.0.1:3000").header(Some(&token));
        assert!(plain.starts_with("vwaza=") && plain.contains("HttpOnly; SameSite=Lax") && !plain.contains("Secure"));
        let tls = TokenCookie::of_session("https://vwaza.example").header(None);
        assert_eq!(tls, "__Host-vwaza=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0");
        for shouted in ["HTTPS://vwaza.example", "Https://vwaza.example"] {
            assert_eq!(TokenCookie::of_session(shouted).header(None), tls);
        }
    }

    #[test]
    fn only_the_scheme_says_that_there_is_tls() {
        for elsewhere in ["", "http", "http://https://", "httpſ://vwaza.example", "xhttps://vwaza.example"] {
            assert!(!is_secure(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn tokens_are_long_distinct_and_never_printed() {
        let (one, two) = (SecretToken::generate().unwrap(), SecretToken::generate().unwrap());
        assert_ne!(one, two);
        assert_eq!(SecretToken::parse(&one.0), Some(one.clone()));
        assert_eq!(format!("{one:?}"), "SecretToken(…)");
        for text in ["", "abc", "'; drop table sessions", &"g".repeat(64)] {
            assert_eq!(SecretToken::parse(text), None);
        }
    }
}
