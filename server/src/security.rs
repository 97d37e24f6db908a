//! Finds out who sends a request, and sets the headers that protect pages and files.

use std::sync::Arc;

use app::error::AppError;
use axum::{
    extract::{FromRequestParts, Request},
    middleware::Next,
    response::{IntoResponse, Response},
};
use axum_extra::extract::CookieJar;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request::Parts};
use leptos::{nonce::use_nonce, prelude::use_context};
use leptos_axum::ResponseOptions;
use vwaza::{
    backend::{
        Backend,
        accounts::{access_tokens, tokens::SecretToken},
    },
    domain::{account::Actor, problem::Problem},
};

use crate::{errors::ErrorResponse, state::AppState};

/// The content security policy for responses that are not pages: nothing in them may run or be framed.
pub(crate) const INERT_CSP: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");

/// Extracts the signed-in user. Rejects with 401.
pub(crate) struct CurrentUser(pub(crate) Actor);

impl FromRequestParts<AppState> for CurrentUser {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ErrorResponse> {
        let actor = match session_token_from_parts(&state.backend, parts) {
            Some(token) => state.backend.sessions().actor(&token).await?,
            None => None,
        };
        actor.map(Self).ok_or_else(|| Problem::SignedOut.into())
    }
}

/// Extracts the user of the access token in `Authorization: Bearer`, or of the session. Rejects with 401.
pub(crate) struct Uploader(pub(crate) Actor);

impl FromRequestParts<AppState> for Uploader {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ErrorResponse> {
        // Other schemes belong to a proxy: behind one that asks for a password, browsers send that password with every
        // request.
        let token = parts.headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        let Some(token) = token else {
            let CurrentUser(actor) = CurrentUser::from_request_parts(parts, state).await?;
            return Ok(Self(actor));
        };
        let actor = state.backend.access_tokens().actor(&token).await?;
        let message = "This access token does not exist, has expired, or was revoked.";
        actor.map(Self).ok_or_else(|| AppError::new(401, message).into())
    }
}

/// Returns the token that follows the scheme `Bearer`. The typed header takes a token that is empty or not ASCII for no
/// token at all, and the session would then speak for a script whose token is wrong.
fn bearer(authorization: &[u8]) -> Option<String> {
    let authorization = String::from_utf8_lossy(authorization);
    let (scheme, token) = authorization.split_once(' ').unwrap_or((&authorization, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

pub(crate) fn session_token_from_parts(backend: &Arc<Backend>, parts: &Parts) -> Option<SecretToken> {
    session_token_from_headers(backend, &parts.headers)
}

fn session_token_from_headers(backend: &Arc<Backend>, headers: &HeaderMap) -> Option<SecretToken> {
    let jar = CookieJar::from_headers(headers);
    SecretToken::parse(jar.get(backend.session_cookie().name())?.value())
}

/// Returns the token that names the user of a request, without checking it. Below `/api/uploads`, an access token takes
/// precedence over the session's; elsewhere access tokens are ignored.
pub(crate) fn requester_token<B>(backend: &Arc<Backend>, request: &http::Request<B>) -> Option<SecretToken> {
    let headers = request.headers();
    let token = headers.get(header::AUTHORIZATION).filter(|_| request.uri().path().starts_with("/api/uploads"));
    let token = token.and_then(|value| access_tokens::parse(&bearer(value.as_bytes())?));
    token.or_else(|| session_token_from_headers(backend, headers))
}

/// Sets the content security policy of the page that is being rendered: only its own scripts may run.
pub(crate) fn set_page_headers() {
    let (Some(nonce), Some(response)) = (use_nonce(), use_context::<ResponseOptions>()) else { return };
    let media = use_context::<Arc<Backend>>().and_then(|backend| Some(format!(" {}", backend.media_origin()?)));
    let media = media.unwrap_or_default();
    let policy = format!(
        "default-src 'self'; script-src 'nonce-{nonce}' 'strict-dynamic' 'wasm-unsafe-eval'; style-src 'self'; \
         img-src 'self' blob:{media}; media-src 'self' blob:{media}; connect-src 'self'; object-src 'none'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'"
    );
    // A nonce is base64, so it fits into a header.
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.insert_header(header::CONTENT_SECURITY_POLICY, policy);
    }
    // A page may show private data of its reader.
    response.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Headers of every response.
pub(crate) const COMMON_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// For a site that is reached over TLS only: browsers use TLS for a year. Subdomains are not included, because others
/// may run them.
pub(crate) const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Removes a `Referer` of another site, so that no inner layer redirects there. `public` is the host of the public URL;
/// a proxy may use another host in its requests.
pub(crate) fn strip_foreign_referer(public: &str, request: &mut Request) {
    if !is_referer_own(request.headers(), public) {
        request.headers_mut().remove(header::REFERER);
    }
}

fn is_referer_own(headers: &HeaderMap, public: &str) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(referer) = text(header::REFERER).and_then(|referer| referer.parse::<Uri>().ok()) else { return false };
    let is_http = matches!(referer.scheme_str(), Some("http" | "https"));
    let hosts = [Some(public), text(header::HOST)];
    let is_from = |host: &str| referer.authority().is_some_and(|from| from.as_str().eq_ignore_ascii_case(host));
    is_http && hosts.into_iter().flatten().any(is_from)
}

/// Accepts POST requests to server functions only as a form or JSON. Any page on the web can make a browser send plain
/// text.
pub(crate) async fn require_form_or_json(request: Request, next: Next) -> Response {
    let is_known =
        request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
            let essence = kind.split(';').next().unwrap_or_default().trim();
            ["application/x-www-form-urlencoded", "application/json"]
                .iter()
                .any(|known| essence.eq_ignore_ascii_case(known))
        });
    if request.method() == Method::POST && !is_known {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    next.run(request).await
}
