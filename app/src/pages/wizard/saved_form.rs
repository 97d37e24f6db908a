//! A form that saves itself. This module decides what the form shows, checks and sends, and [`Autosave`] decides when.

use leptos::{html, prelude::*, server_fn::ServerFn};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;
use vwaza::domain::{problem::FieldErrors, release::ReleaseView};

use super::{
    autosave::{Autosave, SaveTrigger, read_form, shown_errors, without_refused},
    form_queue::FormQueue,
    latest::Latest,
};
use crate::error::{ApiResult, AppError};

/// The fields of a form, and the server function that saves them.
pub(super) trait SavedFields: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    type Save: ServerFn<Output = ReleaseView, Error = AppError>
        + Clone
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static;

    fn into_save(self, subject: Uuid) -> Self::Save;

    fn of_save(save: Self::Save) -> Self;

    /// The mistakes that the server would refuse, and those that only `form` can tell.
    fn mistakes(&self, form: NodeRef<html::Form>) -> FieldErrors;
}

/// The first content of the form. Without scripts, the answer to the last form comes with the page.
pub(super) struct Start<F> {
    pub(super) errors: FieldErrors,
    pub(super) typed: Option<F>,
}

pub(super) struct SavedForm<F: SavedFields> {
    pub(super) node: NodeRef<html::Form>,
    pub(super) errors: RwSignal<FieldErrors>,
    /// The release or track that the form is about.
    subject: Uuid,
    /// The input from before the form was left or refused, until the server has answered.
    left: RwSignal<Option<F>>,
    saved: Signal<F>,
    sent: StoredValue<F>,
    action: Action<F::Save, ApiResult<ReleaseView>>,
    autosave: Autosave,
}

impl<F: SavedFields> Clone for SavedForm<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: SavedFields> Copy for SavedForm<F> {}

impl<F: SavedFields> SavedForm<F> {
    /// Makes the form about `subject`. `saved` is the value that the server has.
    pub(super) fn new(subject: Uuid, latest: Latest, saved: Signal<F>, start: Start<F>) -> Self {
        // A form's requests are sent one after the other: see `FormQueue`.
        let action = Action::new_unsync(move |save: &F::Save| FormQueue::of(subject).send(save.clone()));
        let form = Self {
            node: NodeRef::new(),
            errors: RwSignal::new(start.errors),
            subject,
            left: RwSignal::new(FormQueue::restore(subject).map(F::of_save).or(start.typed)),
            saved,
            sent: StoredValue::new(saved.get_untracked()),
            action,
            autosave: Autosave::new(latest, action.pending()),
        };
        form.autosave.start(subject, move |trigger| form.save(trigger), move || form.unsaved());
        // Saves input from before the page came alive, or from before the form was left.
        form.node.on_load(move |_| {
            if form.unsaved().is_some() {
                form.autosave.changed();
            }
        });
        Effect::new(move || match action.value().get() {
            Some(Ok(release)) => {
                latest.accept(release);
                form.left.set(None);
            }
            Some(Err(error)) => {
                form.sent.set_value(saved.get_untracked());
                form.errors.update(|shown| shown.0.extend(error.fields.0.clone()));
                form.autosave.retry_after(&error);
            }
            None => {}
        });
        form
    }

    /// The input from before the form was left or refused. `None` once the server has answered.
    pub(super) fn left(self) -> Option<F> {
        self.left.get()
    }

    pub(super) fn on_input(self) {
        self.check(SaveTrigger::Typing);
        self.autosave.typed();
    }

    pub(super) fn on_change(self) {
        self.autosave.changed();
    }

    pub(super) fn save_now(self) {
        self.autosave.save_now();
    }

    /// Whether something is typed and no answer says that it is saved.
    pub(super) fn is_busy(self) -> bool {
        self.autosave.is_busy()
    }

    /// The server's last answer.
    pub(super) fn answer(self) -> Option<Result<(), AppError>> {
        self.action.value().get().map(|answer| answer.map(drop))
    }

    /// Whether what is typed is saved, in words. `None` if there is nothing to say.
    pub(super) fn status_text(self) -> Option<String> {
        let has_errors = || self.errors.with(|errors| !errors.is_empty());
        Some(match self.answer() {
            Some(Err(error)) if error.fields.is_empty() => format!("Not saved yet. {}", error.message),
            _ if self.is_busy() => "Saving…".into(),
            None if has_errors() => "The marked fields are not saved".into(),
            _ if has_errors() => "Saved, except for the marked fields".into(),
            Some(_) => "Saved".into(),
            None => return None,
        })
    }

    /// Treats a change that the server made by itself as one that this form has sent, unless something is being typed.
    pub(super) fn resync(self) {
        let saved = self.saved.get();
        if untrack(|| !self.is_busy()) {
            self.sent.set_value(saved);
        }
    }

    /// The content of the form with the saved values of refused fields, and the refusals.
    fn read(self) -> Option<(F, FieldErrors)> {
        let filled = F::of_save(read_form(self.node)?);
        let refused = filled.mistakes(self.node);
        let kept = self.saved.with_untracked(|saved| without_refused(&filled, saved, &refused))?;
        Some((kept, refused))
    }

    fn check(self, trigger: SaveTrigger) -> Option<F> {
        let (kept, refused) = self.read()?;
        self.errors.update(|shown| *shown = shown_errors(refused, shown, trigger));
        Some(kept)
    }

    fn save(self, trigger: SaveTrigger) {
        let kept = self.check(trigger);
        if let Some(kept) = kept.filter(|kept| self.sent.with_value(|sent| sent != kept)) {
            self.sent.set_value(kept.clone());
            self.action.dispatch_local(kept.into_save(self.subject));
        }
    }

    fn unsaved(self) -> Option<F::Save> {
        let (kept, _) = self.read()?;
        // The last request may still be on its way. Then the saved value, typed again, is a change, too.
        let is_new = self.saved.with_untracked(|saved| *saved != kept) || self.sent.with_value(|sent| *sent != kept);
        is_new.then(|| kept.into_save(self.subject))
    }
}
