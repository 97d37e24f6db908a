//! Requests with upload progress, which `fetch` does not have, and the reading of files for them.

use std::{cell::Cell, ops::Range, rc::Rc};

use js_sys::{Array, Promise, Uint8Array, futures::JsFuture};
use leptos::prelude::window;
use serde::Deserialize;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{Blob, File, ProgressEvent, RequestInit, RequestRedirect, Response, ResponseType, XmlHttpRequest};

use crate::state::uploads::machine::Reply;

/// A request without progress for this long is aborted: some networks never report that they are gone.
const STALLED_MS: f64 = 90_000.0;
const STALL_CHECK_MS: i32 = 10_000;

/// The status for a redirect to another site, whose own status the browser hides.
const REDIRECTED: u16 = 302;

/// The body of the server's refusal. It repeats the status, which a proxy's body does not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    status_code: u16,
    message: String,
}

pub(super) async fn sleep(milliseconds: i32) {
    // A timer never fails.
    let _ = JsFuture::from(timer(milliseconds)).await;
}

fn timer(milliseconds: i32) -> Promise {
    Promise::new(&mut |resolve, _| {
        let _ = window().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, milliseconds);
    })
}

/// The length of a file in bytes.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a file's size is a whole number of bytes")]
pub(super) fn length(file: &File) -> u64 {
    file.size() as u64
}

/// The bytes in `range` of a file. `None` if they cannot be read.
pub(super) async fn bytes(file: &File, range: Range<u64>) -> Option<Vec<u8>> {
    let part = chunk(file, range.start, range.end.saturating_sub(range.start))?;
    let bytes = JsFuture::from(part.array_buffer()).await.ok()?;
    Some(Uint8Array::new(&bytes).to_vec())
}

/// The next `bytes` from `offset` on. `None` if the browser cannot slice them.
#[expect(clippy::cast_precision_loss, reason = "sizes of files are far below 2^52 bytes")]
pub(super) fn chunk(file: &File, offset: u64, bytes: u64) -> Option<Blob> {
    // An end beyond the file's end means the rest of the file.
    file.slice_with_f64_and_f64(offset as f64, (offset + bytes) as f64).ok()
}

/// Whether the file is still as it was chosen: a browser cannot read one that has changed since.
pub(super) async fn is_readable(file: &File, offset: u64) -> bool {
    bytes(file, offset..offset + 1).await.is_some()
}

/// Sends a chunk. `on_progress` gets the bytes sent and the time in milliseconds. `on_request` gets the request, to
/// abort it.
pub(super) async fn patch(
    url: &str,
    offset: u64,
    chunk: &Blob,
    on_progress: impl Fn(u64, f64) + 'static,
    on_request: impl FnOnce(XmlHttpRequest),
) -> Reply {
    let offset = offset.to_string();
    let headers = [("Upload-Offset", offset.as_str()), ("Content-Type", "application/offset+octet-stream")];
    send_request("PATCH", url, &headers, Some(chunk), on_progress, on_request).await.unwrap_or_default()
}

/// Asks how many bytes the server has.
pub(super) async fn head(url: &str, on_request: impl FnOnce(XmlHttpRequest)) -> Reply {
    send_request("HEAD", url, &[], None, |_, _| {}, on_request).await.unwrap_or_default()
}

/// Whether a proxy redirects the request to another site, for example to sign in there.
async fn is_redirected(url: &str) -> bool {
    let init = RequestInit::new();
    init.set_method("HEAD");
    init.set_redirect(RequestRedirect::Manual);
    let answer = JsFuture::from(window().fetch_with_str_and_init(url, &init)).await;
    let answer = answer.ok().and_then(|answer| answer.dyn_into::<Response>().ok());
    answer.is_some_and(|answer| answer.type_() == ResponseType::Opaqueredirect)
}

async fn send_request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&Blob>,
    on_progress: impl Fn(u64, f64) + 'static,
    on_request: impl FnOnce(XmlHttpRequest),
) -> Result<Reply, JsValue> {
    let request = XmlHttpRequest::new()?;
    request.open_with_async(method, url, true)?;
    request.set_request_header("Tus-Resumable", "1.0.0")?;
    for (name, value) in headers {
        request.set_request_header(name, value)?;
    }

    let finished = Promise::new(&mut |resolve, _| request.set_onloadend(Some(&resolve)));
    let last_progress_ms = Rc::new(Cell::new(js_sys::Date::now()));
    let on_move = Closure::<dyn Fn(ProgressEvent)>::new({
        let last_progress_ms = last_progress_ms.clone();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of bytes")]
        move |event: ProgressEvent| {
            last_progress_ms.set(js_sys::Date::now());
            on_progress(event.loaded() as u64, last_progress_ms.get());
        }
    });
    if let Ok(upload) = request.upload() {
        upload.set_onprogress(Some(on_move.as_ref().unchecked_ref()));
    }
    request.send_with_opt_blob(body)?;
    on_request(request.clone());

    // The end of the request resolves to its event, the timer to `undefined`.
    while JsFuture::from(Promise::race(&Array::of2(&finished, &timer(STALL_CHECK_MS)))).await?.is_undefined() {
        if js_sys::Date::now() - last_progress_ms.get() > STALLED_MS {
            request.abort()?;
        }
    }
    request.set_onloadend(None);
    if let Ok(upload) = request.upload() {
        upload.set_onprogress(None);
    }

    let status = match request.status()? {
        0 if method == "HEAD" && is_redirected(url).await => REDIRECTED,
        status => status,
    };
    let text = request.response_text().ok().flatten().unwrap_or_default();
    let refusal = serde_json::from_str::<Refusal>(&text).ok().filter(|refusal| refusal.status_code == status);
    Ok(Reply {
        status,
        is_ours: refusal.is_some() || request.get_response_header("Tus-Resumable")?.is_some(),
        offset: request.get_response_header("Upload-Offset")?.and_then(|offset| offset.parse().ok()),
        message: refusal.map(|refusal| refusal.message),
    })
}
