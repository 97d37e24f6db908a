//! `GET /media/…`: covers and audio for those who may have them, whole or by ranges.

use axum::{
    body::Body,
    extract::{Path, State},
    response::IntoResponse,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use vwaza::{
    backend::media_files::MediaFile,
    domain::{ids::ObjectId, problem::Problem},
};

use crate::{
    errors::{Answer, fail},
    router::AppState,
    security::{CurrentUser, INERT_CSP},
};

/// The bytes at an address never change; only the person who may see them keeps them.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

pub(crate) async fn original(
    State(state): State<AppState>,
    CurrentUser(actor): CurrentUser,
    Path(object): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let file = state.backend.media_files().original(&actor, parse(&object)?).await.map_err(fail)?;
    let mut response = stream(&state, &file, &object, &headers).await?;
    // Shown and played from our own pages; opened by itself it is saved, never run.
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    Ok(response)
}

pub(crate) async fn thumbnail(
    State(state): State<AppState>,
    CurrentUser(actor): CurrentUser,
    Path((cover, edge_px)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let edge_px = edge_px.parse().map_err(|_| Problem::NotFound)?;
    let file = state.backend.media_files().thumbnail(&actor, parse(&cover)?, edge_px).await.map_err(fail)?;
    stream(&state, &file, &format!("{cover}-{edge_px}"), &headers).await
}

fn parse(id: &str) -> Result<ObjectId, Problem> {
    id.parse().map_err(|_| Problem::NotFound)
}

async fn stream(state: &AppState, file: &MediaFile, tag: &str, headers: &HeaderMap) -> Answer {
    let etag = format!("\"{tag}\"");
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if text(header::IF_NONE_MATCH) == Some(etag.as_str()) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)], [(header::CACHE_CONTROL, CACHE)]).into_response());
    }
    let wants_range = text(header::RANGE).filter(|_| text(header::IF_RANGE).is_none_or(|tag| tag == etag));
    let range = match wants_range.map(|range| parse_range(range, file.size_bytes)) {
        None | Some(Requested::Whole) => None,
        Some(Requested::Part(range)) => Some(range),
        Some(Requested::Unsatisfiable) => {
            let all = format!("bytes */{}", file.size_bytes);
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, all)]).into_response());
        }
    };
    let bytes = state.backend.media_files().read(file, range.clone()).await.map_err(fail)?;
    let length = range.as_ref().map_or(file.size_bytes, |range| range.end - range.start);
    let mut response = Body::from_stream(bytes).into_response();
    let out = response.headers_mut();
    out.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.insert(header::CACHE_CONTROL, CACHE);
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

#[derive(Debug, PartialEq, Eq)]
enum Requested {
    Whole,
    Part(std::ops::Range<u64>),
    Unsatisfiable,
}

/// One range, which is what players ask for; several, or another unit, get the whole (RFC 9110, 14.2).
fn parse_range(text: &str, size: u64) -> Requested {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|spec| spec.split_once('-')) else {
        return Requested::Whole;
    };
    let range = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if last < first => return Requested::Whole,
        (Ok(first), Ok(last)) => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.trim().is_empty() => first..size,
        (Err(_), Ok(suffix)) if first.trim().is_empty() => size.saturating_sub(suffix)..size,
        _ => return Requested::Whole,
    };
    if range.start < range.end { Requested::Part(range) } else { Requested::Unsatisfiable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_has_them() {
        use Requested::{Part, Unsatisfiable, Whole};
        for (text, requested) in [
            ("bytes=0-", Part(0..100)),
            ("bytes=0-0", Part(0..1)),
            ("bytes=90-200", Part(90..100)),
            ("bytes=-10", Part(90..100)),
            ("bytes=-1000", Part(0..100)),
            ("bytes=100-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=5-4", Whole),
            ("bytes=0-1,5-6", Whole),
            ("items=0-1", Whole),
            ("bytes=99999999999999999999-", Whole),
            ("bytes=0-18446744073709551615", Part(0..100)),
        ] {
            assert_eq!(parse_range(text, 100), requested, "{text}");
        }
    }
}
