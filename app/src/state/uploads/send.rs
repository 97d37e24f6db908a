//! The browser's half: begins uploads, sends their bytes in chunks over tus, and hears what became of them.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use leptos::{ev, prelude::*, task::spawn_local};
use vwaza::domain::{
    ids::ReleaseId,
    upload::{BatchMember, CHUNK_BYTES, RawIntent, UploadTarget},
};
use web_sys::{File, XmlHttpRequest};

use super::{
    GrantedUpload, OnCancel, Task, TaskId, TaskState, Uploads,
    machine::{self, Backoff, Next, Progress, SpeedMeter},
    request,
};
use crate::{
    api::{
        tracks::remove_track,
        uploads::{begin_upload, cancel_upload, complete_upload},
    },
    error::ApiResult,
};

/// Files that send at the same time: enough to fill a line, few enough for each to get somewhere.
const MAX_CONCURRENT: usize = 3;
/// How often a signed-out upload looks whether there is a session again, in milliseconds.
const SESSION_POLL_MS: i32 = 5_000;
/// Longest pause between two questions after a file that is being stored, in milliseconds.
const MAX_STORING_PAUSE_MS: i32 = 15_000;
/// Between two questions about any files that are being stored: 40 a minute of the 100 requests that an address may send. The questions
/// and saves of a wizard are 54 more.
const STORING_POLL_MS: i32 = 1500;
/// An upload that is gone again each time it is begun has some other trouble.
const MAX_CREATIONS: u32 = 4;

thread_local! {
    static BROWSER_STATE: RefCell<BrowserState> = RefCell::default();
    /// Bytes of a chunk, for all files of this tab: the proxy that wants smaller ones stands before all of them.
    static CHUNK_SIZE_BYTES: Cell<u64> = const { Cell::new(CHUNK_BYTES) };
}

/// What cannot live in a signal: the browser's own objects.
#[derive(Default)]
struct BrowserState {
    listens: bool,
    last: TaskId,
    files: HashMap<TaskId, LocalFile>,
    /// Tracks are made one after the other, so that they keep the order in which they were dropped.
    creating: Option<TaskId>,
}

struct LocalFile {
    file: File,
    /// Only the newest run of a task may go on.
    run: u32,
    sending: bool,
    request: Option<XmlHttpRequest>,
}

fn with_local_file<T>(id: TaskId, change: impl FnOnce(&mut LocalFile) -> T) -> Option<T> {
    BROWSER_STATE.with_borrow_mut(|sender| sender.files.get_mut(&id).map(change))
}

/// Warns before the tab is left with unsent bytes, and goes on at once when the line is back. Once is enough, however often it is
/// called.
pub(super) fn listen(uploads: Uploads) {
    if BROWSER_STATE.with_borrow_mut(|sender| std::mem::replace(&mut sender.listens, true)) {
        return;
    }
    window_event_listener(ev::beforeunload, move |event| {
        if untrack(|| uploads.unsent()) > 0 {
            event.prevent_default();
            // Older browsers ask only where there is a text; none shows it.
            event.set_return_value("unsent");
        }
    });
    window_event_listener_untyped("online", move |_| {
        let waiting: Vec<Task> = uploads.tasks.with_untracked(|tasks| {
            let waits = |task: &&Task| task.state.with_untracked(|state| matches!(state, TaskState::Waiting(..)));
            tasks.iter().filter(waits).cloned().collect()
        });
        for task in waiting {
            uploads.command(task.id, super::Command::Resume);
        }
    });
}

/// A queued task that is not in the list of uploads yet. `mark` tells the file's content.
pub(super) fn task(
    release: ReleaseId,
    target: UploadTarget,
    file: File,
    content_hash: u64,
    batch_member: Option<BatchMember>,
) -> Task {
    let (name, length) = (file.name(), request::length(&file));
    let preview = match target {
        UploadTarget::Cover(_) => web_sys::Url::create_object_url_with_blob(&file).ok(),
        UploadTarget::NewTrack(_) | UploadTarget::Audio(_) => None,
    };
    let fingerprint = format!("{name}:{length}:{}", file.last_modified());
    let id = BROWSER_STATE.with_borrow_mut(|sender| {
        sender.last += 1;
        sender.files.insert(sender.last, LocalFile { file, run: 0, sending: false, request: None });
        sender.last
    });
    Task {
        id,
        release,
        target,
        file_name: name,
        length,
        fingerprint,
        content_hash,
        batch_member,
        preview,
        state: ArcRwSignal::new(TaskState::Queued),
        granted: ArcRwSignal::new(None),
        created_track: ArcRwSignal::new(None),
    }
}

/// Starts what is next in the queue while there is room.
pub(super) fn start_next(uploads: Uploads) {
    let next = BROWSER_STATE.with_borrow_mut(|sender| {
        let is_full = sender.files.values().filter(|local| local.sending).count() >= MAX_CONCURRENT;
        if is_full || sender.creating.is_some() {
            return None;
        }
        let task = uploads.tasks.with_untracked(|tasks| {
            let is_queued = |task: &&Task| task.state.with_untracked(|state| *state == TaskState::Queued);
            tasks.iter().find(is_queued).cloned()
        })?;
        let local = sender.files.get_mut(&task.id)?;
        local.sending = true;
        local.run += 1;
        sender.creating = Some(task.id);
        let number = local.run;
        Some(UploadRun { uploads, task, number, meter: Rc::default(), failures: 0, creations: 0 })
    });
    if let Some(run) = next {
        run.show(TaskState::Sending(run.progress(0)));
        spawn_local(run.drive());
    }
}

/// Ends the task's run, wherever it is; its file stays.
pub(super) fn stop(id: TaskId) {
    let request = with_local_file(id, |local| {
        local.run += 1;
        local.sending = false;
        local.request.take()
    });
    finish_creating(id);
    // Aborting calls back into the run, which must find nothing borrowed.
    if let Some(request) = request.flatten() {
        let _ = request.abort();
    }
}

pub(super) fn purge_file(task: &Task) {
    stop(task.id);
    BROWSER_STATE.with_borrow_mut(|sender| sender.files.remove(&task.id));
    if let Some(preview) = &task.preview {
        let _ = web_sys::Url::revoke_object_url(preview);
    }
}

/// Tells the server, which may refuse: an upload that is stored already is not cancelled but removed.
pub(super) fn cancel(uploads: Uploads, task: &Task, on_cancel: OnCancel) {
    let upload = untrack(|| task.upload());
    let created_track = task.created_track.get_untracked().filter(|_| on_cancel == OnCancel::RemoveTrack);
    let tell = move |answer: ApiResult<()>| match answer {
        // Where it came too late, the page shows what has become of the file.
        Err(error) if !matches!(error.status(), 404 | 409) => uploads.toasts.error(&error),
        Ok(()) | Err(_) => {}
    };
    spawn_local(async move {
        if let Some(upload) = upload {
            tell(cancel_upload(upload).await);
        }
        if let Some(track) = created_track {
            tell(remove_track(track).await.map(drop));
        }
        uploads.changes.update(|changes| *changes += 1);
    });
}

fn finish_creating(id: TaskId) {
    BROWSER_STATE.with_borrow_mut(|sender| {
        if sender.creating == Some(id) {
            sender.creating = None;
        }
    });
}

/// One attempt to bring a task to its end.
struct UploadRun {
    uploads: Uploads,
    task: Task,
    number: u32,
    meter: Rc<Cell<SpeedMeter>>,
    /// In a row.
    failures: u32,
    creations: u32,
}

impl UploadRun {
    async fn drive(mut self) {
        let at_once = || Next::Ask { pause: Backoff::None, why: None };
        let mut next = at_once();
        while self.is_current() {
            next = match next {
                Next::BeginAgain => self.begin_again().await,
                Next::Send { offset } => self.send(offset).await,
                // Only a chunk that was sent is too large, and `send` knows which.
                Next::SendLess => machine::no_chunk_small_enough(),
                Next::Ask { pause, why } => self.ask(pause, why).await,
                Next::SignIn => {
                    self.failures = 0;
                    self.show(TaskState::SignedOut(self.shown_progress()));
                    request::sleep(SESSION_POLL_MS).await;
                    at_once()
                }
                Next::Complete => self.complete().await,
                Next::Done => return self.end(TaskState::Done),
                Next::Refuse(message) => return self.end(TaskState::Refused(message)),
                Next::Fail(message) => return self.end(TaskState::Failed(message)),
                Next::Dismiss => {
                    if self.is_current() {
                        self.uploads.dismiss(&self.task);
                        self.changed();
                    }
                    return;
                }
            };
        }
    }

    /// An upload that is over may have ended well, or been refused: only one that has expired is begun anew.
    async fn begin_again(&mut self) -> Next {
        if let Some(granted) = self.granted() {
            let next = match complete_upload(granted.upload).await {
                Ok(status) => machine::after_gone(&status),
                Err(error) if error.status() == 404 => Next::BeginAgain,
                Err(error) => machine::after_begin_error(error.status(), &error.message),
            };
            if next != Next::BeginAgain {
                return next;
            }
        }
        self.begin().await
    }

    async fn begin(&mut self) -> Next {
        self.creations += 1;
        if self.creations > MAX_CREATIONS {
            return Next::Fail("The server lost this upload. Try again, or choose the file again.".into());
        }
        let intent = RawIntent {
            target: self.task.current_target(),
            file_name: self.task.file_name.clone(),
            length: i64::try_from(self.task.length).unwrap_or(i64::MAX),
            fingerprint: self.task.fingerprint.clone(),
            sha256: None,
        };
        let answer = begin_upload(intent, self.task.batch_member.clone()).await;
        let next = match answer {
            Ok(begun) => {
                self.task.granted.set(Some(GrantedUpload { upload: begun.id, url: begun.url }));
                if matches!(self.task.target, UploadTarget::NewTrack(_)) {
                    self.task.created_track.set(begun.track);
                }
                if self.is_dismissed() {
                    // Given up while the server was still answering.
                    cancel(self.uploads, &self.task, OnCancel::RemoveTrack);
                }
                match u64::try_from(begun.offset) {
                    Ok(offset) if offset >= self.task.length => Next::Complete,
                    Ok(offset) => Next::Send { offset },
                    Err(_) => Next::Ask { pause: Backoff::Exponential, why: None },
                }
            }
            Err(error) if error.status() == 404 && self.task.created_track.get_untracked().is_some() => {
                // The track was removed meanwhile: there is nothing left to upload for.
                Next::Dismiss
            }
            Err(error) => {
                // Until there is something to ask after, asking means to begin again.
                self.creations = self.creations.saturating_sub(1);
                return machine::after_begin_error(error.status(), &error.message);
            }
        };
        if self.is_current() {
            finish_creating(self.task.id);
        }
        self.changed();
        start_next(self.uploads);
        next
    }

    async fn send(&mut self, offset: u64) -> Next {
        let (Some(granted), Some(file)) = (self.granted(), with_local_file(self.task.id, |local| local.file.clone()))
        else {
            return Next::BeginAgain;
        };
        let bytes = CHUNK_SIZE_BYTES.get();
        let Some(chunk) = request::chunk(&file, offset, bytes) else { return file_changed() };
        self.show(TaskState::Sending(self.progress(offset)));
        let shown = (self.task.state.clone(), self.meter.clone(), self.task.length);
        let (id, number) = (self.task.id, self.number);
        let on_progress = move |sent: u64, now_ms: f64| {
            let (state, meter, total) = &shown;
            let mut measured = meter.get();
            let needs_refresh = measured.record(now_ms, offset + sent);
            meter.set(measured);
            if needs_refresh && is_current(id, number) {
                let bytes_per_second = measured.bytes_per_second();
                state.set(TaskState::Sending(Progress {
                    sent: (offset + sent).min(*total),
                    total: *total,
                    bytes_per_second,
                }));
            }
        };
        let reply =
            request::patch(&granted.url, offset, &chunk, on_progress, |request| self.keep_request(request)).await;
        with_local_file(self.task.id, |local| local.request = None);
        let next = match machine::after_reply(&reply, self.task.length) {
            // Another file may have found out before: then its size is tried first.
            Next::SendLess => match machine::smaller_chunk(bytes) {
                Some(smaller) => {
                    CHUNK_SIZE_BYTES.set(CHUNK_SIZE_BYTES.get().min(smaller));
                    Next::Send { offset }
                }
                None => Next::SendLess,
            },
            next => next,
        };
        match next {
            Next::Send { .. } | Next::Complete => self.failures = 0,
            _ => self.meter.update(|mut meter| {
                meter.interrupt();
                meter
            }),
        }
        if reply.status == 0 && self.is_current() && !request::is_readable(&file, offset).await {
            return file_changed();
        }
        next
    }

    /// Asks the server how much it has; without an upload, asks for one.
    async fn ask(&mut self, pause: Backoff, why: Option<String>) -> Next {
        self.failures += 1;
        if pause == Backoff::Exponential || self.failures > 2 {
            self.show(TaskState::Waiting(self.shown_progress().unwrap_or_else(|| self.progress(0)), why));
            request::sleep(machine::backoff_ms(self.failures, js_sys::Math::random())).await;
            if !self.is_current() {
                return Next::Ask { pause, why: None };
            }
        }
        match self.granted() {
            None => self.begin().await,
            Some(granted) => {
                finish_creating(self.task.id);
                start_next(self.uploads);
                let reply = request::head(&granted.url, |request| self.keep_request(request)).await;
                with_local_file(self.task.id, |local| local.request = None);
                machine::after_reply(&reply, self.task.length)
            }
        }
    }

    /// Waits until the file is stored and attached, or is not.
    async fn complete(&mut self) -> Next {
        let Some(granted) = self.granted() else { return Next::BeginAgain };
        self.show(TaskState::Storing);
        with_local_file(self.task.id, |local| local.sending = false);
        self.changed();
        start_next(self.uploads);
        let mut pause = 500;
        request::sleep(self.storing_poll_ms() - STORING_POLL_MS).await;
        loop {
            let next = match complete_upload(granted.upload).await {
                Ok(status) => machine::after_status(&status),
                Err(error) => machine::after_status_error(error.status(), &error.message),
            };
            if next != Next::Complete || !self.is_current() {
                return next;
            }
            request::sleep(pause.max(self.storing_poll_ms() - STORING_POLL_MS)).await;
            pause = (pause * 2).min(MAX_STORING_PAUSE_MS);
        }
    }

    /// How long one round of questions about all files that are being stored takes.
    fn storing_poll_ms(&self) -> i32 {
        let is_stored = |task: &&Task| task.state.with_untracked(|state| matches!(state, TaskState::Storing));
        let storing = self.uploads.tasks.with_untracked(|tasks| tasks.iter().filter(is_stored).count());
        i32::try_from(storing.max(1)).unwrap_or(i32::MAX).saturating_mul(STORING_POLL_MS)
    }

    fn end(self, state: TaskState) {
        if !self.is_current() {
            return;
        }
        finish_creating(self.task.id);
        if matches!(state, TaskState::Failed(_)) {
            stop(self.task.id);
        } else {
            // Nothing will read the file again; the preview stays for as long as the task.
            BROWSER_STATE.with_borrow_mut(|sender| sender.files.remove(&self.task.id));
        }
        self.task.state.set(state);
        self.changed();
        start_next(self.uploads);
    }

    fn granted(&self) -> Option<GrantedUpload> {
        self.task.granted.get_untracked()
    }

    fn progress(&self, sent: u64) -> Progress {
        Progress { sent, total: self.task.length, bytes_per_second: self.meter.get().bytes_per_second() }
    }

    /// As the page shows it now; `None` once all bytes are with us.
    fn shown_progress(&self) -> Option<Progress> {
        let shown = self.task.state.with_untracked(TaskState::progress)?;
        Some(self.progress(shown.sent))
    }

    fn is_current(&self) -> bool {
        is_current(self.task.id, self.number)
    }

    fn is_dismissed(&self) -> bool {
        with_local_file(self.task.id, |_| ()).is_none()
    }

    /// A run that was stopped has nothing to say any more.
    fn show(&self, state: TaskState) {
        if self.is_current() {
            self.task.state.set(state);
        }
    }

    fn keep_request(&self, request: XmlHttpRequest) {
        if self.is_current() {
            with_local_file(self.task.id, |local| local.request = Some(request));
        }
    }

    fn changed(&self) {
        self.uploads.changes.update(|changes| *changes += 1);
    }
}

fn is_current(id: TaskId, number: u32) -> bool {
    with_local_file(id, |local| local.run) == Some(number)
}

fn file_changed() -> Next {
    Next::Fail("This file was changed or moved, or your browser can't read it any more. Choose it again.".into())
}
