//! The sender of a request, as far as browser and address identify it.

use std::net::IpAddr;

use super::tokens::SecretToken;

/// The browser and address that sent a request. Every change to an account or its rights records them.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// `None` if the request has no peer address.
    pub address: Option<IpAddr>,
    pub user_agent: UserAgent,
    /// The token of an earlier sign-in from the same browser, whether or not it is valid.
    pub browser: Option<SecretToken>,
}

/// The address that a request counts for. The server puts it into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// The `User-Agent` of a browser, without control characters and cut to 300 characters.
#[derive(Clone, Debug, Default)]
pub struct UserAgent(String);

impl UserAgent {
    const MAX_CHARS: usize = 300;

    pub fn truncated(text: &str) -> Self {
        Self(text.chars().filter(|char| !char.is_control()).take(Self::MAX_CHARS).collect())
    }

    pub(in crate::backend) fn as_str(&self) -> &str {
        &self.0
    }
}
