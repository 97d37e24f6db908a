//! Uploads: they outlast a change of route, go on after trouble by themselves, and at most three send at once.
//!
//! [`machine`] decides, and `send` acts in the browser; the server never has a task. Before that, `intake` looks at the files that were
//! brought and refuses those that the server would refuse.

#[cfg(feature = "hydrate")]
mod dropped_folders;
mod files;
#[cfg(feature = "hydrate")]
mod intake;
pub mod machine;
#[cfg(feature = "hydrate")]
mod request;
#[cfg(feature = "hydrate")]
mod send;
pub mod sorting;
pub mod speed;

use leptos::prelude::*;
#[cfg(feature = "hydrate")]
use vwaza::domain::media::MediaLimits;
use vwaza::domain::{
    files::{FileState, PendingUpload},
    ids::{ReleaseId, TrackId, UploadId},
    release::ReleaseView,
    titles::title_from_file_name,
    track::TrackView,
    upload::{BatchMember, UploadTarget},
};

#[cfg(feature = "hydrate")]
use super::{limits, toasts::Toasts};

pub use self::{
    files::{Files, holds_files},
    machine::TaskState,
    speed::Progress,
};

/// No file is taken on the server.
#[cfg(not(feature = "hydrate"))]
mod intake {
    use super::{Files, ReleaseView, UploadTarget, Uploads};

    pub(super) fn add_files(_: Uploads, _: ReleaseView, _: UploadTarget, _: Files) {}
}

/// Nothing is sent from the server.
#[cfg(not(feature = "hydrate"))]
mod send {
    use super::{OnCancel, Task, TaskId, Uploads};

    pub(super) fn start_next(_: Uploads) {}
    pub(super) fn stop(_: TaskId) {}
    pub(super) fn purge_file(_: &Task) {}
    pub(super) fn cancel(_: Uploads, _: &Task, _: OnCancel) {}
}

/// One file on its way, as this tab knows it.
pub type TaskId = u64;

#[derive(Clone, Debug)]
pub struct Task {
    pub id: TaskId,
    pub release: ReleaseId,
    pub target: UploadTarget,
    pub file_name: String,
    /// Bytes.
    pub length: u64,
    pub fingerprint: String,
    /// Checksum of the file's beginning and end: tells it from another file of its name and length.
    pub content_hash: u64,
    /// The batch of a new track's file: all files that were brought together.
    batch_member: Option<BatchMember>,
    /// A `blob:` address of the file, for covers.
    pub preview: Option<String>,
    state: ArcRwSignal<TaskState>,
    granted: ArcRwSignal<Option<GrantedUpload>>,
    /// The one that the server made for it.
    created_track: ArcRwSignal<Option<TrackId>>,
}

/// What the server said when the upload began.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GrantedUpload {
    upload: UploadId,
    url: String,
}

/// What happens to a track that was made for a file alone, when that is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnCancel {
    /// Another file takes its place.
    KeepTrack,
    RemoveTrack,
}

/// What a person does to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Pause,
    /// After a pause, or to try again now.
    Resume,
    /// Gives the upload up, or puts away one that was refused.
    Cancel,
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Task {
    pub fn state(&self) -> TaskState {
        self.state.get()
    }

    /// The title of the track that is made for it.
    pub fn title(&self) -> String {
        let batch_member = self.batch_member.as_ref().map(|batch_member| batch_member.title.clone());
        batch_member.unwrap_or_else(|| title_from_file_name(&self.file_name))
    }

    /// The upload that the server knows it by, once begun.
    pub fn upload(&self) -> Option<UploadId> {
        self.granted.with(|granted| granted.as_ref().map(|granted| granted.upload))
    }

    /// The track it is for, once the server has made one.
    pub fn track(&self) -> Option<TrackId> {
        match self.target {
            UploadTarget::Audio(track) => Some(track),
            UploadTarget::Cover(_) => None,
            UploadTarget::NewTrack(_) => self.created_track.get(),
        }
    }

    /// The server tells of a refusal itself, and goes on telling after a reload: it is said once.
    pub fn is_refusal_shown_by(&self, pending: Option<&PendingUpload>) -> bool {
        matches!(self.state(), TaskState::Refused(_))
            && pending.is_some_and(|pending| Some(pending.id) == self.upload())
    }

    /// It is done, and the page has not heard of it yet. Another device's upload may be under way by then.
    pub fn is_ahead_of(&self, pending: Option<&PendingUpload>) -> bool {
        self.state() == TaskState::Done && pending.is_none_or(|pending| Some(pending.id) == self.upload())
    }

    /// Where to go on when the upload itself is gone: a track that was made for it is not made twice.
    #[cfg(feature = "hydrate")]
    fn current_target(&self) -> UploadTarget {
        self.created_track.get_untracked().map_or(self.target, UploadTarget::Audio)
    }

    /// Somebody has to choose another file, or put this one away.
    pub fn has_error(&self) -> bool {
        self.state.with(TaskState::has_error)
    }

    #[cfg(feature = "hydrate")]
    fn is_over(&self) -> bool {
        self.state.with(|state| *state == TaskState::Done || state.has_error())
    }
}

/// All uploads of this tab.
#[derive(Clone, Copy)]
pub struct Uploads {
    tasks: RwSignal<Vec<Task>>,
    /// Sentences about the files that were brought last, and the release they were brought to.
    notes: RwSignal<Option<(ReleaseId, Vec<String>)>>,
    changes: RwSignal<u64>,
    #[cfg(feature = "hydrate")]
    limits: MediaLimits,
    #[cfg(feature = "hydrate")]
    toasts: Toasts,
}

pub fn provide() {
    let uploads = Uploads {
        tasks: RwSignal::new(Vec::new()),
        notes: RwSignal::new(None),
        changes: RwSignal::new(0),
        #[cfg(feature = "hydrate")]
        limits: limits::get(),
        #[cfg(feature = "hydrate")]
        toasts: Toasts::get(),
    };
    provide_context(uploads);
}

impl Uploads {
    pub fn get() -> Self {
        expect_context()
    }

    /// Grows whenever an upload has changed something on the server that a page may show.
    pub fn changes(self) -> u64 {
        self.changes.get()
    }

    /// The files of this tab that are not sent whole.
    pub fn unsent(self) -> usize {
        self.tasks.with(|tasks| tasks.iter().filter(|task| task.state.with(TaskState::has_unsent_bytes)).count())
    }

    pub fn of_cover(self, release: ReleaseId) -> Option<Task> {
        self.find(|task| task.target == UploadTarget::Cover(release))
    }

    pub fn of_track(self, track: TrackId) -> Option<Task> {
        self.find(|task| task.track() == Some(track))
    }

    pub fn of_release(self, release: ReleaseId) -> Vec<Task> {
        self.tasks.with(|tasks| tasks.iter().filter(|task| task.release == release).cloned().collect())
    }

    /// Files for tracks that the server has not made yet, or that this page has not heard of.
    pub fn of_new_tracks(self, release: ReleaseId, known: &[TrackView]) -> Vec<Task> {
        self.tasks.with(|tasks| {
            let is_new = |task: &&Task| {
                task.target == UploadTarget::NewTrack(release)
                    && !task.state.with(|state| *state == TaskState::Done)
                    && task.track().is_none_or(|id| known.iter().all(|track| track.id != id))
            };
            tasks.iter().filter(is_new).cloned().collect()
        })
    }

    /// Files that a release would go to review without, and that are not on its own list of what is missing.
    pub fn not_in_submission(self, release: &ReleaseView) -> Vec<Task> {
        let is_left_out = |task: &Task| {
            let there = match task.target {
                UploadTarget::Cover(_) => Some(release.cover.state()),
                UploadTarget::NewTrack(_) | UploadTarget::Audio(_) => {
                    release.tracks.iter().find(|track| task.track() == Some(track.id)).map(TrackView::state)
                }
            };
            match (there, task.target, task.state()) {
                (Some(FileState::Receiving), ..) => false,
                (None, UploadTarget::NewTrack(_), state) => state != TaskState::Done,
                // Its track was removed elsewhere.
                (None, ..) => false,
                (Some(_), _, state) => state.has_unsent_bytes() || matches!(state, TaskState::Failed(_)),
            }
        };
        self.of_release(release.id).into_iter().filter(is_left_out).collect()
    }

    /// Takes files for a track's audio, or files that were brought to the step of the cover or of the tracks. There each file goes where it
    /// belongs, and `notes` tells of files that go nowhere. `release` is as the page shows it.
    pub fn add(self, release: ReleaseView, target: UploadTarget, files: Files) {
        self.dismiss_notes();
        intake::add_files(self, release, target, files);
    }

    /// Sentences about the files that were brought last.
    pub fn notes(self, release: ReleaseId) -> Vec<String> {
        let of_release = |(about, notes): &(ReleaseId, Vec<String>)| (*about == release).then(|| notes.clone());
        self.notes.with(|notes| notes.as_ref().and_then(of_release).unwrap_or_default())
    }

    pub fn dismiss_notes(self) {
        self.notes.set(None);
    }

    pub fn command(self, id: TaskId, command: Command) {
        let Some(task) = untrack(|| self.find(|task| task.id == id)) else { return };
        match command {
            // Of a bad file only the file goes: what was typed of its track stays.
            Command::Cancel if untrack(|| task.has_error()) => self.cancel(&task, OnCancel::KeepTrack),
            Command::Cancel => self.cancel(&task, OnCancel::RemoveTrack),
            Command::Pause => {
                let progress = task.state.with_untracked(TaskState::progress);
                send::stop(task.id);
                task.state
                    .set(TaskState::Paused(progress.unwrap_or(Progress { total: task.length, ..Progress::default() })));
                send::start_next(self);
            }
            Command::Resume => {
                send::stop(task.id);
                if task.state.with_untracked(|state| matches!(state, TaskState::Failed(_))) {
                    // What failed is not asked after once more.
                    task.granted.set(None);
                }
                task.state.set(TaskState::Queued);
                send::start_next(self);
            }
        }
    }

    /// Puts a task away without telling the server, which knows already.
    pub fn dismiss(self, task: &Task) {
        self.remove(task);
        send::start_next(self);
    }

    /// What is done, to be forgotten once the release shows it.
    pub fn done(self, release: ReleaseId) -> Vec<Task> {
        untrack(|| self.of_release(release).into_iter().filter(|task| task.state() == TaskState::Done).collect())
    }

    fn cancel(self, task: &Task, on_cancel: OnCancel) {
        self.remove(task);
        send::cancel(self, task, on_cancel);
        send::start_next(self);
    }

    fn remove(self, task: &Task) {
        send::purge_file(task);
        self.tasks.update(|tasks| tasks.retain(|other| other != task));
    }

    #[cfg(feature = "hydrate")]
    fn note(self, release: ReleaseId, notes: Vec<String>) {
        self.notes.set(Some((release, notes)).filter(|(_, notes)| !notes.is_empty()));
    }

    /// A new file for a cover or a track takes the place of the old one. An upload of the same file that is under way goes on instead. A
    /// file that is refused stops no upload.
    #[cfg(feature = "hydrate")]
    fn enqueue(self, new: Task) {
        let has_error = untrack(|| new.has_error());
        let replaced: Vec<Task> =
            self.replaced_by(&new).into_iter().filter(|old| !has_error || untrack(|| old.has_error())).collect();
        if replaced.iter().any(|old| old.fingerprint == new.fingerprint && !untrack(|| old.is_over())) {
            return send::purge_file(&new);
        }
        for old in replaced {
            if old.fingerprint == new.fingerprint {
                self.remove(&old);
            } else {
                self.cancel(&old, OnCancel::KeepTrack);
            }
        }
        self.tasks.update(|tasks| tasks.push(new));
        send::start_next(self);
    }

    /// Whether the release has the file of a new task already, or this tab is sending it; with the number of its track if it has one yet.
    #[cfg(feature = "hydrate")]
    fn find_duplicate(self, release: &ReleaseView, new: &Task) -> Option<Option<i32>> {
        if let Some(number) = sorting::track_number_of(release, &new.file_name, new.length) {
            return Some(Some(number));
        }
        let is_same = |old: &Task| {
            let is_audio = old.release == new.release && old.target.kind() == new.target.kind();
            let is_alike =
                (&old.file_name, old.length, old.content_hash) == (&new.file_name, new.length, new.content_hash);
            is_audio && is_alike && !untrack(|| old.has_error())
        };
        let old = untrack(|| self.find(is_same))?;
        let track = untrack(|| old.track());
        Some(release.tracks.iter().find(|shown| Some(shown.id) == track).map(|shown| shown.number))
    }

    #[cfg(feature = "hydrate")]
    fn has_cover(self, release: ReleaseId) -> bool {
        untrack(|| self.of_cover(release)).is_some_and(|task| !untrack(|| task.has_error()))
    }

    #[cfg(feature = "hydrate")]
    fn replaced_by(self, new: &Task) -> Vec<Task> {
        let replaces = |old: &Task| match new.target {
            UploadTarget::Cover(_) => old.target == new.target,
            UploadTarget::Audio(track) => untrack(|| old.track()) == Some(track),
            // Dropped once more after it was refused or failed.
            UploadTarget::NewTrack(_) => {
                old.target == new.target && old.fingerprint == new.fingerprint && untrack(|| old.track()).is_none()
            }
        };
        self.tasks.with_untracked(|tasks| tasks.iter().filter(|old| replaces(old)).cloned().collect())
    }

    /// The newest that fits.
    fn find(self, fits: impl Fn(&Task) -> bool) -> Option<Task> {
        self.tasks.with(|tasks| tasks.iter().rev().find(|task| fits(task)).cloned())
    }
}
