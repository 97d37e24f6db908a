//! Accounts: the parts that are newer than `users`, `sessions`, `passwords` and `access_tokens`, which move in here later.

pub mod access_tokens;
pub(super) mod administration;
pub(super) mod browsers;
mod common_passwords;
pub(super) mod flashes;
pub(super) mod my_data;
pub(super) mod passwords;
pub(super) mod reset;
pub(super) mod security_log;
pub mod sessions;
pub(super) mod two_factor;
pub(super) mod users;
pub(super) mod verification;

use std::net::IpAddr;

use common_passwords::refuse_common;

use self::sessions::{SecretToken, UserAgent};

/// The browser that a request came from, for everything that changes who may do what.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// `None` for a request that names no peer.
    pub address: Option<IpAddr>,
    pub user_agent: UserAgent,
    /// The token of an earlier sign-in from the same browser, whether or not it is valid.
    pub browser: Option<SecretToken>,
}

/// The address that a request counts for, as the server has put it into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);
