//! Forms that a browser sends without scripts: each is answered with a redirect to a page of ours, and a flash carries what there is to say.
//!
//! The framework would redirect to whatever `Referer` says, with the error in the address. Any link could then put words into our mouth.

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
use vwaza::backend::accounts::sessions::SecretToken;

use crate::{
    errors::{is_plain_form, referring_page},
    state::AppState,
};

/// Forms are small: the longest reason and the longest password fit many times over.
pub(crate) const FORM_MAX_BYTES: usize = 64 * 1024;
/// The framework's own words to its own scripts.
const FRAMEWORK_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("serverfnredirect"), HeaderName::from_static("serverfnerror")];
/// In the head of every page: what it came to is told wherever the browser is led.
const SIGN_OUT_PATH: &str = "/api/account/sign-out";

/// Around server functions.
pub(crate) async fn redirect_plain_form(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let form = is_plain_form(&request).then(|| referring_page(request.headers()));
    // To the framework, every request is a script's.
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
            // Without a flash the error has a page of its own: see `errors::shape`.
            Err(parts) => Response::from_parts(parts, Body::from(bytes)),
        };
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// A form as it came.
struct SubmittedForm {
    /// The path of the server function.
    function: String,
    /// The page that it stood on, with its query; unknown where the browser does not tell.
    page: Option<String>,
    fields: Vec<(String, String)>,
}

impl SubmittedForm {
    /// Where to go on after a success, and what to say there.
    fn after_success(&self, headers: &HeaderMap, form: &PlainForm) -> (String, Option<Flash>) {
        let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
        let to = location.map(local_path).or(self.page.as_deref()).unwrap_or("/").to_owned();
        (to, form.success_message().map(|words| self.flash(FormOutcome::Done(words))))
    }

    /// Where to go on after an error, and the error. The way of whoever is signed out by now leads over the sign-in, and what they typed is
    /// there when they are back.
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

    /// The redirect to a page that shows the flash. `Err`: the flash cannot be kept at present.
    async fn redirect_with_flash(
        &self,
        state: &AppState,
        parts: Parts,
        to: &str,
        flash: Option<&Flash>,
    ) -> Result<Response, Parts> {
        let Some(flash) = flash else { return Ok(redirect(parts, to)) };
        // After a sign-in on the way, the page is where the form stood.
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

/// As text. Where that is longer than a form may be, what was typed stays behind.
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

/// Keeps cookies and what else the answer sets.
fn redirect(mut parts: Parts, to: &str) -> Response {
    parts.status = StatusCode::FOUND;
    for name in FRAMEWORK_HEADERS.iter().chain(&[header::CONTENT_TYPE, header::CONTENT_LENGTH]) {
        parts.headers.remove(name);
    }
    // An address of ours has no character that a header refuses: it came in one, or is made of ids.
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    parts.headers.insert(header::LOCATION, to);
    Response::from_parts(parts, Body::empty())
}

fn set_cookie(response: &mut Response, cookie: &str) {
    // A cookie's name and token are ASCII letters, digits and dashes.
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Around pages: hands a flash to the page that it is for.
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
    // Another version of the server may have written it.
    if let Ok(flash) = serde_json::from_str::<Flash>(&content) {
        request.extensions_mut().insert(flash);
    }
    let mut response = next.run(request).await;
    set_cookie(&mut response, &cookie.header(None));
    response
}
