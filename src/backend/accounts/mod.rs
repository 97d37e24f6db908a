//! Accounts: sign-up, sign-in, sessions, tokens, two-factor sign-in, known browsers, the security log and the
//! administration of users.

pub mod access_tokens;
pub(super) mod administration;
pub(super) mod browsers;
mod common_passwords;
pub(super) mod email_links;
pub(super) mod flashes;
pub(super) mod locks;
pub(super) mod my_data;
pub(super) mod passwords;
pub(super) mod reset;
pub(super) mod security_log;
pub mod sessions;
pub mod tokens;
pub(super) mod two_factor;
pub(super) mod users;
pub(super) mod verification;
pub mod visitor;

use crate::domain::account::{Actor, masked_email};

/// Names the user in the span of the request, and so in all its later log lines.
fn name_in_log(actor: &Actor) {
    let span = tracing::Span::current();
    tracing::record_all!(
        span,
        user.id = %actor.id,
        user.email = masked_email(&actor.email),
        user.role = ?actor.role
    );
}
