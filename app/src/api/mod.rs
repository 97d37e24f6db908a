//! All server functions, one file per entity: the audited surface. Each is: who, do, return.
//!
//! POST only, at explicit addresses under `/api/`. Each names its actor or stands on [`PUBLIC`]; a test walks the list.

pub mod access_tokens;
pub mod account;
pub mod json;
pub mod queue;
pub mod releases;
pub mod review;
pub mod sessions;
pub mod tracks;
pub mod uploads;

/// What may be called without being signed in.
pub const PUBLIC: [&str; 4] =
    ["/api/account/current", "/api/account/sign-in", "/api/account/sign-out", "/api/account/sign-up"];

/// What server functions need of their surroundings.
#[cfg(feature = "ssr")]
pub mod ssr {
    use std::sync::Arc;

    use axum_extra::extract::CookieJar;
    use http::{
        HeaderValue,
        header::{ACCEPT, SET_COOKIE, USER_AGENT},
        request::Parts,
    };
    use leptos::prelude::{expect_context, use_context};
    use leptos_axum::ResponseOptions;
    use vwaza::{
        backend::{
            Backend,
            sessions::{SecretToken, UserAgent},
        },
        domain::{account::Actor, problem::Problem},
    };

    use crate::error::AppError;

    /// The core, as the server has put it into the context of every request.
    pub fn backend() -> Arc<Backend> {
        expect_context::<Arc<Backend>>()
    }

    /// The session that the request's cookie names, whether or not it is valid.
    pub fn session_token() -> Option<SecretToken> {
        let parts = use_context::<Parts>()?;
        let jar = CookieJar::from_headers(&parts.headers);
        SecretToken::parse(jar.get(backend().session_cookie().name())?.value())
    }

    /// What the browser says of itself, if anything.
    pub fn user_agent() -> UserAgent {
        let parts = use_context::<Parts>();
        let text = parts.as_ref().and_then(|parts| parts.headers.get(USER_AGENT)?.to_str().ok());
        UserAgent::cut(text.unwrap_or_default())
    }

    /// Names the request in the log.
    pub fn request_id() -> Option<String> {
        let parts = use_context::<Parts>()?;
        Some(parts.headers.get("x-request-id")?.to_str().ok()?.to_owned())
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
        let cookie = backend().session_cookie().header(token);
        // A cookie's name and token are ASCII letters, digits and dashes.
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            expect_context::<ResponseOptions>().append_header(SET_COOKIE, value);
        }
    }

    pub fn redirect(path: &str) {
        leptos_axum::redirect(path);
    }

    /// As `redirect`, but for plain forms only: a script that changes the session loads the next page anew by itself.
    pub fn redirect_form(path: &str) {
        let parts = use_context::<Parts>();
        let accept = parts.as_ref().and_then(|parts| parts.headers.get(ACCEPT)?.to_str().ok());
        if accept.is_some_and(|accept| accept.contains("text/html")) {
            redirect(path);
        }
    }
}
