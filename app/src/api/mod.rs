//! All server functions, one file for each entity. A server function is: who, do, return.
//!
//! Server functions take POST requests only, at explicit addresses under `/api/`. Each names its actor or is listed in
//! [`PUBLIC_PATHS`]. A test compares all of them with `docs/access.md`.

pub mod access_tokens;
pub mod account;
pub mod audit;
pub mod operations;
pub mod queue;
pub mod releases;
pub mod review;
pub mod sessions;
pub mod tracks;
pub mod two_factor;
pub mod uploads;
pub mod users;

/// The functions that need no session.
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

/// Access to the request and the response for server functions.
#[cfg(feature = "ssr")]
pub mod ssr {
    use std::sync::{Arc, OnceLock};

    use axum_extra::extract::CookieJar;
    use http::{
        HeaderName, HeaderValue,
        header::{SET_COOKIE, USER_AGENT},
        request::Parts,
    };
    use leptos::prelude::{expect_context, provide_context, use_context};
    use leptos_axum::ResponseOptions;
    use tokio::sync::OnceCell;
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

    /// Marks the request of a plain form, which no script has sent, and keeps its success message.
    #[derive(Clone, Default)]
    pub struct PlainForm(Arc<OnceLock<String>>);

    impl PlainForm {
        pub fn success_message(&self) -> Option<String> {
            self.0.get().cloned()
        }
    }

    /// The user of a request. Several server functions that render one page share one look at the session.
    #[derive(Clone, Default)]
    struct RequestUser(Arc<OnceCell<Option<Actor>>>);

    /// Provides what server functions need. Must run once for each request.
    pub fn provide_request_context(backend: Arc<Backend>) {
        provide_context(backend);
        provide_context(RequestUser::default());
    }

    /// The core, which the server puts into the context of every request.
    pub fn backend() -> Arc<Backend> {
        expect_context::<Arc<Backend>>()
    }

    /// The session token of the request's cookie, valid or not.
    pub fn session_token() -> Option<SecretToken> {
        token_of_cookie(backend().session_cookie())
    }

    fn token_of_cookie(cookie: &TokenCookie) -> Option<SecretToken> {
        let parts = use_context::<Parts>()?;
        let jar = CookieJar::from_headers(&parts.headers);
        SecretToken::parse(jar.get(cookie.name())?.value())
    }

    /// The token of a sign-in that waits for its second step, valid or not.
    pub fn challenge_token() -> Option<SecretToken> {
        token_of_cookie(backend().challenge_cookie())
    }

    /// Starts the second step of a sign-in. `None` ends it.
    pub fn set_challenge(token: Option<&SecretToken>) {
        set_cookie(&backend().challenge_cookie().header(token));
    }

    /// The browser that sent the request.
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

    /// The signed-in user, if there is one.
    pub async fn optional_user() -> Result<Option<Actor>, AppError> {
        let Some(token) = session_token() else { return Ok(None) };
        let (backend, user) = (backend(), expect_context::<RequestUser>());
        Ok(user.0.get_or_try_init(|| async { backend.sessions().actor(&token).await }).await?.clone())
    }

    /// The signed-in user.
    ///
    /// # Errors
    /// 401 if nobody is signed in.
    pub async fn current_user() -> Result<Actor, AppError> {
        optional_user().await?.ok_or_else(|| Problem::SignedOut.into())
    }

    /// The signed-in user and the session.
    ///
    /// # Errors
    /// 401 if nobody is signed in.
    pub async fn current_session() -> Result<(Actor, SecretToken), AppError> {
        let actor = current_user().await?;
        Ok((actor, session_token().ok_or(Problem::SignedOut)?))
    }

    /// Sets the browser's session cookie. `None` removes it.
    pub fn set_session(token: Option<&SecretToken>) {
        set_cookie(&backend().session_cookie().header(token));
    }

    /// Sets the cookies of a sign-in.
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

    /// Removes the session cookie, and the covers, music and pages that the browser has stored. Other cookies stay,
    /// among them the one that makes the browser a known one.
    pub fn sign_out() {
        set_session(None);
        let (name, what) =
            (HeaderName::from_static("clear-site-data"), HeaderValue::from_static("\"cache\", \"storage\""));
        expect_context::<ResponseOptions>().insert_header(name, what);
    }

    pub fn redirect(path: &str) {
        leptos_axum::redirect(path);
    }

    /// Sets the sentence that the page shows after a plain form succeeded.
    pub fn set_success_message(words: &str) {
        if let Some(form) = plain_form() {
            // The first sentence stays: a function may call another one that sets its own.
            let _ = form.0.set(words.to_owned());
        }
    }

    fn plain_form() -> Option<PlainForm> {
        use_context::<Parts>()?.extensions.get().cloned()
    }

    /// Redirects plain forms only: a script loads the next page by itself.
    pub fn redirect_form(path: &str) {
        if plain_form().is_some() {
            redirect(path);
        }
    }
}
