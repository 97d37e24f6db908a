//! Who is signed in, signing up, in and out, and what people say of themselves.

use leptos::prelude::*;
use vwaza::domain::account::Actor;

use super::json::Json;
use crate::error::ApiResult;

/// Who is signed in; `None` where nobody is.
#[server(prefix = "/api", output = Json, endpoint = "account/current")]
pub async fn current_user() -> ApiResult<Option<Actor>> {
    super::ssr::optional_user().await
}

/// `next`, if it is a page of ours, otherwise the start: an address from outside must not lead people elsewhere.
pub fn local_path(next: &str) -> &str {
    let is_local = next.starts_with('/') && !next.starts_with("//");
    if is_local && !next.contains('\\') && !next.contains(char::is_control) { next } else { "/" }
}

/// Makes an artist's account and signs it in; a plain form goes on at `next`.
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
    let token = ssr::backend().users().sign_up(form.parse()?, &ssr::user_agent()).await?;
    ssr::set_session(Some(&token));
    ssr::redirect_form(local_path(&next));
    Ok(())
}

/// Starts a new session, whatever session there was; a plain form goes on at `next`.
#[server(prefix = "/api", output = Json, endpoint = "account/sign-in")]
pub async fn sign_in(email: String, password: String, #[server(default)] next: String) -> ApiResult<()> {
    use super::ssr;

    let backend = ssr::backend();
    let token = backend.users().sign_in(&email, &password, &ssr::user_agent()).await?;
    if let Some(old) = ssr::session_token() {
        backend.sessions().end(&old).await?;
    }
    ssr::set_session(Some(&token));
    ssr::redirect_form(local_path(&next));
    Ok(())
}

#[server(prefix = "/api", output = Json, endpoint = "account/sign-out")]
pub async fn sign_out() -> ApiResult<()> {
    use super::ssr;

    if let Some(token) = ssr::session_token() {
        ssr::backend().sessions().end(&token).await?;
    }
    ssr::set_session(None);
    ssr::redirect("/");
    Ok(())
}

#[server(prefix = "/api", output = Json, endpoint = "account/save-profile")]
pub async fn save_profile(artist_name: String, email: String) -> ApiResult<Actor> {
    use super::ssr;
    use vwaza::domain::account::RawProfile;

    let actor = ssr::current_user().await?;
    let form = RawProfile { artist_name, email };
    Ok(ssr::backend().users().save_profile(&actor, form.parse()?).await?)
}

/// Ends every other session of the account.
#[server(prefix = "/api", output = Json, endpoint = "account/change-password")]
pub async fn change_password(current_password: String, new_password: String) -> ApiResult<()> {
    use super::ssr;

    let actor = ssr::current_user().await?;
    let browser = ssr::user_agent();
    let token = ssr::backend().users().change_password(&actor, &current_password, &new_password, &browser).await?;
    ssr::set_session(Some(&token));
    Ok(())
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
