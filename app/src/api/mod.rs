//! All server functions, one file per entity: the audited surface. Each is: who, do, return.
//!
//! POST only, at explicit addresses under `/api/`. Each names its actor or stands on [`PUBLIC_PATHS`]; a test walks the list (`docs/access.md`).

pub mod access_tokens;
pub mod account;
pub mod queue;
pub mod releases;
pub mod review;
pub mod sessions;
pub mod tracks;
pub mod two_factor;
pub mod uploads;
pub mod users;

/// What may be called without being signed in.
pub const PUBLIC_PATHS: [&str; 8] = [
    "/api/account/current",
    "/api/account/request-password-reset",
    "/api/account/reset-password",
    "/api/account/sign-in",
    "/api/account/sign-in-code",
    "/api/account/sign-out",
    "/api/account/sign-up",
    "/api/account/verify-email",
];

/// What server functions need of their surroundings.
#[cfg(feature = "ssr")]
pub mod ssr {
    use std::sync::{Arc, OnceLock};

    use axum_extra::extract::CookieJar;
    use http::{
        HeaderName, HeaderValue,
        header::{SET_COOKIE, USER_AGENT},
        request::Parts,
    };
    use leptos::prelude::{expect_context, use_context};
    use leptos_axum::ResponseOptions;
    use vwaza::{
        backend::{
            Backend, SignedIn,
            accounts::{
                tokens::{SecretToken, TokenCookie},
                visitor::{ClientAddress, UserAgent, Visitor},
            },
        },
        domain::{account::Actor, problem::Problem},
    };

    use crate::error::AppError;

    /// Marks the request of a form that no script has sent, and keeps what its page says of the success.
    #[derive(Clone, Default)]
    pub struct PlainForm(Arc<OnceLock<String>>);

    impl PlainForm {
        pub fn success_message(&self) -> Option<String> {
            self.0.get().cloned()
        }
    }

    /// The core, as the server has put it into the context of every request.
    pub fn backend() -> Arc<Backend> {
        expect_context::<Arc<Backend>>()
    }

    /// The session that the request's cookie names, whether or not it is valid.
    pub fn session_token() -> Option<SecretToken> {
        token_of_cookie(backend().session_cookie())
    }

    fn token_of_cookie(cookie: &TokenCookie) -> Option<SecretToken> {
        let parts = use_context::<Parts>()?;
        let jar = CookieJar::from_headers(&parts.headers);
        SecretToken::parse(jar.get(cookie.name())?.value())
    }

    /// The second step of a sign-in that this browser is at, whether or not it is valid.
    pub fn challenge_token() -> Option<SecretToken> {
        token_of_cookie(backend().challenge_cookie())
    }

    /// Begins the second step of a sign-in, or with `None` ends it.
    pub fn set_challenge(token: Option<&SecretToken>) {
        set_cookie(&backend().challenge_cookie().header(token));
    }

    /// The browser that asks.
    pub fn visitor() -> Visitor {
        let parts = use_context::<Parts>();
        let user_agent = parts.as_ref().and_then(|parts| parts.headers.get(USER_AGENT)?.to_str().ok());
        let address = parts.as_ref().and_then(|parts| parts.extensions.get::<ClientAddress>());
        Visitor {
            address: address.map(|address| address.0),
            user_agent: UserAgent::truncated(user_agent.unwrap_or_default()),
            browser: token_of_cookie(backend().browser_cookie()),
        }
    }

    /// Who is asking, if anybody.
    pub async fn optional_user() -> Result<Option<Actor>, AppError> {
        match session_token() {
            Some(token) => Ok(backend().sessions().actor(&token).await?),
            None => Ok(None),
        }
    }

    /// Who is asking.
    ///
    /// # Errors
    /// 401 where nobody is signed in.
    pub async fn current_user() -> Result<Actor, AppError> {
        optional_user().await?.ok_or_else(|| Problem::SignedOut.into())
    }

    /// Who is asking, and the session that proves it.
    ///
    /// # Errors
    /// 401 where nobody is signed in.
    pub async fn current_session() -> Result<(Actor, SecretToken), AppError> {
        let actor = current_user().await?;
        Ok((actor, session_token().ok_or(Problem::SignedOut)?))
    }

    /// Hands the browser a session, or with `None` takes it away.
    pub fn set_session(token: Option<&SecretToken>) {
        set_cookie(&backend().session_cookie().header(token));
    }

    /// Hands the browser what it gets when somebody signs in.
    pub fn set_signed_in(signed_in: &SignedIn) {
        set_session(Some(&signed_in.session));
        set_browser(&signed_in.browser);
    }

    /// Makes the browser a known one.
    pub fn set_browser(token: &SecretToken) {
        set_cookie(&backend().browser_cookie().header(Some(token)));
    }

    fn set_cookie(cookie: &str) {
        // A cookie's name and token are ASCII letters, digits and dashes.
        if let Ok(value) = HeaderValue::from_str(cookie) {
            expect_context::<ResponseOptions>().append_header(SET_COOKIE, value);
        }
    }

    /// Takes the session away, and what the browser has kept of it: covers, music, pages to go back to. Cookies stay, among them the one that
    /// makes the browser a known one.
    pub fn sign_out() {
        set_session(None);
        let (name, what) =
            (HeaderName::from_static("clear-site-data"), HeaderValue::from_static("\"cache\", \"storage\""));
        expect_context::<ResponseOptions>().insert_header(name, what);
    }

    pub fn redirect(path: &str) {
        leptos_axum::redirect(path);
    }

    /// The sentence that the page says of a success, where no script says one.
    pub fn set_success_message(words: &str) {
        if let Some(form) = plain_form() {
            // The first sentence stays: a function may call another one that has one, too.
            let _ = form.0.set(words.to_owned());
        }
    }

    fn plain_form() -> Option<PlainForm> {
        use_context::<Parts>()?.extensions.get().cloned()
    }

    /// As `redirect`, but for plain forms only: a script that changes the session loads the next page anew by itself.
    pub fn redirect_form(path: &str) {
        if plain_form().is_some() {
            redirect(path);
        }
    }
}
