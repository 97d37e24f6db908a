//! The newest known state of the release. Every answer of the server goes through here.

use std::time::Duration;

use leptos::{leptos_dom::helpers::TimeoutHandle, prelude::*, task::spawn_local};
use vwaza::domain::{
    files::FileState,
    ids::{ReleaseId, UploadId},
    release::ReleaseView,
    upload::UploadKind,
};

use crate::{
    api::{releases::release, uploads::cancel_upload},
    state::{
        live::Live,
        toasts::Toasts,
        uploads::{Task, Uploads},
    },
};

/// The pause after each answer: at most 30 fetches a minute, of the 100 requests that an address may send.
const FETCH_PAUSE: Duration = Duration::from_secs(2);
/// The pause between two saves of any of the release's forms: at most 24 a minute.
const SAVE_PAUSE: Duration = Duration::from_millis(2500);

/// At most one fetch is on its way. Changes meanwhile lead to another one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FetchState {
    Idle,
    /// A fetch is on its way, or was answered a moment ago.
    Fetching,
    FetchingOutdated,
}

#[derive(Clone, Copy)]
pub(super) struct Latest {
    id: ReleaseId,
    release: RwSignal<ReleaseView>,
    uploads: Uploads,
    fetch_state: StoredValue<FetchState>,
    /// The timer that fetches again after trouble.
    retry_timer: StoredValue<Option<TimeoutHandle>>,
    /// Whether a form of this release was saved a moment ago.
    just_saved: RwSignal<bool>,
}

impl Latest {
    /// Fetches again whenever something may have changed on the server.
    pub(super) fn new(release: ReleaseView) -> Self {
        let (live, uploads) = (Live::get().on_release(release.id), Uploads::get());
        let latest = Self {
            id: release.id,
            release: RwSignal::new(release),
            uploads,
            fetch_state: StoredValue::new(FetchState::Idle),
            retry_timer: StoredValue::new(None),
            just_saved: RwSignal::new(false),
        };
        on_cleanup(move || latest.stop_timer());
        Effect::new(move |last: Option<(u64, u64)>| {
            let now = (live.get(), uploads.changes());
            if last.is_some_and(|last| last != now) {
                latest.refetch();
            }
            now
        });
        latest
    }

    pub(super) fn id(self) -> ReleaseId {
        self.id
    }

    pub(super) fn get(self) -> ReleaseView {
        self.release.get()
    }

    /// The release at this moment, without following later changes.
    pub(super) fn snapshot(self) -> ReleaseView {
        self.release.get_untracked()
    }

    pub(super) fn with<T>(self, read: impl FnOnce(&ReleaseView) -> T) -> T {
        self.release.with(read)
    }

    pub(super) fn with_untracked<T>(self, read: impl FnOnce(&ReleaseView) -> T) -> T {
        self.release.with_untracked(read)
    }

    /// Takes an answer, unless a newer one was taken already.
    pub(super) fn accept(self, answer: ReleaseView) {
        // The signal is gone once the wizard is left.
        let _ = self.release.try_maybe_update(|release| {
            let needs_refresh = answer.version >= release.version && *release != answer;
            if needs_refresh {
                *release = answer;
            }
            (needs_refresh, ())
        });
    }

    /// Whether a form waits before it saves.
    pub(super) fn just_saved(self) -> bool {
        self.just_saved.get()
    }

    /// Makes all forms of this release wait for a moment.
    pub(super) fn note_save(self) {
        self.just_saved.set(true);
        let is_over = move || {
            // The signal is gone once the wizard is left.
            let _ = self.just_saved.try_set(false);
        };
        set_timeout(is_over, SAVE_PAUSE);
    }

    /// Ends the pause between saves, for somebody who has pressed a button.
    pub(super) fn skip_save_pause(self) {
        self.just_saved.set(false);
    }

    pub(super) fn refetch(self) {
        match self.fetch_state.try_get_value() {
            Some(FetchState::Idle) => {
                self.fetch_state.set_value(FetchState::Fetching);
                spawn_local(self.fetch());
            }
            Some(_) => self.fetch_state.set_value(FetchState::FetchingOutdated),
            None => {}
        }
    }

    /// Cancels an upload that the server knows of, and this tab's `task` for the same cover or track.
    pub(super) fn cancel_upload(self, upload: UploadId, task: Option<Task>, toasts: Toasts) {
        if let Some(task) = task {
            self.uploads.dismiss(&task);
        }
        spawn_local(async move {
            match cancel_upload(upload).await {
                Ok(()) => self.refetch(),
                Err(error) => toasts.error(&error),
            }
        });
    }

    fn fetch_again_after(self, wait: Option<Duration>) {
        let retry_timer = wait.and_then(|wait| set_timeout_with_handle(move || self.refetch(), wait).ok());
        self.retry_timer.set_value(retry_timer);
    }

    fn stop_timer(self) {
        if let Some(Some(timer)) = self.retry_timer.try_update_value(Option::take) {
            timer.clear();
        }
    }

    async fn fetch(self) {
        let done = self.uploads.done(self.id);
        let answer = release(self.id).await;
        if self.fetch_state.try_get_value().is_none() {
            return;
        }
        self.stop_timer();
        match answer {
            Ok(answer) => {
                // The preview of a cover stays until there are thumbnails.
                let is_shown =
                    |task: &&Task| task.target.kind() == UploadKind::Audio || answer.cover.state() == FileState::Ready;
                done.iter().filter(is_shown).for_each(|task| self.uploads.dismiss(task));
                self.accept(answer);
            }
            // The page keeps what it shows. It fetches again, because this change may be the last one in a long time.
            Err(error) => self.fetch_again_after(error.retry_delay()),
        }
        set_timeout(move || self.end_pause(), FETCH_PAUSE);
    }

    fn end_pause(self) {
        let Some(fetch_state) = self.fetch_state.try_get_value() else { return };
        self.fetch_state.set_value(FetchState::Idle);
        if fetch_state == FetchState::FetchingOutdated {
            self.refetch();
        }
    }
}
