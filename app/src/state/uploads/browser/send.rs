//! Creates uploads, sends their bytes in chunks over tus and asks what has become of them.

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

use super::request;
use crate::{
    api::uploads::{begin_upload, complete_upload},
    state::uploads::{
        machine::{self, Backoff, RunEnd, Step, StoredStep, TaskState, TransferStep},
        speed::{Progress, SpeedMeter},
        tasks::{Command, GrantedUpload, OnCancel, Task, TaskId, Uploads},
    },
};

/// Number of files that are sent at the same time. They are enough to fill a connection, and few enough for each to
/// make progress.
const MAX_CONCURRENT: usize = 3;
/// Interval at which a signed-out upload checks whether there is a session again, in milliseconds.
const SESSION_POLL_MS: i32 = 5_000;
/// Longest pause between two questions about a file that is being stored, in milliseconds.
const MAX_STORING_PAUSE_MS: i32 = 15_000;
/// Shortest pause between two questions about all files that are being stored: at most 40 a minute of the 100 requests
/// that an address may send. A wizard's own requests and saves are at most 54 more.
const STORING_POLL_MS: i32 = 1500;
/// A run that creates more uploads than this has some other trouble.
const MAX_CREATIONS: u32 = 4;

thread_local! {
    static BROWSER_STATE: RefCell<BrowserState> = RefCell::default();
    /// Size of chunks for all files of this tab, because a proxy that wants smaller chunks is in front of all of them.
    static CHUNK_SIZE_BYTES: Cell<u64> = const { Cell::new(CHUNK_BYTES) };
}

/// Objects of the browser, which no signal can hold.
#[derive(Default)]
struct BrowserState {
    listens: bool,
    last: TaskId,
    files: HashMap<TaskId, LocalFile>,
    /// The only task whose upload is being created. Creating one at a time keeps tracks in the order in which their
    /// files were dropped.
    creating: Option<TaskId>,
}

struct LocalFile {
    file: File,
    /// Only the newest run of a task may continue.
    run: u32,
    sending: bool,
    request: Option<XmlHttpRequest>,
}

fn with_local_file<T>(id: TaskId, change: impl FnOnce(&mut LocalFile) -> T) -> Option<T> {
    BROWSER_STATE.with_borrow_mut(|browser| browser.files.get_mut(&id).map(change))
}

/// Warns before the tab is left with unsent bytes, and continues when the network is back. Does nothing after the first
/// call.
pub fn listen(uploads: Uploads) {
    if BROWSER_STATE.with_borrow_mut(|browser| std::mem::replace(&mut browser.listens, true)) {
        return;
    }
    window_event_listener(ev::beforeunload, move |event| {
        if untrack(|| uploads.unsent()) > 0 {
            event.prevent_default();
            // Older browsers ask only if there is a text. None shows it.
            event.set_return_value("unsent");
        }
    });
    window_event_listener_untyped("online", move |_| {
        let interrupted: Vec<Task> = uploads.tasks.with_untracked(|tasks| {
            let is_interrupted =
                |task: &&Task| task.state.with_untracked(|state| matches!(state, TaskState::Interrupted(..)));
            tasks.iter().filter(is_interrupted).cloned().collect()
        });
        for task in interrupted {
            uploads.command(task.id, Command::Resume);
        }
    });
}

/// A queued task that is not in the list of uploads yet.
pub fn task(
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
    let id = BROWSER_STATE.with_borrow_mut(|browser| {
        browser.last += 1;
        browser.files.insert(browser.last, LocalFile { file, run: 0, sending: false, request: None });
        browser.last
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

/// Starts the next queued task if fewer than `MAX_CONCURRENT` send and none is being created.
pub fn start_next(uploads: Uploads) {
    let next = BROWSER_STATE.with_borrow_mut(|browser| {
        let is_full = browser.files.values().filter(|local| local.sending).count() >= MAX_CONCURRENT;
        if is_full || browser.creating.is_some() {
            return None;
        }
        let task = uploads.tasks.with_untracked(|tasks| {
            let is_queued = |task: &&Task| task.state.with_untracked(|state| *state == TaskState::Queued);
            tasks.iter().find(is_queued).cloned()
        })?;
        let local = browser.files.get_mut(&task.id)?;
        local.sending = true;
        local.run += 1;
        browser.creating = Some(task.id);
        let number = local.run;
        Some(UploadRun { uploads, task, number, meter: Rc::default(), failures: 0, creations: 0 })
    });
    if let Some(run) = next {
        run.show(TaskState::Sending(run.progress(0)));
        spawn_local(run.drive());
    }
}

/// Ends the task's run. Its file stays.
pub fn stop(id: TaskId) {
    let request = with_local_file(id, |local| {
        local.run += 1;
        local.sending = false;
        local.request.take()
    });
    finish_creating(id);
    // The state is not borrowed here, because aborting calls the run, which borrows it.
    if let Some(request) = request.flatten() {
        let _ = request.abort();
    }
}

pub fn purge_file(task: &Task) {
    stop(task.id);
    BROWSER_STATE.with_borrow_mut(|browser| browser.files.remove(&task.id));
    if let Some(preview) = &task.preview {
        let _ = web_sys::Url::revoke_object_url(preview);
    }
}

fn finish_creating(id: TaskId) {
    BROWSER_STATE.with_borrow_mut(|browser| {
        if browser.creating == Some(id) {
            browser.creating = None;
        }
    });
}

/// One attempt to bring a task to its end.
struct UploadRun {
    uploads: Uploads,
    task: Task,
    number: u32,
    meter: Rc<Cell<SpeedMeter>>,
    /// Failures in a row.
    failures: u32,
    creations: u32,
}

impl UploadRun {
    async fn drive(mut self) {
        let mut step = Step::AskOffset { backoff: Backoff::None, reason: None };
        while self.is_current() {
            step = match step {
                Step::Create => self.create().await,
                Step::CheckGone => self.check_gone().await,
                Step::Send { offset } => self.send(offset).await,
                Step::AskOffset { backoff, reason } => self.ask_offset(backoff, reason).await,
                Step::AwaitStored => self.await_stored().await,
                Step::SignIn => self.await_session().await,
                Step::End(end) => return self.end(end),
            };
        }
    }

    /// Waits for a moment, then checks whether there is a session again.
    async fn await_session(&mut self) -> Step {
        self.failures = 0;
        self.show(self.shown_progress().map_or(TaskState::StoringSignedOut, TaskState::SignedOut));
        request::sleep(SESSION_POLL_MS).await;
        Step::AskOffset { backoff: Backoff::None, reason: None }
    }

    /// Asks what has become of an upload that takes no more bytes, which may have ended well or been refused. An upload
    /// that has expired is created again.
    async fn check_gone(&mut self) -> Step {
        let Some(granted) = self.granted() else { return Step::Create };
        match complete_upload(granted.upload).await {
            Ok(status) => machine::after_gone(&status).into(),
            Err(error) if error.is_missing() => Step::Create,
            Err(error) => machine::after_create_error(&error).into(),
        }
    }

    async fn create(&mut self) -> Step {
        self.creations += 1;
        if self.creations > MAX_CREATIONS {
            let message = "The server lost this upload. Try again, or choose the file again.";
            return Step::End(RunEnd::Failed(message.into()));
        }
        let intent = RawIntent {
            target: self.task.current_target(),
            file_name: self.task.file_name.clone(),
            length: i64::try_from(self.task.length).unwrap_or(i64::MAX),
            fingerprint: self.task.fingerprint.clone(),
            sha256: None,
        };
        let answer = begin_upload(intent, self.task.batch_member.clone()).await;
        let step = match answer {
            Ok(begun) => {
                self.task.granted.set(Some(GrantedUpload { upload: begun.id, url: begun.url }));
                if matches!(self.task.target, UploadTarget::NewTrack(_)) {
                    self.task.created_track.set(begun.track);
                }
                if self.is_dismissed() {
                    // Somebody cancelled the task before the server answered.
                    self.uploads.cancel_on_server(&self.task, OnCancel::RemoveTrack);
                }
                match u64::try_from(begun.offset) {
                    Ok(offset) if offset >= self.task.length => Step::AwaitStored,
                    Ok(offset) => Step::Send { offset },
                    Err(_) => Step::AskOffset { backoff: Backoff::Exponential, reason: None },
                }
            }
            Err(error) if error.is_missing() && self.task.created_track.get_untracked().is_some() => {
                // Somebody removed the track, so the file has no place any more.
                Step::End(RunEnd::Dismiss)
            }
            Err(error) => {
                // A refused creation does not count: the server has lost nothing.
                self.creations = self.creations.saturating_sub(1);
                return machine::after_create_error(&error).into();
            }
        };
        if self.is_current() {
            finish_creating(self.task.id);
        }
        self.changed();
        start_next(self.uploads);
        step
    }

    async fn send(&mut self, offset: u64) -> Step {
        let (Some(granted), Some(file)) = (self.granted(), with_local_file(self.task.id, |local| local.file.clone()))
        else {
            return Step::CheckGone;
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
        let step = match (machine::after_reply(&reply, self.task.length), machine::smaller_chunk(bytes)) {
            (TransferStep::ShrinkChunk, Some(smaller)) => {
                // Another file may have found a smaller size already: that size is next.
                CHUNK_SIZE_BYTES.set(CHUNK_SIZE_BYTES.get().min(smaller));
                Step::Send { offset }
            }
            (step, _) => step.into(),
        };
        match step {
            Step::Send { .. } | Step::AwaitStored => self.failures = 0,
            _ => self.meter.update(|mut meter| {
                meter.interrupt();
                meter
            }),
        }
        if !reply.is_answered() && self.is_current() && !request::is_readable(&file, offset).await {
            return file_changed();
        }
        step
    }

    /// Asks the server how many bytes it has. Creates the upload if there is none.
    async fn ask_offset(&mut self, backoff: Backoff, reason: Option<String>) -> Step {
        self.failures += 1;
        if backoff == Backoff::Exponential || self.failures > 2 {
            self.show(TaskState::Interrupted(self.shown_progress().unwrap_or_else(|| self.progress(0)), reason));
            request::sleep(machine::backoff_ms(self.failures, js_sys::Math::random())).await;
            if !self.is_current() {
                // `drive` stops here, whatever the step is.
                return Step::AskOffset { backoff, reason: None };
            }
        }
        let Some(granted) = self.granted() else { return self.create().await };
        finish_creating(self.task.id);
        start_next(self.uploads);
        let reply = request::head(&granted.url, |request| self.keep_request(request)).await;
        with_local_file(self.task.id, |local| local.request = None);
        machine::after_reply(&reply, self.task.length).into()
    }

    /// Waits until the file is stored and attached, or cannot be.
    async fn await_stored(&mut self) -> Step {
        let Some(granted) = self.granted() else { return Step::Create };
        self.show(TaskState::Storing);
        with_local_file(self.task.id, |local| local.sending = false);
        self.changed();
        start_next(self.uploads);
        let mut pause_ms = 500;
        request::sleep(self.storing_poll_ms() - STORING_POLL_MS).await;
        loop {
            let step = match complete_upload(granted.upload).await {
                Ok(status) => machine::after_status(&status),
                Err(error) => machine::after_status_error(&error),
            };
            if step != StoredStep::PollAgain || !self.is_current() {
                return step.into();
            }
            request::sleep(pause_ms.max(self.storing_poll_ms() - STORING_POLL_MS)).await;
            pause_ms = (pause_ms * 2).min(MAX_STORING_PAUSE_MS);
        }
    }

    /// Time in which each of the files that are being stored is asked about once, in milliseconds.
    fn storing_poll_ms(&self) -> i32 {
        let is_stored = |task: &&Task| task.state.with_untracked(|state| matches!(state, TaskState::Storing));
        let storing = self.uploads.tasks.with_untracked(|tasks| tasks.iter().filter(is_stored).count());
        i32::try_from(storing.max(1)).unwrap_or(i32::MAX).saturating_mul(STORING_POLL_MS)
    }

    fn end(self, end: RunEnd) {
        if !self.is_current() {
            return;
        }
        finish_creating(self.task.id);
        let state = match end {
            RunEnd::Done => TaskState::Done,
            RunEnd::Refused(message) => TaskState::Refused(message),
            RunEnd::Failed(message) => TaskState::Failed(message),
            RunEnd::Dismiss => {
                self.uploads.dismiss(&self.task);
                return self.changed();
            }
        };
        if matches!(state, TaskState::Failed(_)) {
            stop(self.task.id);
        } else {
            // Nothing reads the file again. The preview stays as long as the task.
            BROWSER_STATE.with_borrow_mut(|browser| browser.files.remove(&self.task.id));
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

    /// The progress with the number of bytes that the page shows. `None` once the server has all bytes.
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

    /// Shows a state of the task. Does nothing once the run is stopped.
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

fn file_changed() -> Step {
    let message = "This file was changed or moved, or your browser can't read it any more. Choose it again.";
    Step::End(RunEnd::Failed(message.into()))
}
