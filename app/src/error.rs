//! The one error that crosses the wire, in the shape that every error of the product has.

use std::{fmt, time::Duration};

use leptos::prelude::{FromServerFnError, ServerFnErrorErr};
use serde::{Deserialize, Serialize};
use vwaza::domain::{
    http::StatusMeaning,
    limits::LimitedBy,
    problem::{FieldErrors, Problem},
};

use crate::json::JsonText;

/// Shortest wait before a server that was out of reach is asked again.
const RETRY_DELAY: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppError {
    pub status_code: u16,
    /// The status in words: "Too Many Requests".
    pub error: String,
    /// A sentence for the person: what happened, what to do.
    pub message: String,
    #[serde(default, skip_serializing_if = "FieldErrors::is_empty")]
    pub fields: FieldErrors,
    /// Seconds until the request is worth repeating, if it came too soon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// The limit that was used up, unless it is the limit of a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<LimitedBy>,
    /// The id of the request in the log. The server fills it in when it sends the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// The answer of a server function.
pub type ApiResult<T> = Result<T, AppError>;

impl AppError {
    /// The sentence for one field of a form.
    pub fn field(&self, name: &str) -> Option<String> {
        self.fields.get(name).map(str::to_owned)
    }

    /// Moves the sentences of all fields into the message, for places where no field can show them.
    pub fn with_fields_in_message(mut self) -> Self {
        if !self.fields.is_empty() {
            self.message = std::mem::take(&mut self.fields).0.into_values().collect::<Vec<_>>().join(" ");
        }
        self
    }

    /// The sentence for a person. Scripts know the message of a request that came too soon word for word, so people get
    /// another one.
    pub fn user_message(&self) -> String {
        match self.limited_by {
            Some(LimitedBy::Account) => {
                "There were too many failed sign-ins to this account. Use a browser that has signed in before, or set a new password."
                    .into()
            }
            Some(LimitedBy::Code) => "There were too many wrong codes for this account.".into(),
            Some(LimitedBy::CurrentPassword) => "There were too many wrong passwords.".into(),
            Some(LimitedBy::Mail) => "We sent several mails to this address already. Check your spam folder.".into(),
            _ if self.retry_after.is_some() => "There were too many requests from your network in a short time.".into(),
            _ => self.message.clone(),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status_code
    }

    /// The meaning of the HTTP status. Decisions go by it and not by the number.
    pub fn meaning(&self) -> StatusMeaning {
        StatusMeaning::of(self.status_code)
    }

    /// Whether the same request may succeed later, although nobody changes it.
    pub fn may_pass(&self) -> bool {
        self.meaning().may_pass()
    }

    pub fn is_signed_out(&self) -> bool {
        self.meaning() == StatusMeaning::SignedOut
    }

    /// Whether the request named something that does not exist, or that belongs to somebody else.
    pub fn is_missing(&self) -> bool {
        self.meaning() == StatusMeaning::Missing
    }

    /// Whether what the request is about is over, or was removed.
    pub fn is_gone(&self) -> bool {
        self.meaning() == StatusMeaning::Gone
    }

    /// Whether somebody or something was faster, or the state does not allow the request.
    pub fn is_conflict(&self) -> bool {
        self.meaning() == StatusMeaning::Conflict
    }

    /// The id by which support finds the cause in the log. `None` unless the fault is ours, because support cannot help
    /// with a mistyped field.
    pub fn support_id(&self) -> Option<&str> {
        self.request_id.as_deref().filter(|_| self.meaning().is_our_fault() && self.retry_after.is_none())
    }

    /// The wait before the same request is sent again by itself. `None` unless there was trouble on the way or at the
    /// server, or there were too many requests.
    pub fn retry_delay(&self) -> Option<Duration> {
        let wait = Duration::from_secs(self.retry_after.unwrap_or(0).into());
        self.may_pass().then(|| wait.max(RETRY_DELAY))
    }

    /// Logs why a request was refused. A fault of ours is in the log already, with its whole chain.
    #[cfg(feature = "ssr")]
    pub fn log_cause(&self) {
        if self.meaning() == StatusMeaning::Fault {
            return;
        }
        let fields = self.fields.0.iter().map(|(name, message)| format!(" {name}: {message}"));
        let cause: String = std::iter::once(self.message.clone()).chain(fields).collect();
        if self.status_code < 500 {
            tracing::info!(http.status = self.status_code, cause, "refused");
        } else {
            tracing::warn!(http.status = self.status_code, cause, backtrace = vwaza::backend::backtrace(), "refused");
        }
    }

    /// Makes an error from an HTTP status and a sentence.
    pub fn new(status_code: u16, message: impl Into<String>) -> Self {
        Self {
            status_code,
            error: reason_phrase(status_code).into(),
            message: message.into(),
            fields: FieldErrors::default(),
            retry_after: None,
            limited_by: None,
            request_id: None,
        }
    }

    /// The error for an answer that Vwaza did not give. It came from a proxy or from the sign-in page of a network.
    fn foreign_response() -> Self {
        Self::new(
            502,
            "Another server answered instead of Vwaza. Everything you saved is safe. Open Vwaza in a new tab: if it asks you to sign in, do so. \
             Then try again.",
        )
    }

    /// The error for a request that could not be read. Only the log gets the cause, because it means nothing to a
    /// person.
    #[cfg_attr(not(feature = "ssr"), expect(unused_variables, reason = "a browser keeps no log"))]
    fn not_understood_because(cause: &str) -> Self {
        #[cfg(feature = "ssr")]
        tracing::info!(cause, "a request was not understood");
        Self::not_understood()
    }

    #[cfg_attr(not(feature = "ssr"), expect(unused_variables, reason = "a browser keeps no log"))]
    fn internal_because(cause: &ServerFnErrorErr) -> Self {
        #[cfg(feature = "ssr")]
        tracing::error!(error = ?cause, backtrace = vwaza::backend::backtrace(), "a server function failed");
        Self::internal()
    }

    fn not_understood() -> Self {
        Self::new(400, "The server did not understand this request. Reload the page and try again.")
    }

    /// The error for a form that came after its session had ended.
    #[cfg(feature = "ssr")]
    pub fn was_signed_out() -> Self {
        Self::new(401, "You were signed out before this was saved. What you typed is still here. Save it again.")
    }

    /// The error for a fault of ours. The log has the cause.
    pub fn internal() -> Self {
        Self::new(
            500,
            "Something broke on our side, and we have a record of it. Nothing you saved is lost. Try again in a minute.",
        )
    }
}

impl From<Problem> for AppError {
    fn from(problem: Problem) -> Self {
        let mut error = Self::new(problem.status(), problem.to_string());
        match problem {
            Problem::Invalid(fields) => error.fields = fields,
            Problem::RateLimited { by, retry_after_seconds } => {
                error.retry_after = Some(retry_after_seconds);
                error.limited_by = Some(by).filter(|by| *by != LimitedBy::Network);
            }
            _ => {}
        }
        error
    }
}

/// Logs a fault with its chain, here and nowhere else. The person gets a sentence.
#[cfg(feature = "ssr")]
impl From<vwaza::backend::Error> for AppError {
    fn from(error: vwaza::backend::Error) -> Self {
        match error.into_problem() {
            Ok(problem) => problem.into(),
            Err(error) => {
                tracing::error!(error = ?error, backtrace = vwaza::backend::backtrace(), "a request failed");
                // A rendered page shows this id. Other answers get the id when they are sent.
                Self { request_id: request_id(), ..Self::internal() }
            }
        }
    }
}

/// The id of the request in the log.
#[cfg(feature = "ssr")]
fn request_id() -> Option<String> {
    let parts = leptos::prelude::use_context::<http::request::Parts>()?;
    Some(parts.headers.get("x-request-id")?.to_str().ok()?.to_owned())
}

impl FromServerFnError for AppError {
    type Encoder = JsonText;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        match error {
            ServerFnErrorErr::Request(_) => {
                Self::new(503, "The server cannot be reached. Check your connection; nothing you saved is lost.")
            }
            // A `Deserialization` error is about a request on the server, and about an answer in the browser.
            ServerFnErrorErr::Args(cause) | ServerFnErrorErr::MissingArg(cause) => Self::not_understood_because(&cause),
            ServerFnErrorErr::Deserialization(cause) if cfg!(feature = "ssr") => Self::not_understood_because(&cause),
            ServerFnErrorErr::Deserialization(_) => Self::foreign_response(),
            ServerFnErrorErr::UnsupportedRequestMethod(_) => Self::new(405, "This address takes POST requests only."),
            error => Self::internal_because(&error),
        }
    }
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for AppError {}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        422 => "Unprocessable Entity",
        423 => "Locked",
        431 => "Request Header Fields Too Large",
        429 => "Too Many Requests",
        460 => "Checksum Mismatch",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        507 => "Insufficient Storage",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_faults_have_an_id_for_support() {
        let error = |status_code, retry_after| AppError {
            status_code,
            retry_after,
            request_id: Some("an id".into()),
            ..AppError::internal()
        };
        assert_eq!(error(500, None).support_id(), Some("an id"));
        for (status_code, retry_after) in [(400, None), (401, None), (404, None), (429, Some(5)), (503, Some(2))] {
            assert_eq!(error(status_code, retry_after).support_id(), None, "{status_code}");
        }
    }

    #[test]
    fn what_may_pass_is_asked_for_again_unasked() {
        let delay = |status_code, retry_after| {
            AppError { retry_after, ..AppError::new(status_code, "Words.") }.retry_delay().map(|delay| delay.as_secs())
        };
        for status in [0, 408, 423, 429, 500, 502, 503, 504, 507, 520] {
            assert_eq!(delay(status, None), Some(5), "{status}");
        }
        for status in [400, 401, 403, 404, 405, 409, 410, 412, 413, 415, 422, 460] {
            assert_eq!(delay(status, None), None, "{status}");
        }
        assert_eq!(delay(429, Some(34)), Some(34));
    }
}
