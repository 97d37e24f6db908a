//! `GET /media/…`: serves covers and audio to those who may see them, whole or as ranges.

use axum::{
    body::Body,
    extract::{Path, State},
    response::IntoResponse,
};
use axum_extra::{
    TypedHeader,
    headers::{AcceptRanges, ContentLength, ContentRange, ETag, HeaderMapExt, IfNoneMatch, IfRange},
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
    let etag: ETag = format!("\"{}\"", file.tag()).parse().map_err(|_| Problem::NotFound)?;
    if headers.typed_get::<IfNoneMatch>().is_some_and(|known| !known.precondition_passes(&etag)) {
        let known = (StatusCode::NOT_MODIFIED, TypedHeader(etag), [(header::CACHE_CONTROL, CACHE_POLICY)]);
        return Ok(known.into_response());
    }
    // An `If-Range` that cannot be read names another version, so it gets the whole file.
    let is_same_file = headers
        .typed_try_get::<IfRange>()
        .is_ok_and(|version| version.is_none_or(|version| !version.is_modified(Some(&etag), None)));
    let wants_range = headers.get(header::RANGE).filter(|_| is_same_file).and_then(|range| range.to_str().ok());
    let range = match wants_range.map(|range| RequestedRange::parse(range, file.size_bytes)) {
        None | Some(RequestedRange::Whole) => None,
        Some(RequestedRange::Part(range)) => Some(range),
        Some(RequestedRange::Unsatisfiable) => {
            let all = TypedHeader(ContentRange::unsatisfied_bytes(file.size_bytes));
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, all).into_response());
        }
    };
    let bytes = state.backend.media_files().read(file, range.clone()).await?;
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let length = ContentLength(range.as_ref().map_or(file.size_bytes, |range| range.end - range.start));
    let part = range.map(|range| ContentRange::bytes(range, file.size_bytes)).transpose();
    let part = part.map_err(|_| Problem::NotFound)?.map(TypedHeader);
    let fixed = [
        (header::CONTENT_TYPE, HeaderValue::from_str(&file.content_type).map_err(|_| Problem::NotFound)?),
        (header::CACHE_CONTROL, CACHE_POLICY),
        (header::CONTENT_SECURITY_POLICY, INERT_CSP),
    ];
    let typed = (TypedHeader(length), TypedHeader(AcceptRanges::bytes()), TypedHeader(etag), part);
    Ok((status, fixed, typed, Body::from_stream(bytes)).into_response())
}
