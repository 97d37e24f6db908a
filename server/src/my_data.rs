//! `GET /api/account/data`: all data that we hold about a user, as one ZIP file.

use axum::{body::Body, extract::State, response::IntoResponse};
use http::{HeaderValue, header};
use tokio_util::io::ReaderStream;

use crate::{errors::HandlerResult, security::CurrentUser, state::AppState};

pub(crate) async fn download(State(state): State<AppState>, CurrentUser(actor): CurrentUser) -> HandlerResult {
    let archive = state.backend.my_data().archive(&actor).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/zip")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"vwaza-data.zip\"")),
    ];
    Ok((headers, Body::from_stream(ReaderStream::new(archive))).into_response())
}
