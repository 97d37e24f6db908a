//! Every error outside a page has one shape: `{"statusCode", "error", "message", "requestId"}`, with `"fields"` for forms.

use app::error::AppError;
use axum::{
    Json,
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use vwaza::{backend, domain::problem::Problem};

use crate::{router::REQUEST_ID, site::Site};

/// Seconds; what is worth trying again is so soon.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");
/// Bytes of an error's body that are looked at.
const ERROR_BODY_MAX: usize = 64 * 1024;
/// For a page without scripts.
const STYLED_CSP: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// An error on its way out of a handler.
#[derive(Debug)]
pub(crate) struct Failure(AppError);

impl<E: Into<AppError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.0.retry_after.map(|seconds| [(header::RETRY_AFTER, HeaderValue::from(seconds))]);
        (status, retry_after, Json(self.0)).into_response()
    }
}

pub(crate) type Answer<T = Response> = Result<T, Failure>;

/// For what a handler finds out in the core.
pub(crate) fn fail(error: backend::Error) -> Failure {
    error.into()
}

/// Gives every error outside a page the one shape, its true status and the request's id. Server functions answer 500 to
/// everything; their status stands in the body.
///
/// A browser without scripts, which sends a form and shows what comes, gets a page instead of JSON.
pub(crate) async fn shape(State(site): State<Site>, request: Request, next: Next) -> Response {
    let back = is_plain_form(&request).then(|| page_of(request.headers()));
    let id = request.headers().get(&REQUEST_ID).cloned();
    let is_page = request.method() == Method::GET
        && !["/api", "/media/"].iter().any(|prefix| request.uri().path().starts_with(prefix));
    let here = is_page.then(|| request.uri().path().to_owned());
    let is_head = request.method() == Method::HEAD;
    let mut response = next.run(request).await;
    let status = response.status();
    if is_head {
        may_be_tried_again(status, response.headers_mut());
    }
    // Pages say themselves what is wrong, unless their request never got there.
    let is_told = is_page && status != StatusCode::TOO_MANY_REQUESTS;
    if is_told || is_head || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let back = back.or(here);
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, ERROR_BODY_MAX).await.unwrap_or_default();
    let mut error = serde_json::from_slice::<AppError>(&bytes).unwrap_or_else(|_| plain(status));
    error.request_id = id.as_ref().and_then(|id| id.to_str().ok()).map(str::to_owned);
    parts.status = StatusCode::from_u16(error.status()).unwrap_or(status);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_ENCODING);
    if let Some(back) = back {
        if error.is_signed_out() {
            return Redirect::to("/sign-in").into_response();
        }
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        parts.headers.insert(header::CONTENT_SECURITY_POLICY, STYLED_CSP);
        return Response::from_parts(parts, Body::from(app::form_problem(site.files(), error, back)));
    }
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = error.retry_after {
        parts.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    may_be_tried_again(parts.status, &mut parts.headers);
    let body = serde_json::to_vec(&error).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}

fn may_be_tried_again(status: StatusCode, headers: &mut HeaderMap) {
    if matches!(status.as_u16(), 423 | 429 | 503) {
        headers.entry(header::RETRY_AFTER).or_insert(RETRY_AFTER);
    }
}

/// Some libraries accept HTML with whatever they send: only a form's content is a form.
fn is_plain_form(request: &Request) -> bool {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_form = ["application/x-www-form-urlencoded", "multipart/form-data"]
        .iter()
        .any(|kind| header(header::CONTENT_TYPE).to_ascii_lowercase().starts_with(kind));
    request.method() == Method::POST && is_form && header(header::ACCEPT).contains("text/html")
}

/// The path of the page that sent the request: an address never leads away from here.
pub(crate) fn page_of(headers: &HeaderMap) -> String {
    let referer = headers.get(header::REFERER).and_then(|referer| referer.to_str().ok()?.parse::<Uri>().ok());
    referer
        .map(|referer| referer.path().to_owned())
        .filter(|path| !path.starts_with("//"))
        .unwrap_or_else(|| "/".into())
}

/// What the framework refuses by itself, in our words.
fn plain(status: StatusCode) -> AppError {
    let message = match status.as_u16() {
        404 => "There is nothing at this address.",
        405 => "This address does not take such requests.",
        408 => "The request took too long. Try again.",
        413 => "This is more than the server takes at once.",
        415 => "The server does not take this kind of content.",
        406 => "The server has nothing of this kind.",
        414 | 431 => "This request is too long. Reload the page and try again.",
        416 => "The file has no such part.",
        403 => "This request came from another site and was not carried out.",
        code if code < 500 => "The server did not understand this request. Reload the page and try again.",
        _ => return AppError::internal(),
    };
    AppError::from(Problem::Refused { status: status.as_u16(), message: message.into() })
}
