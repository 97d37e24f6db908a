//! Uploading without JavaScript: a plain multipart form with `target` and `file`, into the same ledger.

use app::error::AppError;
use axum::{
    extract::{
        Multipart, State,
        multipart::{Field, MultipartError},
    },
    http::{HeaderMap, header},
    response::{IntoResponse, Redirect},
};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use vwaza::domain::{problem::Problem, upload::UploadTarget};

use crate::{
    errors::{Answer, Failure, fail},
    router::AppState,
    security::CurrentUser,
    tus::parse_target,
};

/// Chunks between the form's parser and the spool.
const CHUNKS_AHEAD: usize = 4;

pub(crate) async fn upload(
    State(state): State<AppState>,
    CurrentUser(actor): CurrentUser,
    headers: HeaderMap,
    mut form: Multipart,
) -> Answer {
    let at_most_bytes = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .ok_or_else(|| Problem::BadRequest("The form has to say how long it is.".into()))?;
    let mut target = None;
    while let Some(field) = form.next_field().await.map_err(malformed)? {
        match field.name() {
            Some("target") => target = Some(parse_target(&field.text().await.map_err(malformed)?)?),
            Some("file") => {
                let target =
                    target.ok_or_else(|| Problem::BadRequest("The form has to name its target first.".into()))?;
                let file_name = field.file_name().unwrap_or_default().to_owned();
                let (chunks, body) = mpsc::channel(CHUNKS_AHEAD);
                let uploads = state.backend.uploads();
                let receive = uploads.receive_form(&actor, target, file_name, at_most_bytes, ReceiverStream::new(body));
                let ((), received) = tokio::join!(forward(field, chunks), receive);
                received.map_err(fail)?;
                return Ok(Redirect::to(&back_to(target, &headers)).into_response());
            }
            _ => {}
        }
    }
    Err(Problem::BadRequest("Choose a file first.".into()).into())
}

/// Ends with the file, with the line, or when nobody wants more.
async fn forward(mut field: Field<'_>, chunks: mpsc::Sender<Result<Bytes, MultipartError>>) {
    while let Some(chunk) = field.chunk().await.transpose() {
        let is_last = chunk.is_err();
        if chunks.send(chunk).await.is_err() || is_last {
            return;
        }
    }
}

fn malformed(_: MultipartError) -> Failure {
    AppError::from(Problem::BadRequest("The form did not arrive whole. Try again.".into())).into()
}

/// The step of the wizard that the form stood on.
fn back_to(target: UploadTarget, headers: &HeaderMap) -> String {
    match target {
        UploadTarget::Cover(release) => format!("/releases/{release}/cover"),
        UploadTarget::NewTrack(release) => format!("/releases/{release}/tracks"),
        // The form's own page, by its path alone: an address never leads away from here.
        UploadTarget::Audio(_) => headers
            .get(header::REFERER)
            .and_then(|referer| referer.to_str().ok()?.parse::<http::Uri>().ok())
            .map(|referer| referer.path().to_owned())
            .filter(|path| path.starts_with('/') && !path.starts_with("//"))
            .unwrap_or_else(|| "/".into()),
    }
}
