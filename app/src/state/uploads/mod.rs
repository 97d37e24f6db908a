//! Uploads outlast a change of route and continue after trouble by themselves. At most three send at the same time.
//!
//! [`machine`] decides, and `browser` acts. The server has no tasks: `server` has the same functions, which do nothing.

#[cfg(feature = "hydrate")]
mod browser;
pub mod machine;
#[cfg(not(feature = "hydrate"))]
mod server;
pub mod sorting;
pub mod speed;
mod tasks;

use leptos::{prelude::*, task::spawn_local};
use vwaza::domain::{release::ReleaseView, upload::UploadTarget};

#[cfg(feature = "hydrate")]
use self::browser as platform;
#[cfg(not(feature = "hydrate"))]
use self::server as platform;
use self::tasks::OnCancel;
use crate::{
    api::{tracks::remove_track, uploads::cancel_upload},
    error::ApiResult,
};

pub use self::{
    machine::TaskState,
    platform::{Files, holds_files},
    speed::Progress,
    tasks::{Command, Task, TaskId, Uploads},
};

pub fn provide() {
    provide_context(Uploads::new());
}

impl Uploads {
    /// Adds files for a track's audio, or for the step of the cover or of the tracks. In a step, each file goes where
    /// it belongs, and `notes` names the files that are left out. `release` is as the page shows it.
    pub fn add(self, release: ReleaseView, target: UploadTarget, files: Files) {
        self.dismiss_notes();
        platform::add_files(self, self.limits, release, target, files);
    }

    pub fn dismiss_notes(self) {
        self.notes.set(None);
    }

    pub fn command(self, id: TaskId, command: Command) {
        let Some(task) = untrack(|| self.find(|task| task.id == id)) else { return };
        match command {
            // Cancelling a file with an error keeps its track, and what was typed there.
            Command::Cancel if untrack(|| task.has_error()) => self.cancel(&task, OnCancel::KeepTrack),
            Command::Cancel => self.cancel(&task, OnCancel::RemoveTrack),
            Command::Pause => {
                let progress = task.state.with_untracked(TaskState::progress);
                platform::stop(task.id);
                task.state
                    .set(TaskState::Paused(progress.unwrap_or(Progress { total: task.length, ..Progress::default() })));
                platform::start_next(self);
            }
            Command::Resume => {
                platform::stop(task.id);
                if task.state.with_untracked(|state| matches!(state, TaskState::Failed(_))) {
                    // The failed upload is not continued: a new one is created.
                    task.granted.set(None);
                }
                task.state.set(TaskState::Queued);
                platform::start_next(self);
            }
        }
    }

    /// Removes a task without telling the server, which knows already.
    pub fn dismiss(self, task: &Task) {
        self.remove(task);
        platform::start_next(self);
    }

    fn cancel(self, task: &Task, on_cancel: OnCancel) {
        self.remove(task);
        self.cancel_on_server(task, on_cancel);
        platform::start_next(self);
    }

    /// Cancels an upload on the server. The server refuses if the upload is stored already: then its file can only be
    /// removed.
    fn cancel_on_server(self, task: &Task, on_cancel: OnCancel) {
        let upload = untrack(|| task.upload());
        let created_track = task.created_track.get_untracked().filter(|_| on_cancel == OnCancel::RemoveTrack);
        let tell = move |answer: ApiResult<()>| match answer {
            // A missing upload or a conflict means that it was too late. Then the page shows what has become of the
            // file.
            Err(error) if !error.is_missing() && !error.is_conflict() => self.toasts.error(&error),
            Ok(()) | Err(_) => {}
        };
        spawn_local(async move {
            if let Some(upload) = upload {
                tell(cancel_upload(upload).await);
            }
            if let Some(track) = created_track {
                tell(remove_track(track).await.map(drop));
            }
            self.changes.update(|changes| *changes += 1);
        });
    }

    fn remove(self, task: &Task) {
        platform::purge_file(task);
        self.tasks.update(|tasks| tasks.retain(|other| other != task));
    }
}
