//! The byte channel: tus 1.0 (core, creation, creation-with-upload, expiration, checksum, termination) at `/api/uploads`. See
//! <https://tus.io/protocols/resumable-upload>.

use app::error::AppError;
use axum::{
    Json,
    body::Body,
    extract::{Path, Request, State},
    response::IntoResponse,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use httpdate::fmt_http_date;
use vwaza::{
    backend::uploads::Received,
    domain::{
        ids::{SpoolId, UploadId},
        problem::Problem,
        upload::{Checksum, RawIntent, parse_metadata},
    },
};

use crate::{
    errors::{Answer, Failure, fail},
    router::AppState,
    security::Uploader,
};

const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const EXTENSIONS: HeaderValue =
    HeaderValue::from_static("creation,creation-with-upload,expiration,checksum,termination");
const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
/// On every answer, errors too.
pub(crate) const VERSION_HEADERS: [(HeaderName, HeaderValue); 2] = [(TUS_RESUMABLE, VERSION), (TUS_VERSION, VERSION)];
const CHUNK_TYPE: &str = "application/offset+octet-stream";

/// What the server can do; needs neither a version nor a session.
pub(crate) async fn options(State(state): State<AppState>) -> impl IntoResponse {
    let max = HeaderValue::from(state.backend.media_limits().max_audio_bytes);
    let algorithms = HeaderValue::from_static(Checksum::ALGORITHMS);
    (StatusCode::NO_CONTENT, [(TUS_EXTENSION, EXTENSIONS), (TUS_MAX_SIZE, max), (TUS_CHECKSUM_ALGORITHM, algorithms)])
}

/// Creation: POST with Upload-Length and Upload-Metadata (`target`, `filename`, `fingerprint`); the first bytes may come along.
/// Where the same upload is under way already, they are not needed, and the answer's offset says so.
pub(crate) async fn create(State(state): State<AppState>, Uploader(actor): Uploader, request: Request<Body>) -> Answer {
    let headers = request.headers();
    check_version(headers)?;
    let checksum = parse_checksum(headers)?;
    let metadata = parse_metadata(headers.get(UPLOAD_METADATA).map_or(b"".as_slice(), HeaderValue::as_bytes))?;
    let text = |key: &str| metadata.get(key).cloned().unwrap_or_default();
    let intent = RawIntent {
        target: text("target").parse()?,
        file_name: text("filename"),
        length: number(headers, &UPLOAD_LENGTH)?,
        fingerprint: text("fingerprint"),
        sha256: metadata.get("sha256").cloned(),
    };
    let uploads = state.backend.uploads();
    let begun = uploads.begin(&actor, &intent).await.map_err(fail)?;
    let location = HeaderValue::from_str(&begun.url).map_err(|_| Failure::from(AppError::internal()))?;
    let received = if is_chunk(headers) && begun.offset == 0 {
        let body = request.into_body().into_data_stream();
        uploads.receive(&actor, begun.id, 0, body, checksum).await
    } else {
        uploads.progress(&actor, begun.id).await
    };
    let mut answer = (StatusCode::CREATED, far(&received.map_err(fail)?)).into_response();
    answer.headers_mut().insert(header::LOCATION, location);
    Ok(answer)
}

/// For clients behind something that lets no PATCH or DELETE through.
pub(crate) async fn overridden(
    state: State<AppState>,
    user: Uploader,
    address: Path<(String, String)>,
    request: Request<Body>,
) -> Answer {
    match request.headers().get(METHOD_OVERRIDE).map(HeaderValue::as_bytes) {
        Some(b"PATCH") => patch(state, user, address, request).await,
        Some(b"DELETE") => terminate(state, user, address, request.headers().clone()).await,
        Some(b"HEAD") => head(state, user, address, request.headers().clone()).await,
        _ => Ok(StatusCode::METHOD_NOT_ALLOWED.into_response()),
    }
}

/// How far an upload is, for its client: JSON with the state in words.
pub(crate) async fn status(
    State(state): State<AppState>,
    Uploader(actor): Uploader,
    Path(address): Path<(String, String)>,
) -> Answer {
    let (_, id) = parse_address(&address)?;
    let status = state.backend.uploads().status(&actor, id).await.map_err(fail)?;
    Ok(Json(status).into_response())
}

pub(crate) async fn head(
    State(state): State<AppState>,
    Uploader(actor): Uploader,
    Path(address): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    check_version(&headers)?;
    let (_, id) = parse_address(&address)?;
    let upload = state.backend.uploads().offset(&actor, id).await.map_err(fail)?;
    let headers = [
        (UPLOAD_LENGTH, HeaderValue::from(upload.length)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::OK, headers, far(&upload)).into_response())
}

pub(crate) async fn patch(
    State(state): State<AppState>,
    Uploader(actor): Uploader,
    Path(address): Path<(String, String)>,
    request: Request<Body>,
) -> Answer {
    let headers = request.headers();
    check_version(headers)?;
    let (_, id) = parse_address(&address)?;
    if !is_chunk(headers) {
        let message = format!("Send chunks as {CHUNK_TYPE}.");
        return Err(Problem::Refused { status: 415, message }.into());
    }
    let offset = u64::try_from(number(headers, &UPLOAD_OFFSET)?).map_err(|_| bad_number(&UPLOAD_OFFSET))?;
    let checksum = parse_checksum(headers)?;
    let body = request.into_body().into_data_stream();
    let received = state.backend.uploads().receive(&actor, id, offset, body, checksum).await.map_err(fail)?;
    Ok((StatusCode::NO_CONTENT, far(&received)).into_response())
}

fn is_chunk(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == CHUNK_TYPE.as_bytes())
}

/// How far an upload is, in headers.
fn far(received: &Received) -> HeaderMap {
    let mut headers = HeaderMap::from_iter([(UPLOAD_OFFSET, HeaderValue::from(received.offset))]);
    // A date of the database's is one that HTTP can write.
    if let Some(expires) = received.expires_at.and_then(|at| HeaderValue::from_str(&fmt_http_date(at.into())).ok()) {
        headers.insert(UPLOAD_EXPIRES, expires);
    }
    headers
}

fn parse_checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Problem> {
    headers.get(UPLOAD_CHECKSUM).map(|header| Checksum::parse(header.as_bytes())).transpose()
}

/// Termination: gives an upload up.
pub(crate) async fn terminate(
    State(state): State<AppState>,
    Uploader(actor): Uploader,
    Path(address): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    check_version(&headers)?;
    let (_, id) = parse_address(&address)?;
    state.backend.uploads().cancel(&actor, id).await.map_err(fail)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn parse_address((spool, id): &(String, String)) -> Result<(SpoolId, UploadId), Problem> {
    match (spool.parse(), id.parse()) {
        (Ok(spool), Ok(id)) => Ok((spool, id)),
        _ => Err(Problem::NotFound),
    }
}

/// # Errors
/// 412, with the version that is spoken here.
fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(TUS_RESUMABLE) == Some(&VERSION) {
        Ok(())
    } else {
        Err(Problem::Refused { status: 412, message: "Speak tus 1.0.0: send the header Tus-Resumable: 1.0.0.".into() })
    }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<i64, Problem> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .filter(|number| *number >= 0)
        .ok_or_else(|| bad_number(name))
}

fn bad_number(name: &HeaderName) -> Problem {
    Problem::BadRequest(format!("The header {name} has to be a number of bytes."))
}
