//! The account: sign-up, sign-in, sign-out, the password, addresses and the profile.

use leptos::prelude::*;
use vwaza::domain::{
    account::{Actor, EmailChange, MailPreference},
    security::SecurityEvent,
    two_factor::SignInStep,
};

use crate::{error::ApiResult, json::Json};
#[cfg(feature = "ssr")]
use vwaza::{
    backend::{PasswordAccepted, accounts::tokens::SecretToken},
    domain::problem::Problem,
};

pub const PROFILE_SAVED: &str = "Profile saved.";
pub const EMAIL_CHANGED: &str = "E-mail address changed.";
pub const EMAIL_UNCONFIRMED: &str = "We sent a link to the new address. Your address changes when you open the link.";
pub const VERIFICATION_SENT: &str = "We sent the link again. If you don't see it, check your spam folder.";
pub const PASSWORD_CHANGED: &str = "Password changed. You are signed out everywhere else.";
pub const MAIL_PREFERENCE_SAVED: &str = "Mail settings saved.";

/// The signed-in user, if there is one.
#[server(prefix = "/api", output = Json, endpoint = "account/current")]
pub async fn current_user() -> ApiResult<Option<Actor>> {
    super::ssr::optional_user().await
}

/// Returns `next` if it is a page of this site, otherwise the start page. A link to the sign-in page must not lead
/// people to another site.
pub fn local_path(next: &str) -> &str {
    let is_local = next.starts_with('/') && !next.starts_with("//");
    if is_local && !next.contains('\\') && !next.contains(char::is_control) { next } else { "/" }
}

/// Creates an artist's account and signs it in. A plain form is redirected to `next`.
#[server(prefix = "/api", output = Json, endpoint = "account/sign-up")]
pub async fn sign_up(
    artist_name: String,
    email: String,
    password: String,
    #[server(default)] next: String,
) -> ApiResult<()> {
    use super::ssr;
    use vwaza::domain::account::RawSignUp;

    let form = RawSignUp { artist_name, email, password };
    let signed_in = ssr::backend().users().sign_up(form.parse()?, &ssr::visitor()).await?;
    ssr::set_signed_in(&signed_in);
    ssr::redirect_form(local_path(&next));
    Ok(())
}

/// Starts a new session, even if the browser has one. A plain form is redirected to `next`.
#[server(prefix = "/api", output = Json, endpoint = "account/sign-in")]
pub async fn sign_in(email: String, password: String, #[server(default)] next: String) -> ApiResult<SignInStep> {
    use super::ssr;

    let backend = ssr::backend();
    let accepted = backend.users().sign_in(&email, &password, &ssr::visitor()).await?;
    if let Some(old) = ssr::session_token() {
        backend.sessions().end(&old).await?;
    }
    match accepted {
        PasswordAccepted::SignedIn(signed_in) => {
            ssr::set_signed_in(&signed_in);
            ssr::redirect_form(local_path(&next));
            Ok(SignInStep::SignedIn)
        }
        PasswordAccepted::CodeNeeded(challenge) => {
            ssr::set_session(None);
            ssr::set_challenge(Some(&challenge));
            ssr::redirect_form(&with_next("/sign-in/code", local_path(&next)));
            Ok(SignInStep::CodeNeeded)
        }
    }
}

/// The second step of a sign-in, with a code of the app or a recovery code.
#[server(prefix = "/api", output = Json, endpoint = "account/sign-in-code")]
pub async fn sign_in_code(code: String, #[server(default)] next: String) -> ApiResult<()> {
    use super::ssr;

    let over = || Problem::Gone("Sign in with your password first.".into());
    let challenge = ssr::challenge_token().ok_or_else(over)?;
    let signed_in = ssr::backend().two_factor().finish_sign_in(&challenge, &code, &ssr::visitor()).await?;
    ssr::set_signed_in(&signed_in);
    ssr::set_challenge(None);
    ssr::redirect_form(local_path(&next));
    Ok(())
}

/// Returns the address of the page `path`, which leads to `next` afterwards.
pub fn with_next(path: &str, next: &str) -> String {
    if next == "/" { path.to_owned() } else { format!("{path}?next={}", leptos_router::location::Url::escape(next)) }
}

/// Sends a link that sets a new password, if the address has an account. The answer does not tell whether it has.
#[server(prefix = "/api", output = Json, endpoint = "account/request-password-reset")]
pub async fn request_password_reset(email: String) -> ApiResult<()> {
    use super::ssr;

    ssr::backend().password_reset().request(&email, &ssr::visitor()).await?;
    ssr::redirect_form("/forgot-password?sent=1");
    Ok(())
}

/// Sets a new password with the link of a reset mail, or with the code at its end.
#[server(prefix = "/api", output = Json, endpoint = "account/reset-password")]
pub async fn reset_password(link: String, new_password: String) -> ApiResult<()> {
    use super::ssr;

    let browser = ssr::backend().password_reset().finish(&code_of(&link)?, &new_password, &ssr::visitor()).await?;
    ssr::sign_out();
    ssr::set_browser(&browser);
    ssr::redirect_form("/sign-in?reset=1");
    Ok(())
}

/// The code at the end of a link from a mail.
#[cfg(feature = "ssr")]
fn code_of(link: &str) -> Result<SecretToken, Problem> {
    let code = link.rsplit('#').next().unwrap_or_default().trim();
    let token = SecretToken::parse(code);
    token.ok_or_else(|| Problem::field("link", "This link is not complete. Copy the whole link from the mail."))
}

#[server(prefix = "/api", output = Json, endpoint = "account/sign-out")]
pub async fn sign_out() -> ApiResult<()> {
    use super::ssr;

    if let Some(token) = ssr::session_token() {
        ssr::backend().sessions().end(&token).await?;
    }
    ssr::sign_out();
    ssr::redirect("/");
    Ok(())
}

#[server(prefix = "/api", output = Json, endpoint = "account/save-profile")]
pub async fn save_profile(artist_name: String) -> ApiResult<Actor> {
    use super::ssr;
    use vwaza::domain::account::parse_artist_name;

    let actor = ssr::current_user().await?;
    let name = parse_artist_name(&artist_name).map_err(|message| Problem::field("artist_name", message))?;
    let actor = ssr::backend().users().save_profile(&actor, name).await?;
    ssr::set_success_message(PROFILE_SAVED);
    Ok(actor)
}

/// Changes the e-mail address, or sends a link to the new address, which then changes it.
#[server(prefix = "/api", output = Json, endpoint = "account/change-email")]
pub async fn change_email(email: String, current_password: String) -> ApiResult<EmailChange> {
    use super::ssr;
    use vwaza::domain::account::Email;

    let actor = ssr::current_user().await?;
    let email = Email::parse(&email).map_err(|message| Problem::field("email", message))?;
    let change = ssr::backend().verification().change_email(&actor, &email, &current_password, &ssr::visitor()).await?;
    ssr::set_success_message(match change {
        EmailChange::Done => EMAIL_CHANGED,
        EmailChange::Unconfirmed => EMAIL_UNCONFIRMED,
    });
    Ok(change)
}

/// Sends the link that verifies the actor's address again.
#[server(prefix = "/api", output = Json, endpoint = "account/send-verification")]
pub async fn send_verification() -> ApiResult<()> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    ssr::backend().verification().send_again(&actor).await?;
    ssr::set_success_message(VERIFICATION_SENT);
    Ok(())
}

/// Verifies an address with the link that was sent there, or with the code at its end. Returns the address.
#[server(prefix = "/api", output = Json, endpoint = "account/verify-email")]
pub async fn verify_email(link: String) -> ApiResult<String> {
    use super::ssr;

    let email = ssr::backend().verification().finish(&code_of(&link)?, &ssr::visitor()).await?;
    ssr::set_success_message(&verified_words(&email));
    // The link may have been opened in a browser that nobody is signed in with.
    ssr::redirect_form(if ssr::optional_user().await?.is_some() { "/account" } else { "/sign-in" });
    Ok(email)
}

pub fn verified_words(email: &str) -> String {
    format!("{email} is confirmed.")
}

/// Changes the password. Ends all other sessions of the account, and its access tokens. A form that asks about the
/// tokens can keep them.
#[server(prefix = "/api", output = Json, endpoint = "account/change-password")]
pub async fn change_password(
    current_password: String,
    new_password: String,
    #[server(default)] asks_about_access_tokens: bool,
    #[server(default)] end_access_tokens: bool,
) -> ApiResult<()> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    // A form does not send a box that is not ticked.
    let (keeps, visitor) = (asks_about_access_tokens && !end_access_tokens, ssr::visitor());
    let backend = ssr::backend();
    let changed = backend.users().change_password(&actor, &current_password, &new_password, keeps, &visitor).await?;
    ssr::set_signed_in(&changed);
    ssr::set_success_message(PASSWORD_CHANGED);
    Ok(())
}

/// Deletes the actor's account. Published releases and the audit trail stay under a pseudonym.
#[server(prefix = "/api", output = Json, endpoint = "account/delete")]
pub async fn delete_account(current_password: String) -> ApiResult<()> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    ssr::backend().my_data().delete_account(&actor, &current_password, &ssr::visitor()).await?;
    ssr::sign_out();
    ssr::redirect_form("/?deleted=1");
    Ok(())
}

#[server(prefix = "/api", output = Json, endpoint = "account/mail-preference")]
pub async fn current_mail_preference() -> ApiResult<MailPreference> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().users().mail_preference(&actor).await?)
}

/// Saves whether the actor wants mails about releases. A form does not send a box that is not ticked, so an absent
/// value means no.
#[server(prefix = "/api", output = Json, endpoint = "account/save-mail-preference")]
pub async fn save_mail_preference(#[server(default)] wants_release_mail: bool) -> ApiResult<()> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    ssr::backend().users().save_mail_preference(&actor, MailPreference { wants_release_mail }).await?;
    ssr::set_success_message(MAIL_PREFERENCE_SAVED);
    Ok(())
}

/// The account's security log, the newest event first.
#[server(prefix = "/api", output = Json, endpoint = "account/security-events")]
pub async fn security_events() -> ApiResult<Vec<SecurityEvent>> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    Ok(ssr::backend().security_log().list(&actor).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_elsewhere_after_signing_in() {
        assert_eq!(local_path("/releases/1/tracks?x=1"), "/releases/1/tracks?x=1");
        for next in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
            "/\r\nSet-Cookie: a",
        ] {
            assert_eq!(local_path(next), "/", "{next}");
        }
    }
}
