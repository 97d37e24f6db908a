//! Refuses the most common passwords, which attackers try first. Only the server checks them, because the list is too
//! long for browsers.

use crate::domain::{account::Password, problem::Problem};

/// The common passwords, one per line, in lower case and sorted bytewise. Each has at least `PASSWORD_MIN_CHARS`
/// characters. `third_party/common-passwords/README.md` names the source.
const COMMON: &str = include_str!("../../../third_party/common-passwords/passwords.txt");

/// Refuses a password that is easy to guess.
///
/// # Errors
/// `Invalid` for `field` if the password is common or equals the account's e-mail address.
pub(super) fn refuse_common(field: &str, password: &Password, email: &str) -> Result<(), Problem> {
    let lower = password.as_str().to_lowercase();
    if is_common(&lower) {
        Err(Problem::field(field, "Many people use this password, so it is easy to guess. Choose another one."))
    } else if lower == email.to_lowercase() {
        Err(Problem::field(field, "This is your e-mail address. Choose a password that nobody can guess."))
    } else {
        Ok(())
    }
}

/// Whether the list contains a password. The binary search in the text avoids a second copy in memory.
fn is_common(password: &str) -> bool {
    let (mut rest, bytes) = (COMMON, password.as_bytes());
    while !rest.is_empty() {
        let middle = rest.len() / 2;
        let start = rest.as_bytes()[..middle].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let end = rest.as_bytes()[start..].iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| start + at);
        match rest.as_bytes()[start..end].cmp(bytes) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => rest = rest.get(end + 1..).unwrap_or_default(),
            std::cmp::Ordering::Greater => rest = &rest[..start],
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::PASSWORD_MIN_CHARS;

    #[test]
    fn the_list_is_what_the_search_expects() {
        let list: Vec<&str> = COMMON.lines().collect();
        assert!(list.len() > 1000 && list.is_sorted());
        for password in &list {
            assert!(
                password.chars().count() >= PASSWORD_MIN_CHARS && *password == password.to_lowercase(),
                "{password}"
            );
            assert!(is_common(password), "{password}");
        }
        for password in ["", "correct horse battery", "zzzzzzzzzzzzzzzzzzzzzzzzzzz", "!"] {
            assert!(!is_common(password), "{password}");
        }
    }

    #[test]
    fn a_common_password_in_capitals_and_the_own_address_are_refused() {
        let refused = |password: &str| {
            refuse_common("password", &Password::parse(password).unwrap(), "Ana.Lima@example.com").is_err()
        };
        assert!(refused("PassWord123") && refused("ana.lima@EXAMPLE.com"));
        assert!(!refused("password123 of Ana's"));
    }
}
