//! Plain forms: forms that a browser sends without scripts. Each is answered with a redirect to a page of ours, and a
//! flash carries the message for that page.
//!
//! The framework would redirect to any `Referer`, with the error in the address. Any link could then put words into our
//! mouth.

use std::collections::BTreeMap;

use app::{
    api::{
        PUBLIC_PATHS,
        account::{local_path, with_next},
        ssr::PlainForm,
    },
    error::AppError,
    state::flash::{Flash, FormOutcome, is_kept},
};
use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use axum_extra::extract::CookieJar;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, response::Parts};
use vwaza::backend::accounts::tokens::SecretToken;

use crate::{
    errors::{is_plain_form, referring_page},
    state::AppState,
};

/// Bytes of a form. The longest reason and the longest password fit many times over.
pub(crate) const FORM_MAX_BYTES: usize = 64 * 1024;
/// Headers with which the framework talks to its own scripts.
const FRAMEWORK_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("serverfnredirect"), HeaderName::from_static("serverfnerror")];
/// The form in the head of every page. Its outcome is shown on whatever page the browser is led to.
const SIGN_OUT_PATH: &str = "/api/account/sign-out";

/// Answers plain forms with redirects. Wraps the server functions.
pub(crate) async fn redirect_plain_form(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let form = is_plain_form(&request).then(|| referring_page(request.headers()));
    // The framework then treats every request as one of a script.
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    request.headers_mut().remove(header::REFERER);
    let Some(page) = form else { return next.run(request).await };
    let (mut parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, FORM_MAX_BYTES).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let form = PlainForm::default();
    parts.extensions.insert(form.clone());
    let submitted = SubmittedForm { function: parts.uri.path().to_owned(), page, fields: parse_fields(&body) };
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let is_done = response.status().is_success();
    let (parts, body) = response.into_parts();
    if is_done {
        let (to, flash) = submitted.after_success(&parts.headers, &form);
        return submitted
            .redirect_with_flash(&state, parts, &to, flash.as_ref())
            .await
            .unwrap_or_else(|parts| redirect(parts, &to));
    }
    let bytes = to_bytes(body, FORM_MAX_BYTES).await.unwrap_or_default();
    if let Ok(error) = serde_json::from_slice::<AppError>(&bytes) {
        let (to, flash) = submitted.after_refusal(error);
        return match submitted.redirect_with_flash(&state, parts, &to, Some(&flash)).await {
            Ok(response) => response,
            // The error gets a page of its own from `errors::error_envelope`.
            Err(parts) => Response::from_parts(parts, Body::from(bytes)),
        };
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// A form as it was sent.
struct SubmittedForm {
    /// The path of the server function.
    function: String,
    /// The page that held the form, with its query. `None` if the browser does not send a `Referer`.
    page: Option<String>,
    fields: Vec<(String, String)>,
}

impl SubmittedForm {
    /// The address to redirect to after a success, and the message to show there.
    fn after_success(&self, headers: &HeaderMap, form: &PlainForm) -> (String, Option<Flash>) {
        let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
        let to = location.map(local_path).or(self.page.as_deref()).unwrap_or("/").to_owned();
        (to, form.success_message().map(|words| self.flash(FormOutcome::Done(words))))
    }

    /// The address to redirect to after an error, and the error. A person who is signed out by now goes through the
    /// sign-in and finds what they typed when they are back.
    fn after_refusal(&self, error: AppError) -> (String, Flash) {
        let page = self.page.clone().unwrap_or_else(|| "/".into());
        if error.is_signed_out() && !PUBLIC_PATHS.contains(&self.function.as_str()) {
            let flash = self.flash(FormOutcome::Refused(AppError::was_signed_out()));
            return (with_next("/sign-in", &page), flash);
        }
        (page, self.flash(FormOutcome::Refused(error)))
    }

    fn flash(&self, outcome: FormOutcome) -> Flash {
        let field = |name: &str| self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
        let kept = self.fields.iter().filter(|(name, _)| is_kept(name) && matches!(outcome, FormOutcome::Refused(_)));
        Flash {
            typed: kept.cloned().collect::<BTreeMap<_, _>>(),
            function: self.function.clone(),
            subject: field("id").unwrap_or_default(),
            has_no_form: self.page.is_none() || self.function == SIGN_OUT_PATH,
            outcome,
        }
    }

    /// Redirects to a page that shows the flash. `Err` gives the response back if the flash cannot be saved.
    async fn redirect_with_flash(
        &self,
        state: &AppState,
        parts: Parts,
        to: &str,
        flash: Option<&Flash>,
    ) -> Result<Response, Parts> {
        let Some(flash) = flash else { return Ok(redirect(parts, to)) };
        // After a refusal, the page with the form shows the flash, even if a sign-in comes first.
        let shown_at = match &flash.outcome {
            FormOutcome::Done(_) => to,
            FormOutcome::Refused(_) => self.page.as_deref().unwrap_or("/"),
        };
        let shown_at = shown_at.split(['?', '#']).next().unwrap_or("/");
        let content = flash_json(flash);
        let token = match state.backend.flashes().leave(shown_at, &content).await {
            Ok(token) => token,
            Err(error) => {
                tracing::warn!(error = ?error, "saving a flash failed");
                None
            }
        };
        let Some(token) = token else { return Err(parts) };
        let mut response = redirect(parts, to);
        set_cookie(&mut response, &state.backend.flash_cookie().header(Some(&token)));
        Ok(response)
    }
}

/// The flash as JSON. If that exceeds `FORM_MAX_BYTES`, what was typed is left out.
fn flash_json(flash: &Flash) -> String {
    let content = serde_json::to_string(flash).unwrap_or_default();
    if content.len() <= FORM_MAX_BYTES {
        return content;
    }
    serde_json::to_string(&Flash { typed: BTreeMap::new(), ..flash.clone() }).unwrap_or_default()
}

fn parse_fields(body: &Bytes) -> Vec<(String, String)> {
    form_urlencoded::parse(body).into_owned().collect()
}

/// Turns a response into a redirect. Keeps its cookies and other headers.
fn redirect(mut parts: Parts, to: &str) -> Response {
    parts.status = StatusCode::FOUND;
    for name in FRAMEWORK_HEADERS.iter().chain(&[header::CONTENT_TYPE, header::CONTENT_LENGTH]) {
        parts.headers.remove(name);
    }
    // `to` came in a header or consists of ids, so every character fits into a header.
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    parts.headers.insert(header::LOCATION, to);
    Response::from_parts(parts, Body::empty())
}

fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Hands a flash to the page that it is for. Wraps the pages.
pub(crate) async fn attach_flash(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let cookie = state.backend.flash_cookie();
    let jar = CookieJar::from_headers(request.headers());
    let token = jar.get(cookie.name()).and_then(|cookie| SecretToken::parse(cookie.value()));
    let Some(token) = token.filter(|_| request.method() == Method::GET) else { return next.run(request).await };
    let content = match state.backend.flashes().take(&token, request.uri().path()).await {
        Ok(Some(content)) => content,
        Ok(None) => return next.run(request).await,
        Err(error) => {
            tracing::warn!(error = ?error, "reading a flash failed; the page is shown without it");
            return next.run(request).await;
        }
    };
    // Another version of the server may have written the flash.
    if let Ok(flash) = serde_json::from_str::<Flash>(&content) {
        request.extensions_mut().insert(flash);
    }
    let mut response = next.run(request).await;
    set_cookie(&mut response, &cookie.header(None));
    response
}
