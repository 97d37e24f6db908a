//! The tus 1.0 endpoint at `/api/uploads`, with the extensions creation, creation-with-upload, expiration, checksum and
//! termination. See <https://tus.io/protocols/resumable-upload>.

use app::error::AppError;
use axum::{
    Json,
    body::{Body, HttpBody},
    extract::{Path, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use httpdate::fmt_http_date;
use time::OffsetDateTime;
use vwaza::{
    backend::uploads::{Channel, UploadOffset, Uploads},
    domain::{
        account::Actor,
        ids::{SpoolId, UploadId},
        problem::Problem,
        upload::{Checksum, RawIntent, parse_metadata},
    },
};

use crate::{
    errors::{ErrorResponse, HandlerResult},
    security::Uploader,
    state::AppState,
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
/// Headers of tus extensions that this server does not support, with the names of the extensions. A request with one of
/// them is refused: without an error, its client would take an ordinary upload for the one that it asked for.
const UNSUPPORTED_EXTENSIONS: [(&str, &str); 2] =
    [("upload-concat", "concatenation"), ("upload-defer-length", "creation-defer-length")];
const CHUNK_TYPE: &str = "application/offset+octet-stream";
/// Limit for the header Upload-Metadata, which is stored as it comes.
const METADATA_HEADER_MAX_BYTES: usize = 8 * 1024;

/// Adds the headers that every tus response carries, also to errors of outer layers. A 401 also gets
/// `WWW-Authenticate`.
pub(crate) async fn tus_headers(request: Request, next: Next) -> Response {
    let is_tus = is_tus_path(request.uri().path());
    let mut response = next.run(request).await;
    if is_tus {
        let is_unauthorized = response.status() == StatusCode::UNAUTHORIZED;
        let headers = response.headers_mut();
        headers.insert(TUS_RESUMABLE, VERSION);
        headers.insert(TUS_VERSION, VERSION);
        if is_unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
    }
    response
}

/// Replaces the method of a request by the one in `X-HTTP-Method-Override`, for clients behind something that lets no
/// PATCH or DELETE through. Runs before anything else reads the method, so that the cross-site check applies to the
/// method in the header.
pub(crate) fn override_method(request: &mut Request) {
    if is_tus_path(request.uri().path())
        && let Some(method) = request.headers_mut().remove(METHOD_OVERRIDE)
    {
        // A value that is not a method becomes TRACE, which no route accepts.
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap_or(Method::TRACE);
    }
}

fn is_tus_path(path: &str) -> bool {
    let rest = path.strip_prefix("/api/uploads");
    rest.is_some_and(|rest| rest != "/form" && (rest.is_empty() || rest.starts_with('/')))
}

/// Answers OPTIONS with the extensions, the largest size and the checksum algorithms. The request needs neither a tus
/// version nor a session.
pub(crate) async fn options(State(state): State<AppState>) -> impl IntoResponse {
    let max = HeaderValue::from(state.backend.media_limits().max_audio_bytes);
    let algorithms = HeaderValue::from_static(Checksum::ALGORITHMS);
    (StatusCode::NO_CONTENT, [(TUS_EXTENSION, EXTENSIONS), (TUS_MAX_SIZE, max), (TUS_CHECKSUM_ALGORITHM, algorithms)])
}

/// Creates an upload: POST with Upload-Length and Upload-Metadata (`target`, `filename`, `fingerprint` and an optional
/// `sha256`). The request may bring the first bytes along. If the same upload is already under way, or was just
/// received whole by the same creation, its bytes are not needed and the response's offset says so.
pub(crate) async fn create(
    State(state): State<AppState>,
    Uploader(actor): Uploader,
    request: Request<Body>,
) -> HandlerResult {
    let headers = request.headers();
    check_protocol(headers)?;
    let has_chunk = is_chunk(headers);
    let checksum = parse_checksum(headers)?;
    // A header that comes several times is one list (RFC 9110, section 5.3).
    let given = headers.get_all(UPLOAD_METADATA).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b","[..]);
    if given.len() > METADATA_HEADER_MAX_BYTES {
        let message = format!("The header {UPLOAD_METADATA} has more than {METADATA_HEADER_MAX_BYTES} bytes.");
        return Err(Problem::BadRequest(message).into());
    }
    let metadata = parse_metadata(&given)?;
    let text = |key: &str| metadata.get(key).cloned().unwrap_or_default();
    let intent = RawIntent {
        target: text("target").parse()?,
        file_name: text("filename"),
        length: parse_number_header(headers, &UPLOAD_LENGTH)?,
        fingerprint: text("fingerprint"),
        sha256: metadata.get("sha256").cloned(),
    };
    // `parse_metadata` accepts ASCII only.
    let metadata = String::from_utf8_lossy(&given).into_owned();
    let mut body = Some(request.into_body());
    if !has_chunk && has_bytes(body.take()).await {
        return Err(not_a_chunk().into());
    }
    let channel = if has_chunk { Channel::TusWithBytes { metadata } } else { Channel::Tus { metadata } };
    let uploads = state.backend.uploads();
    let begun = uploads.begin(&actor, &intent, channel).await?;
    let address = format!("{}{}", state.advertised_url.as_deref().unwrap_or_default(), begun.url);
    let location = HeaderValue::from_str(&address).map_err(|_| ErrorResponse::from(AppError::internal()))?;
    let received = if let Some(body) = body.filter(|_| begun.offset == 0) {
        uploads.receive(&actor, begun.id, 0, body.into_data_stream(), checksum).await
    } else if begun.offset == begun.length {
        // A client that reads the full length as its offset sends no more, so `offset` validates and completes the
        // upload first.
        uploads.offset(&actor, begun.id).await
    } else {
        uploads.progress(&actor, begun.id).await
    };
    // The upload exists, whatever happened to its first bytes. If the client can go on, it must learn that: most
    // clients ignore the headers of a failed creation and would create another upload.
    let mut answer = match received {
        Ok(received) => (StatusCode::CREATED, offset_headers(&received)).into_response(),
        Err(error) => {
            let problem = error.into_problem();
            let may_pass = problem.as_ref().is_ok_and(Problem::may_pass);
            let error_response = problem.map_or_else(ErrorResponse::from, ErrorResponse::from).into_response();
            match uploads.progress(&actor, begun.id).await {
                Ok(so_far) if may_pass && so_far.expires_at.is_some() => {
                    (StatusCode::CREATED, offset_headers(&so_far)).into_response()
                }
                Ok(so_far) => (offset_headers(&so_far), error_response).into_response(),
                Err(_) => error_response,
            }
        }
    };
    answer.headers_mut().insert(header::LOCATION, location);
    Ok(answer)
}

/// Tells whether a body has bytes. If the request's head does not say, waits for the first of them.
async fn has_bytes(body: Option<Body>) -> bool {
    let Some(body) = body.filter(|body| !body.is_end_stream()) else { return false };
    if let Some(length) = body.size_hint().exact() {
        return length > 0;
    }
    let mut bytes = body.into_data_stream();
    while let Some(piece) = bytes.next().await {
        if piece.is_ok_and(|piece| !piece.is_empty()) {
            return true;
        }
    }
    false
}

/// Answers GET with the state of an upload, as JSON.
pub(crate) async fn status(
    State(state): State<AppState>,
    Uploader(actor): Uploader,
    Path(address): Path<(String, String)>,
) -> HandlerResult {
    let (_, id) = parse_address(&address)?;
    let status = state.backend.uploads().status(&actor, id).await?;
    Ok(Json(status).into_response())
}

pub(crate) async fn head(
    State(state): State<AppState>,
    Uploader(actor): Uploader,
    Path(address): Path<(String, String)>,
    headers: HeaderMap,
) -> HandlerResult {
    check_protocol(&headers)?;
    let (_, id) = parse_address(&address)?;
    let uploads = state.backend.uploads();
    let upload = uploads.offset(&actor, id).await?;
    let metadata = uploads.metadata(&actor, id).await?;
    let mut headers = offset_headers(&upload);
    headers.insert(UPLOAD_LENGTH, HeaderValue::from(upload.length));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The stored value came as a header, so it fits into one.
    if let Some(metadata) = metadata.and_then(|metadata| HeaderValue::try_from(metadata).ok()) {
        headers.insert(UPLOAD_METADATA, metadata);
    }
    Ok((StatusCode::OK, headers).into_response())
}

pub(crate) async fn patch(
    State(state): State<AppState>,
    Uploader(actor): Uploader,
    Path(address): Path<(String, String)>,
    request: Request<Body>,
) -> HandlerResult {
    let (_, id) = parse_address(&address)?;
    let uploads = state.backend.uploads();
    match receive(&uploads, &actor, id, request).await {
        Ok(received) => Ok((StatusCode::NO_CONTENT, offset_headers(&received)).into_response()),
        Err(error_response) => Ok(with_offset(error_response, &uploads, &actor, id).await),
    }
}

/// Adds the upload's true offset and its expiry to an error, so that the client can resume from there.
async fn with_offset(error_response: ErrorResponse, uploads: &Uploads, actor: &Actor, id: UploadId) -> Response {
    let mut answer = error_response.into_response();
    // While the database is away, the offset is unknown.
    if let Ok(Some(so_far)) = uploads.so_far(actor, id).await {
        answer.headers_mut().extend(offset_headers(&so_far));
    }
    answer
}

async fn receive(
    uploads: &Uploads,
    actor: &Actor,
    id: UploadId,
    request: Request<Body>,
) -> Result<UploadOffset, ErrorResponse> {
    let headers = request.headers();
    check_protocol(headers)?;
    if !is_chunk(headers) {
        return Err(not_a_chunk().into());
    }
    let offset =
        u64::try_from(parse_number_header(headers, &UPLOAD_OFFSET)?).map_err(|_| bad_number(&UPLOAD_OFFSET))?;
    let checksum = parse_checksum(headers)?;
    let body = request.into_body().into_data_stream();
    Ok(uploads.receive(actor, id, offset, body, checksum).await?)
}

fn is_chunk(headers: &HeaderMap) -> bool {
    let kind = single_header(headers, &header::CONTENT_TYPE).ok().flatten();
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(CHUNK_TYPE))
}

fn not_a_chunk() -> AppError {
    AppError::new(415, format!("Send the bytes with the content type {CHUNK_TYPE}."))
}

/// Writes offset and expiry of an upload as headers.
fn offset_headers(received: &UploadOffset) -> HeaderMap {
    let mut headers = HeaderMap::from_iter([(UPLOAD_OFFSET, HeaderValue::from(received.offset))]);
    headers.extend(received.expires_at.and_then(expires_header));
    headers
}

/// The header with the time at which the upload expires. Every date of the database has an HTTP form.
fn expires_header(at: OffsetDateTime) -> Option<(HeaderName, HeaderValue)> {
    Some((UPLOAD_EXPIRES, HeaderValue::from_str(&fmt_http_date(at.into())).ok()?))
}

fn parse_checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Problem> {
    single_header(headers, &UPLOAD_CHECKSUM)?.map(|header| Checksum::parse(header.as_bytes())).transpose()
}

/// Terminates an upload: cancels it, or takes a file that was already received out of its draft.
pub(crate) async fn terminate(
    State(state): State<AppState>,
    Uploader(actor): Uploader,
    Path(address): Path<(String, String)>,
    headers: HeaderMap,
) -> HandlerResult {
    check_protocol(&headers)?;
    let (_, id) = parse_address(&address)?;
    let uploads = state.backend.uploads();
    match uploads.terminate(&actor, id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(error) => Ok(with_offset(ErrorResponse::from(error), &uploads, &actor, id).await),
    }
}

fn parse_address((spool, id): &(String, String)) -> Result<(SpoolId, UploadId), Problem> {
    match (spool.parse(), id.parse()) {
        (Ok(spool), Ok(id)) => Ok((spool, id)),
        _ => Err(Problem::NotFound),
    }
}

/// # Errors
/// 412 unless the request names tus 1.0.0; 400 for a header of an extension that this server does not support.
fn check_protocol(headers: &HeaderMap) -> Result<(), AppError> {
    if single_header(headers, &TUS_RESUMABLE).ok().flatten() != Some(&VERSION) {
        return Err(AppError::new(412, "This server uses tus 1.0.0. Send the header Tus-Resumable: 1.0.0."));
    }
    if let Some((header, extension)) = UNSUPPORTED_EXTENSIONS.iter().find(|(header, _)| headers.contains_key(*header)) {
        return Err(unsupported_extension(header, extension).into());
    }
    let trailers = headers.get_all(header::TRAILER).iter().filter_map(|names| names.to_str().ok());
    let mut trailers = trailers.flat_map(|names| names.split(','));
    if trailers.any(|name| name.trim().eq_ignore_ascii_case(UPLOAD_CHECKSUM.as_str())) {
        return Err(unsupported_extension("trailer", "checksum-trailer").into());
    }
    Ok(())
}

fn unsupported_extension(header: &str, extension: &str) -> Problem {
    Problem::BadRequest(format!(
        "The header {header} belongs to the tus extension {extension}, which this server does not support. OPTIONS lists the extensions that it supports."
    ))
}

/// Returns the value of a header that may come once.
fn single_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Problem::BadRequest(format!("Send the header {name} once."))),
        (value, None) => Ok(value),
    }
}

fn parse_number_header(headers: &HeaderMap, name: &HeaderName) -> Result<i64, Problem> {
    single_header(headers, name)?
        .and_then(|value| value.to_str().ok().map(str::trim))
        // `parse` would accept a sign.
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| bad_number(name))
}

fn bad_number(name: &HeaderName) -> Problem {
    Problem::BadRequest(format!("The header {name} has to be a number of bytes."))
}
