//! The newest that is known of the release: every answer of the server, wherever it was asked for, goes through here.

use leptos::{prelude::*, task::spawn_local};
use vwaza::domain::{files::FileState, ids::ReleaseId, release::ReleaseView, upload::UploadKind};

use crate::{
    api::releases::release,
    state::{
        live::Live,
        uploads::{Task, Uploads},
    },
};

/// One is on its way at a time, whatever changes meanwhile: then it is asked once more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    None,
    Asked,
    AskedAndOutdated,
}

#[derive(Clone, Copy)]
pub(super) struct Latest {
    id: ReleaseId,
    release: RwSignal<ReleaseView>,
    uploads: Uploads,
    question: StoredValue<Question>,
}

impl Latest {
    /// Asks again whenever something has changed on the server.
    pub(super) fn new(release: ReleaseView) -> Self {
        let (live, uploads) = (Live::get().on_release(release.id), Uploads::get());
        let latest = Self {
            id: release.id,
            release: RwSignal::new(release),
            uploads,
            question: StoredValue::new(Question::None),
        };
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

    pub(super) fn with<T>(self, read: impl FnOnce(&ReleaseView) -> T) -> T {
        self.release.with(read)
    }

    pub(super) fn with_untracked<T>(self, read: impl FnOnce(&ReleaseView) -> T) -> T {
        self.release.with_untracked(read)
    }

    /// An answer that was overtaken by a newer one changes nothing.
    pub(super) fn accept(self, answer: ReleaseView) {
        // Nobody looks any more where the wizard was left.
        let _ = self.release.try_maybe_update(|release| {
            let is_news = answer.version >= release.version && *release != answer;
            if is_news {
                *release = answer;
            }
            (is_news, ())
        });
    }

    pub(super) fn refetch(self) {
        match self.question.try_get_value() {
            Some(Question::None) => spawn_local(self.ask()),
            Some(_) => self.question.set_value(Question::AskedAndOutdated),
            None => {}
        }
    }

    async fn ask(self) {
        loop {
            self.question.set_value(Question::Asked);
            let done = self.uploads.done(self.id);
            let answer = release(self.id).await;
            let Some(question) = self.question.try_get_value() else { return };
            // Trouble on the way leaves what is there; the next change asks again.
            if let Ok(answer) = answer {
                // The preview of a cover stays until there are thumbnails.
                let is_shown =
                    |task: &&Task| task.target.kind() == UploadKind::Audio || answer.cover.state() == FileState::Ready;
                done.iter().filter(is_shown).for_each(|task| self.uploads.forget(task));
                self.accept(answer);
            }
            if question != Question::AskedAndOutdated {
                break;
            }
        }
        self.question.set_value(Question::None);
    }
}
