//! Decides what becomes of a new file, by the files that the tab or the release has already.

use leptos::prelude::*;
use vwaza::domain::{ids::ReleaseId, release::ReleaseView, upload::UploadTarget};

use super::send::{purge_file, start_next};
use crate::state::uploads::{
    machine::TaskState,
    sorting,
    tasks::{OnCancel, Task, Uploads},
};

impl Task {
    /// The target of the next upload of this file. A track that was created for the file is not created twice.
    pub fn current_target(&self) -> UploadTarget {
        self.created_track.get_untracked().map_or(self.target, UploadTarget::Audio)
    }

    pub fn is_over(&self) -> bool {
        self.state.with(|state| *state == TaskState::Done || state.has_error())
    }
}

impl Uploads {
    pub fn note(self, release: ReleaseId, notes: Vec<String>) {
        self.notes.set(Some((release, notes)).filter(|(_, notes)| !notes.is_empty()));
    }

    /// Adds a task, which replaces older tasks of the same cover or track. If an older task sends the same file, the
    /// older one continues and the new one is dropped. A refused file stops no upload.
    pub fn enqueue(self, new: Task) {
        let has_error = untrack(|| new.has_error());
        let replaced: Vec<Task> =
            self.replaced_by(&new).into_iter().filter(|old| !has_error || untrack(|| old.has_error())).collect();
        if replaced.iter().any(|old| old.fingerprint == new.fingerprint && !untrack(|| old.is_over())) {
            return purge_file(&new);
        }
        for old in replaced {
            if old.fingerprint == new.fingerprint {
                self.remove(&old);
            } else {
                self.cancel(&old, OnCancel::KeepTrack);
            }
        }
        self.tasks.update(|tasks| tasks.push(new));
        start_next(self);
    }

    /// Finds the file of a new task in the release or among this tab's uploads. Returns the number of the file's track,
    /// if it has one yet.
    pub fn find_duplicate(self, release: &ReleaseView, new: &Task) -> Option<Option<i32>> {
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

    pub fn has_cover(self, release: ReleaseId) -> bool {
        untrack(|| self.of_cover(release)).is_some_and(|task| !untrack(|| task.has_error()))
    }

    fn replaced_by(self, new: &Task) -> Vec<Task> {
        let replaces = |old: &Task| match new.target {
            UploadTarget::Cover(_) => old.target == new.target,
            UploadTarget::Audio(track) => untrack(|| old.track()) == Some(track),
            // A task without a track is replaced only if the same file is dropped again after it was refused or failed.
            UploadTarget::NewTrack(_) => {
                old.target == new.target && old.fingerprint == new.fingerprint && untrack(|| old.track()).is_none()
            }
        };
        self.tasks.with_untracked(|tasks| tasks.iter().filter(|old| replaces(old)).cloned().collect())
    }
}
