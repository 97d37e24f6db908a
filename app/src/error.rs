//! The one error that crosses the wire, in the shape that every error of the product has.

use std::fmt;

use leptos::prelude::{FromServerFnError, ServerFnErrorErr};
use serde::{Deserialize, Serialize};
use vwaza::domain::{
    limits::LimitedBy,
    problem::{FieldErrors, Problem},
};

use crate::api::json::JsonText;

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
    /// Where a request came too soon: seconds until it is worth repeating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// The limit that was used up, where it is not that of a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<LimitedBy>,
    /// Names the request in the log; filled in on the way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// What the server functions answer with.
pub type ApiResult<T> = Result<T, AppError>;

impl AppError {
    /// The sentence for one field of a form.
    pub fn field(&self, name: &str) -> Option<String> {
        self.fields.get(name).map(str::to_owned)
    }

    /// The sentence for a person. The message of a request that came too soon is for scripts, which know it word for word.
    pub fn words(&self) -> String {
        match self.limited_by {
            Some(LimitedBy::Account) => {
                "There were too many failed sign-ins to this account. Use a browser that has signed in before, or set a new password."
                    .into()
            }
            Some(LimitedBy::Code) => "There were too many wrong codes for this account.".into(),
            Some(LimitedBy::CurrentPassword) => "There were too many wrong passwords.".into(),
            Some(LimitedBy::Mail) => "We sent several mails to this address already. Look into your spam folder, too.".into(),
            _ if self.retry_after.is_some() => "There were too many requests from your network in a short time.".into(),
            _ => self.message.clone(),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status_code
    }

    pub fn is_signed_out(&self) -> bool {
        self.status_code == 401
    }

    fn new(status_code: u16, message: impl Into<String>) -> Self {
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

    fn not_understood() -> Self {
        Self::new(400, "The server did not understand this request. Reload the page and try again.")
    }

    /// Something broke on our side; the log says what.
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

/// The log gets the chain, here and only here; the person gets a sentence.
#[cfg(feature = "ssr")]
impl From<vwaza::backend::Error> for AppError {
    fn from(error: vwaza::backend::Error) -> Self {
        match error.into_problem() {
            Ok(problem) => problem.into(),
            Err(error) => {
                tracing::error!(error = ?error, "a request failed");
                // A page that is being rendered shows it itself; on other ways out it is filled in once more.
                Self { request_id: crate::api::ssr::request_id(), ..Self::internal() }
            }
        }
    }
}

impl FromServerFnError for AppError {
    type Encoder = JsonText;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        match error {
            ServerFnErrorErr::Request(_) => {
                Self::new(503, "The server cannot be reached. Check your connection; nothing you saved is lost.")
            }
            ServerFnErrorErr::Args(_) | ServerFnErrorErr::MissingArg(_) => Self::not_understood(),
            // On the server this is a request; in the browser it is an answer, and the server's fault.
            ServerFnErrorErr::Deserialization(_) if cfg!(feature = "ssr") => Self::not_understood(),
            ServerFnErrorErr::UnsupportedRequestMethod(_) => Self::new(405, "This address takes POST requests only."),
            _ => Self::internal(),
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
        503 => "Service Unavailable",
        507 => "Insufficient Storage",
        _ => "Internal Server Error",
    }
}
