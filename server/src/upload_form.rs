//! Uploads without JavaScript: a plain multipart form with `target` and one or more `file` fields. The files use the
//! same ledger as other uploads.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use app::error::AppError;
use axum::{
    body::Body,
    extract::{
        FromRequest, Multipart, Request, State,
        multipart::{Field, MultipartError},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect},
};
use axum_extra::headers::{ContentLength, HeaderMapExt};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio::{sync::mpsc, time::timeout};
use uuid::Uuid;
use vwaza::{
    backend::limits::Rule,
    domain::{
        ids::BatchId,
        limits::LimitedBy,
        problem::{FileRefusal, Problem},
        upload::{UploadTarget, display_file_name},
    },
};

use crate::{
    errors::{ErrorResponse, HandlerResult, referring_page_or_start},
    limits,
    security::CurrentUser,
    state::AppState,
};

/// Chunks that may wait between the form's parser and the spool.
const CHUNKS_AHEAD: usize = 4;
/// A browser that sends nothing for this long is treated as gone.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Limit for the field `target`, in bytes.
const TARGET_MAX_BYTES: usize = 128;
/// Limit for the bytes that the form's parser takes in before it yields something. The parser itself has no limit for
/// the head of a part.
const UNPARSED_MAX_BYTES: usize = 4 * 1024 * 1024;

pub(crate) async fn upload(
    State(state): State<AppState>,
    CurrentUser(actor): CurrentUser,
    request: Request,
) -> HandlerResult {
    let headers = request.headers().clone();
    let client = limits::client(&request);
    let ContentLength(max_bytes) =
        headers.typed_get().ok_or_else(|| Problem::BadRequest("The form needs the header Content-Length.".into()))?;
    let unparsed = UnparsedBytes::default();
    let mut form = Multipart::from_request(unparsed.limit(request), &state).await.map_err(|_| incomplete_form())?;
    let (mut target, mut has_file) = (None, false);
    let batch = BatchId(Uuid::now_v7());
    while let Some(field) = unparsed.with_timeout(form.next_field()).await? {
        match (field.name(), target) {
            (Some("target"), _) => target = Some(read_short_text(field, &unparsed).await?.parse::<UploadTarget>()?),
            (Some("file"), Some(target)) => {
                let mut field = field;
                let file_name = field.file_name().unwrap_or_default().to_owned();
                let Some(first) = first_bytes(&mut field, &unparsed).await? else {
                    // A browser sends an empty part without a name if no file was chosen.
                    if file_name.is_empty() {
                        continue;
                    }
                    let message = format!("“{}” is empty. Choose another one.", display_file_name(&file_name));
                    return Err(Problem::Refused { kind: FileRefusal::Empty, message }.into());
                };
                // The request itself counted as the creation of the first upload.
                if has_file && let Some(client) = client.clone() {
                    state.backend.limits().require(Rule::UploadCreation, client, LimitedBy::Network).await?;
                }
                let (pieces, body) = mpsc::channel(CHUNKS_AHEAD);
                let uploads = state.backend.uploads();
                let mut receive = std::pin::pin!(uploads.receive_form(
                    &actor,
                    target,
                    file_name,
                    batch,
                    max_bytes,
                    body_stream(body)
                ));
                let received = tokio::select! {
                    received = &mut receive => received,
                    () = forward_chunks(first, field, &unparsed, pieces) => receive.await,
                };
                received?;
                has_file = true;
            }
            (Some("file"), None) => {
                return Err(Problem::BadRequest("The form needs the field “target” before the file.".into()).into());
            }
            _ => {}
        }
    }
    match target.filter(|_| has_file) {
        Some(target) => {
            // A release that was submitted or removed meanwhile keeps its titles.
            if let UploadTarget::NewTrack(_) = target
                && let Err(error) = state.backend.uploads().title_batch(&actor, batch).await
            {
                tracing::warn!(error = ?error, "deciding the titles of a form's tracks together failed");
            }
            Ok(Redirect::to(&wizard_step_of(target, &headers)).into_response())
        }
        None => Err(Problem::BadRequest("Choose a file first.".into()).into()),
    }
}

/// A message from the form's parser to the spool. If the channel closes without `End`, the file is incomplete.
enum FormChunk {
    Bytes(Bytes),
    End,
}

/// Returns the first bytes of a field. `None` if it is empty.
async fn first_bytes(field: &mut Field<'_>, unparsed: &UnparsedBytes) -> Result<Option<Bytes>, ErrorResponse> {
    loop {
        match unparsed.with_timeout(field.chunk()).await? {
            Some(bytes) if bytes.is_empty() => {}
            first => return Ok(first),
        }
    }
}

async fn forward_chunks(first: Bytes, mut field: Field<'_>, unparsed: &UnparsedBytes, pieces: mpsc::Sender<FormChunk>) {
    if pieces.send(FormChunk::Bytes(first)).await.is_err() {
        return;
    }
    loop {
        let piece = match timeout(READ_TIMEOUT, field.chunk()).await {
            Ok(Ok(Some(bytes))) => FormChunk::Bytes(bytes),
            Ok(Ok(None)) => FormChunk::End,
            // The connection broke or stalled. Dropping the sender without `End` tells the receiver.
            Ok(Err(_)) | Err(_) => return,
        };
        unparsed.reset();
        let is_last = matches!(piece, FormChunk::End);
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

fn body_stream(pieces: mpsc::Receiver<FormChunk>) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static {
    Box::pin(stream::try_unfold(pieces, async |mut pieces| match pieces.recv().await {
        Some(FormChunk::Bytes(bytes)) => Ok(Some((bytes, pieces))),
        Some(FormChunk::End) => Ok(None),
        None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }))
}

async fn read_short_text(mut field: Field<'_>, unparsed: &UnparsedBytes) -> Result<String, ErrorResponse> {
    let mut text = Vec::new();
    while let Some(chunk) = unparsed.with_timeout(field.chunk()).await? {
        text.extend_from_slice(&chunk);
        if text.len() > TARGET_MAX_BYTES {
            return Err(incomplete_form());
        }
    }
    String::from_utf8(text).map_err(|_| incomplete_form())
}

/// Counts the bytes that the form's parser has taken in since it last yielded something.
#[derive(Default)]
struct UnparsedBytes(Arc<AtomicUsize>);

impl UnparsedBytes {
    fn limit(&self, request: Request) -> Request {
        let unparsed = Arc::clone(&self.0);
        request.map(|body| {
            Body::from_stream(body.into_data_stream().map(move |chunk| {
                let chunk = chunk.map_err(io::Error::other)?;
                let taken = unparsed.fetch_add(chunk.len(), Ordering::Relaxed);
                if taken > UNPARSED_MAX_BYTES { Err(io::Error::from(io::ErrorKind::InvalidData)) } else { Ok(chunk) }
            }))
        })
    }

    fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    async fn with_timeout<T>(&self, next: impl Future<Output = Result<T, MultipartError>>) -> Result<T, ErrorResponse> {
        match timeout(READ_TIMEOUT, next).await {
            Ok(Ok(next)) => {
                self.reset();
                Ok(next)
            }
            Ok(Err(error)) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(AppError::new(413, "This form is too large for the server. Send the files one by one.").into())
            }
            Ok(Err(_)) | Err(_) => Err(incomplete_form()),
        }
    }
}

fn incomplete_form() -> ErrorResponse {
    AppError::from(Problem::BadRequest("Only a part of the form arrived. Try again.".into())).into()
}

/// Returns the wizard step that held the form.
fn wizard_step_of(target: UploadTarget, headers: &HeaderMap) -> String {
    match target {
        UploadTarget::Cover(release) => format!("/releases/{release}/cover"),
        UploadTarget::NewTrack(release) => format!("/releases/{release}/tracks"),
        UploadTarget::Audio(_) => referring_page_or_start(headers),
    }
}
