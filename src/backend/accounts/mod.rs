//! Accounts: the parts that are newer than `users`, `sessions`, `passwords` and `access_tokens`, which move in here later.

pub(super) mod administration;
pub(super) mod browsers;
mod common_passwords;
pub(super) mod my_data;
pub(super) mod reset;
pub(super) mod security_log;
pub(super) mod two_factor;
pub(super) mod verification;

use std::net::IpAddr;

pub(super) use common_passwords::refuse_common;

use super::sessions::{SecretToken, UserAgent};

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
