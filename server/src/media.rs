//! `GET /media/…`: serves covers and audio to those who may see them, whole or as ranges.

use axum::{
    body::Body,
    extract::{Path, State},
    response::IntoResponse,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use vwaza::{
    backend::storage::media_files::MediaFile,
    domain::{download::content_disposition, ids::ObjectId, problem::Problem, range::RequestedRange},
};

use crate::{
    errors::HandlerResult,
    security::{CurrentUser, INERT_CSP},
    state::AppState,
};

/// The bytes under an ETag never change, but the permission to read them may. Browsers must send the ETag each time, so
/// that nobody reads the file from a cache after the user has signed out.
const CACHE_POLICY: HeaderValue = HeaderValue::from_static("private, no-cache");

pub(crate) async fn original(
    State(state): State<AppState>,
    CurrentUser(actor): CurrentUser,
    Path(object): Path<String>,
    headers: HeaderMap,
) -> HandlerResult {
    let file = state.backend.media_files().original(&actor, parse(&object)?).await?;
    redirect_or_stream(&state, &file, &headers).await
}

pub(crate) async fn listening(
    State(state): State<AppState>,
    CurrentUser(actor): CurrentUser,
    Path(audio): Path<String>,
    headers: HeaderMap,
) -> HandlerResult {
    let file = state.backend.media_files().listening(&actor, parse(&audio)?).await?;
    redirect_or_stream(&state, &file, &headers).await
}

/// Redirects to the storage if it offers signed addresses; otherwise streams the file.
async fn redirect_or_stream(state: &AppState, file: &MediaFile, headers: &HeaderMap) -> HandlerResult {
    if let Some(address) = state.backend.media_files().address(file).await? {
        // Not stored, so that a player that goes on after the address has expired requests a new one.
        let location = HeaderValue::from_str(&address).map_err(|_| Problem::NotFound)?;
        let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        return Ok((StatusCode::TEMPORARY_REDIRECT, headers).into_response());
    }
    let mut response = stream(state, file, headers).await?;
    // Our own pages show and play the file. If it is opened by itself, the browser saves it and never runs it.
    let disposition = file.saved_as.as_deref().map_or_else(|| "attachment".to_owned(), content_disposition);
    let disposition = HeaderValue::from_str(&disposition).map_err(|_| Problem::NotFound)?;
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}

pub(crate) async fn thumbnail(
    State(state): State<AppState>,
    CurrentUser(actor): CurrentUser,
    Path((cover, edge_px)): Path<(String, String)>,
    headers: HeaderMap,
) -> HandlerResult {
    let edge_px: u16 = edge_px.parse().map_err(|_| Problem::NotFound)?;
    let file = state.backend.media_files().thumbnail(&actor, parse(&cover)?, edge_px.into()).await?;
    stream(&state, &file, &headers).await
}

fn parse(id: &str) -> Result<ObjectId, Problem> {
    id.parse().map_err(|_| Problem::NotFound)
}

async fn stream(state: &AppState, file: &MediaFile, headers: &HeaderMap) -> HandlerResult {
    let etag = format!("\"{}\"", file.tag());
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if text(header::IF_NONE_MATCH) == Some(etag.as_str()) {
        return Ok(
            (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)], [(header::CACHE_CONTROL, CACHE_POLICY)]).into_response()
        );
    }
    let wants_range = text(header::RANGE).filter(|_| text(header::IF_RANGE).is_none_or(|tag| tag == etag));
    let range = match wants_range.map(|range| RequestedRange::parse(range, file.size_bytes)) {
        None | Some(RequestedRange::Whole) => None,
        Some(RequestedRange::Part(range)) => Some(range),
        Some(RequestedRange::Unsatisfiable) => {
            let all = format!("bytes */{}", file.size_bytes);
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, all)]).into_response());
        }
    };
    let bytes = state.backend.media_files().read(file, range.clone()).await?;
    let length = range.as_ref().map_or(file.size_bytes, |range| range.end - range.start);
    let mut response = Body::from_stream(bytes).into_response();
    let out = response.headers_mut();
    out.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.insert(header::CACHE_CONTROL, CACHE_POLICY);
    out.insert(header::CONTENT_SECURITY_POLICY, INERT_CSP);
    for (name, value) in [(header::CONTENT_TYPE, file.content_type.clone()), (header::ETAG, etag)] {
        out.insert(name, HeaderValue::from_str(&value).map_err(|_| Problem::NotFound)?);
    }
    if let Some(range) = range {
        let part = format!("bytes {}-{}/{}", range.start, range.end - 1, file.size_bytes);
        out.insert(header::CONTENT_RANGE, HeaderValue::from_str(&part).map_err(|_| Problem::NotFound)?);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}
