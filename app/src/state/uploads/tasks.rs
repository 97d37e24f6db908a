//! The tasks of this tab, and what pages read from them.

use leptos::prelude::*;
use vwaza::domain::{
    files::{FileState, PendingUpload},
    ids::{ReleaseId, TrackId, UploadId},
    media::MediaLimits,
    release::ReleaseView,
    titles::title_from_file_name,
    track::TrackView,
    upload::{BatchMember, UploadTarget},
};

use super::machine::TaskState;
use crate::state::{limits, toasts::Toasts};

pub type TaskId = u64;

/// The upload of one file by this tab.
#[derive(Clone, Debug)]
pub struct Task {
    pub id: TaskId,
    pub release: ReleaseId,
    pub target: UploadTarget,
    pub file_name: String,
    /// Bytes.
    pub length: u64,
    pub fingerprint: String,
    /// Checksum of the file's end and of the pieces that were read from its header. It tells the file from another one
    /// of the same name and length.
    pub content_hash: u64,
    /// The batch of all files that were chosen or dropped together, if the file is for a new track.
    pub(super) batch_member: Option<BatchMember>,
    /// The `blob:` address of the file, if it is a cover.
    pub preview: Option<String>,
    pub(super) state: ArcRwSignal<TaskState>,
    pub(super) granted: ArcRwSignal<Option<GrantedUpload>>,
    /// The track that the server created for the file.
    pub(super) created_track: ArcRwSignal<Option<TrackId>>,
}

/// The server's answer when the upload was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedUpload {
    pub upload: UploadId,
    pub url: String,
}

/// Whether a track that was created for a file stays if the file's upload is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCancel {
    /// The track stays, and another file can take the place of this one.
    KeepTrack,
    RemoveTrack,
}

/// A command of a person to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Pause,
    /// Continues after a pause, or tries again now.
    Resume,
    /// Cancels the upload, or dismisses one that was refused.
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

    /// The title of the track that is created for the file.
    pub fn title(&self) -> String {
        let batch_member = self.batch_member.as_ref().map(|batch_member| batch_member.title.clone());
        batch_member.unwrap_or_else(|| title_from_file_name(&self.file_name))
    }

    /// The server's id of the upload, once it is created.
    pub fn upload(&self) -> Option<UploadId> {
        self.granted.with(|granted| granted.as_ref().map(|granted| granted.upload))
    }

    /// The track of the task, once the server has created it.
    pub fn track(&self) -> Option<TrackId> {
        match self.target {
            UploadTarget::Audio(track) => Some(track),
            UploadTarget::Cover(_) => None,
            UploadTarget::NewTrack(_) => self.created_track.get(),
        }
    }

    /// Whether the server's own list shows the refusal, also after a reload. Then the task does not show it a second
    /// time.
    pub fn is_refusal_shown_by(&self, pending: Option<&PendingUpload>) -> bool {
        matches!(self.state(), TaskState::Refused(_))
            && pending.is_some_and(|pending| Some(pending.id) == self.upload())
    }

    /// Whether the task is done and the page does not show that yet. By then, another device may upload for the same
    /// target.
    pub fn is_ahead_of(&self, pending: Option<&PendingUpload>) -> bool {
        self.state() == TaskState::Done && pending.is_none_or(|pending| Some(pending.id) == self.upload())
    }

    /// Whether somebody has to choose another file or dismiss this one.
    pub fn has_error(&self) -> bool {
        self.state.with(TaskState::has_error)
    }
}

/// All uploads of this tab.
#[derive(Clone, Copy)]
pub struct Uploads {
    pub(super) tasks: RwSignal<Vec<Task>>,
    /// Sentences about the files that were chosen or dropped last, and the release that they are for.
    pub(super) notes: RwSignal<Option<(ReleaseId, Vec<String>)>>,
    pub(super) changes: RwSignal<u64>,
    pub(super) limits: MediaLimits,
    pub(super) toasts: Toasts,
}

impl Uploads {
    pub(super) fn new() -> Self {
        Self {
            tasks: RwSignal::new(Vec::new()),
            notes: RwSignal::new(None),
            changes: RwSignal::new(0),
            limits: limits::get(),
            toasts: Toasts::get(),
        }
    }

    pub fn get() -> Self {
        expect_context()
    }

    /// Grows whenever an upload has changed something on the server that a page may show.
    pub fn changes(self) -> u64 {
        self.changes.get()
    }

    /// The number of this tab's files that are not completely sent.
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

    /// Files for tracks that the server has not created yet, or that are not among the `known` ones.
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

    /// Files that would be left out if the release were submitted now, and that its own list of missing things does not
    /// name.
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
                // The file's track was removed elsewhere.
                (None, ..) => false,
                (Some(_), _, state) => state.has_unsent_bytes() || matches!(state, TaskState::Failed(_)),
            }
        };
        self.of_release(release.id).into_iter().filter(is_left_out).collect()
    }

    /// Sentences about the files that were chosen or dropped last.
    pub fn notes(self, release: ReleaseId) -> Vec<String> {
        let of_release = |(about, notes): &(ReleaseId, Vec<String>)| (*about == release).then(|| notes.clone());
        self.notes.with(|notes| notes.as_ref().and_then(of_release).unwrap_or_default())
    }

    /// Tasks that are done, to be dismissed once the release shows their files.
    pub fn done(self, release: ReleaseId) -> Vec<Task> {
        untrack(|| self.of_release(release).into_iter().filter(|task| task.state() == TaskState::Done).collect())
    }

    /// The newest task that fits.
    pub fn find(self, fits: impl Fn(&Task) -> bool) -> Option<Task> {
        self.tasks.with(|tasks| tasks.iter().rev().find(|task| fits(task)).cloned())
    }
}
