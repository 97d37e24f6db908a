//! Who is asking, and headers that keep pages to themselves.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
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
        accounts::{access_tokens, sessions::SecretToken},
    },
    domain::{account::Actor, problem::Problem},
};

use crate::{errors::ErrorResponse, state::AppState};

/// For answers that are no pages: nothing in them may run or be framed.
pub(crate) const INERT_CSP: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");

/// The signed-in person, or 401.
pub(crate) struct CurrentUser(pub(crate) Actor);

impl FromRequestParts<AppState> for CurrentUser {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ErrorResponse> {
        let actor = match session_token_from_parts(&state.backend, parts) {
            Some(token) => state.backend.sessions().actor(&token).await.map_err(ErrorResponse::from)?,
            None => None,
        };
        actor.map(Self).ok_or_else(|| Problem::SignedOut.into())
    }
}

/// The person of the session, or of the access token in `Authorization: Bearer`; or 401.
pub(crate) struct Uploader(pub(crate) Actor);

impl FromRequestParts<AppState> for Uploader {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ErrorResponse> {
        // Other schemes are a proxy's business: a browser behind one that asks for a password sends it with everything.
        let token = parts.headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        let Some(token) = token else {
            let CurrentUser(actor) = CurrentUser::from_request_parts(parts, state).await?;
            return Ok(Self(actor));
        };
        let actor = state.backend.access_tokens().actor(&token).await.map_err(ErrorResponse::from)?;
        let message = "This access token does not exist, or was revoked.";
        actor.map(Self).ok_or_else(|| Problem::Refused { status: 401, message: message.into() }.into())
    }
}

/// What follows the scheme `Bearer`.
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

/// The token that says who asks, whether or not it is worth anything: where uploads are made, an access token goes before the session's;
/// elsewhere nobody reads one.
pub(crate) fn requester_token<B>(backend: &Arc<Backend>, request: &http::Request<B>) -> Option<SecretToken> {
    let headers = request.headers();
    let token = headers.get(header::AUTHORIZATION).filter(|_| request.uri().path().starts_with("/api/uploads"));
    let token = token.and_then(|value| access_tokens::parse(&bearer(value.as_bytes())?));
    token.or_else(|| session_token_from_headers(backend, headers))
}

/// The page that is being rendered may run its own scripts only.
pub(crate) fn set_page_headers() {
    let (Some(nonce), Some(response)) = (use_nonce(), use_context::<ResponseOptions>()) else { return };
    let media = use_context::<Arc<Backend>>().and_then(|backend| Some(format!(" {}", backend.media_origin()?)));
    let media = media.unwrap_or_default();
    let policy = format!(
        "default-src 'self'; script-src 'nonce-{nonce}' 'strict-dynamic' 'wasm-unsafe-eval'; style-src 'self'; \
         img-src 'self' blob:{media}; media-src 'self' blob:{media}; connect-src 'self'; object-src 'none'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'"
    );
    // A nonce is base64.
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.insert_header(header::CONTENT_SECURITY_POLICY, policy);
    }
    // Pages show what is the reader's own.
    response.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// On every answer.
pub(crate) const COMMON_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// For a site that is reached over TLS only: browsers don't ask for it otherwise for a year. Other hosts below it are not ours to speak for.
pub(crate) const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Takes away every `Referer` that is no page of ours: whatever reads it further in leads nowhere else. `public` is the host of the public
/// address; a proxy may ask for another one.
pub(crate) async fn strip_foreign_referer(
    State(public): State<Arc<str>>,
    mut request: Request,
    next: Next,
) -> Response {
    if !is_referer_own(request.headers(), &public) {
        request.headers_mut().remove(header::REFERER);
    }
    next.run(request).await
}

fn is_referer_own(headers: &HeaderMap, public: &str) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(referer) = text(header::REFERER).and_then(|referer| referer.parse::<Uri>().ok()) else { return false };
    let is_http = matches!(referer.scheme_str(), Some("http" | "https"));
    let hosts = [Some(public), text(header::HOST)];
    let is_from = |host: &str| referer.authority().is_some_and(|from| from.as_str().eq_ignore_ascii_case(host));
    is_http && hosts.into_iter().flatten().any(is_from)
}

/// Server functions take forms and JSON, and only where the request says so: any page on the web can send plain text.
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
