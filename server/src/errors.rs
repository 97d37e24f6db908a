//! The error envelope of every response outside pages: `{"statusCode", "error", "message", "requestId"}`, with
//! `"fields"` for forms.

use app::{
    api::{PUBLIC_PATHS, account::local_path},
    error::AppError,
};
use axum::{
    Extension, Json,
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use tracing::info;
use vwaza::domain::http::StatusMeaning;

use crate::site::Site;

/// The header with a request's id. Requests carry it to the handlers, and every response carries it.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Seconds until a request that may succeed later is worth trying again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");
/// At most this many bytes of an error's body are read.
const ERROR_BODY_MAX: usize = 64 * 1024;
/// Characters of another layer's error that are logged.
const LOGGED_CAUSE_MAX_CHARS: usize = 500;
/// Path prefixes that no person opens in a browser. Their errors are JSON.
const NON_PAGE_PREFIXES: [&str; 2] = ["/api", "/media/"];
const HEALTH_PATHS: [&str; 2] = ["/health", "/health/live"];
/// For the page without scripts that shows an error of a plain form.
const STATIC_PAGE_CSP: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Marks a response whose cause is already logged.
#[derive(Clone, Copy)]
struct CauseLogged;

/// An error on its way from a handler to the client.
#[derive(Debug)]
pub(crate) struct ErrorResponse(AppError);

impl<E: Into<AppError>> From<E> for ErrorResponse {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.0.retry_after.map(|seconds| [(header::RETRY_AFTER, HeaderValue::from(seconds))]);
        // The cause is logged here because the response to a HEAD loses its body on its way out.
        self.0.log_cause();
        (status, retry_after, Extension(CauseLogged), Json(self.0)).into_response()
    }
}

pub(crate) type HandlerResult<T = Response> = Result<T, ErrorResponse>;

/// Gives every error outside pages the error envelope, its true status and the request's id. Server functions answer
/// every error with 500; the true status is in the body.
///
/// A plain form (sent by a browser without scripts) gets a page instead of JSON.
pub(crate) async fn error_envelope(State(site): State<Site>, request: Request, next: Next) -> Response {
    let back = is_plain_form(&request).then(|| referring_page_or_start(request.headers()));
    // At these paths, 401 means a wrong password.
    let is_public = PUBLIC_PATHS.contains(&request.uri().path());
    let id = request.headers().get(&REQUEST_ID).cloned();
    let path = request.uri().path();
    // Other methods never reach the health handlers.
    let is_health = HEALTH_PATHS.contains(&path) && matches!(*request.method(), Method::GET | Method::HEAD);
    let is_page = request.method() == Method::GET
        && !is_health
        && path != "/metrics"
        && !NON_PAGE_PREFIXES.iter().any(|prefix| path.starts_with(prefix));
    let here = is_page.then(|| path.to_owned());
    let is_head = request.method() == Method::HEAD;
    let mut response = next.run(request).await;
    let status = response.status();
    if is_head {
        set_retry_after(status, response.headers_mut());
    }
    // Pages and the health check explain their own errors, unless an outer layer answered the request.
    let is_json =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == b"application/json");
    let has_own_body = is_health || is_page && !is_json;
    if has_own_body || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let back = back.or(here);
    let (mut parts, body) = response.into_parts();
    let is_logged = parts.extensions.get::<CauseLogged>().is_some();
    let bytes = to_bytes(body, ERROR_BODY_MAX).await.unwrap_or_default();
    let mut error = match serde_json::from_slice::<AppError>(&bytes) {
        Ok(error) => {
            if !is_logged {
                error.log_cause();
            }
            error
        }
        Err(_) => {
            // A page has already logged its cause.
            if !is_logged && !is_html(&parts.headers) {
                let cause: String = String::from_utf8_lossy(&bytes).chars().take(LOGGED_CAUSE_MAX_CHARS).collect();
                info!(http.status = status.as_u16(), cause, "refused");
            }
            error_of_status(status)
        }
    };
    if is_head {
        return Response::from_parts(parts, Body::empty());
    }
    error.request_id = id.as_ref().and_then(|id| id.to_str().ok()).map(str::to_owned);
    parts.status = StatusCode::from_u16(error.status()).unwrap_or(status);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_ENCODING);
    if let Some(back) = back {
        if error.is_signed_out() && !is_public {
            return Redirect::to("/sign-in").into_response();
        }
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        parts.headers.insert(header::CONTENT_SECURITY_POLICY, STATIC_PAGE_CSP);
        return Response::from_parts(parts, Body::from(app::form_problem(site.files(), error, back)));
    }
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = error.retry_after {
        parts.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    set_retry_after(parts.status, &mut parts.headers);
    let body = serde_json::to_vec(&error).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}

fn set_retry_after(status: StatusCode, headers: &mut HeaderMap) {
    if StatusMeaning::of(status.as_u16()).has_retry_after() {
        headers.entry(header::RETRY_AFTER).or_insert(RETRY_AFTER);
    }
}

fn is_html(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

/// Tells whether a request is a plain form. Some libraries accept HTML with whatever they send, so the content type
/// must be a form's, too.
pub(crate) fn is_plain_form(request: &Request) -> bool {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_form = ["application/x-www-form-urlencoded", "multipart/form-data"]
        .iter()
        .any(|kind| header(header::CONTENT_TYPE).to_ascii_lowercase().starts_with(kind));
    request.method() == Method::POST && is_form && header(header::ACCEPT).contains("text/html")
}

/// The page that sent the request, as path and query, or `/` if it is unknown. The result never leads to another site.
pub(crate) fn referring_page_or_start(headers: &HeaderMap) -> String {
    referring_page(headers).unwrap_or_else(|| "/".into())
}

/// As `referring_page_or_start`, but `None` if the page is unknown. `security::strip_foreign_referer` has already
/// removed referers of other sites.
pub(crate) fn referring_page(headers: &HeaderMap) -> Option<String> {
    let referer: Uri = headers.get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    let path = referer.path();
    let is_page = !["/api", "/media"].iter().any(|room| path == *room || path.starts_with(&format!("{room}/")));
    let page = referer.path_and_query()?.as_str();
    (is_page && local_path(page) == page).then(|| strip_framework_query(page))
}

/// Removes the query fields from which the framework reads errors. Nothing of ours writes them.
fn strip_framework_query(page: &str) -> String {
    let Some((path, query)) = page.split_once('?') else { return page.to_owned() };
    let is_ours = |pair: &&str| !["__path", "__err"].contains(&pair.split('=').next().unwrap_or_default());
    let query: Vec<&str> = query.split('&').filter(is_ours).collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

/// Words for what the framework refuses by itself.
fn error_of_status(status: StatusCode) -> AppError {
    let message = match status.as_u16() {
        404 => "There is nothing at this address.",
        405 => "This address does not accept this kind of request.",
        408 => "The request took too long. Try again.",
        413 => "This request is too large for the server.",
        415 => "The server does not accept this type of content.",
        406 => "The server can't answer in the format that you asked for.",
        414 | 431 => "This request is too long. Reload the page and try again.",
        416 => "The file does not have the part that you asked for.",
        403 => "This request came from another site and was not carried out.",
        code if code < 500 => "The server did not understand this request. Reload the page and try again.",
        _ => return AppError::internal(),
    };
    AppError::new(status.as_u16(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(referer: &str) -> String {
        let referer = HeaderValue::from_bytes(referer.as_bytes()).unwrap();
        referring_page_or_start(&HeaderMap::from_iter([(header::REFERER, referer)]))
    }

    #[test]
    fn any_referer_leads_to_a_page_of_ours() {
        assert_eq!(page("http://music.example/sign-in?next=%2Faccount"), "/sign-in?next=%2Faccount");
        assert_eq!(page("http://music.example/sign-in?__path=a&next=b&__err=c"), "/sign-in?next=b");
        assert_eq!(page("http://music.example/sign-in?__err=c"), "/sign-in");
        assert_eq!(page("http://music.example"), "/");
        for referer in [
            "",
            "//evil.example",
            "/\\evil.example",
            "http://music.example//evil.example",
            "http://music.example/\\evil.example",
            "http://music.example/x\t/evil",
            "http://music.example/api/account/sign-in",
            "http://music.example/media",
            "javascript:alert(1)",
            "about:blank",
            "\u{2044}evil",
        ] {
            assert_eq!(page(referer), "/", "{referer}");
        }
    }
}
