//! Saves a form as it is filled in: a moment after the last key, sooner when a field is left, one answer at a time.

use std::time::Duration;

use leptos::{ev, html, leptos_dom::helpers::TimeoutHandle, prelude::*, server_fn::ServerFn, task::spawn_local};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;
use vwaza::domain::{problem::FieldErrors, release::ReleaseView};

use super::{
    form_queue::{FormQueue, LeftForm},
    latest::Latest,
};
use crate::{error::AppError, state::toasts::Toasts};

/// Long enough not to save every letter, short enough to have saved before somebody looks.
const TYPING_DEBOUNCE: Duration = Duration::from_millis(600);
/// A sentence that appears when a field is left must not move the button that is being pressed.
const FIELD_LEFT_DEBOUNCE: Duration = Duration::from_millis(200);
/// When the server was out of reach.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// How often what was typed last is sent once more after its form is left.
const LEFT_FORM_RETRIES: u32 = 6;

/// Why something is saved now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SaveTrigger {
    /// Somebody is still typing: a field that is half filled in is no mistake yet.
    Typing,
    FieldLeft,
}

#[derive(Clone, Copy)]
pub(super) struct Autosave {
    /// Something is typed that is not on its way to the server.
    unsaved: RwSignal<bool>,
    due: RwSignal<Option<SaveTrigger>>,
    timer: StoredValue<Option<TimeoutHandle>>,
    pending: Memo<bool>,
    latest: Latest,
}

impl Autosave {
    /// `save` is called only while nothing is `pending`, and may find that nothing is new; `rest` is what the form about `subject` holds
    /// and the server does not, or will not once everything sent has arrived.
    pub(super) fn new<S>(
        subject: Uuid,
        latest: Latest,
        pending: Memo<bool>,
        save: impl Fn(SaveTrigger) + Copy + Send + Sync + 'static,
        unsaved_form: impl Fn() -> Option<S> + Copy + Send + Sync + 'static,
    ) -> Self
    where
        S: ServerFn<Output = ReleaseView, Error = AppError> + Clone + Serialize + 'static,
    {
        let toasts = Toasts::get();
        let (unsaved, due) = (RwSignal::new(false), RwSignal::new(None));
        let autosave = Self { unsaved, due, timer: StoredValue::new(None), pending, latest };
        Effect::new(move || {
            if !pending.get()
                && !latest.just_saved()
                && let Some(trigger) = autosave.due.get()
            {
                autosave.due.set(None);
                autosave.unsaved.set(false);
                latest.note_save();
                untrack(|| save(trigger));
            }
        });
        let leaving = window_event_listener(ev::beforeunload, move |event| {
            if untrack(|| autosave.is_busy()) {
                event.prevent_default();
            }
        });
        on_cleanup(move || {
            leaving.remove();
            autosave.stop_timer();
            // Nobody is here any more to hear an answer, and an answer on its way may be a refusal: it is sent once more.
            if untrack(|| autosave.is_busy())
                && let Some(unsaved_form) = untrack(unsaved_form)
            {
                let left = FormQueue::of(subject).leave(&unsaved_form);
                save_left_form(unsaved_form, left, latest, toasts, LEFT_FORM_RETRIES);
            }
        });
        autosave
    }

    pub(super) fn typed(self) {
        self.unsaved.set(true);
        self.due_after(TYPING_DEBOUNCE, SaveTrigger::Typing);
    }

    pub(super) fn changed(self) {
        self.unsaved.set(true);
        self.due_after(FIELD_LEFT_DEBOUNCE, SaveTrigger::FieldLeft);
    }

    pub(super) fn save_now(self) {
        self.stop_timer();
        self.latest.skip_save_pause();
        self.due.set(Some(SaveTrigger::FieldLeft));
    }

    /// After an answer that promises nothing: what is typed is tried again.
    pub(super) fn retry_after(self, error: &AppError) {
        if is_transient(error) {
            self.unsaved.set(true);
            self.due_after(RETRY_DELAY, SaveTrigger::Typing);
        }
    }

    /// Something is typed and no answer says that it is saved.
    pub(super) fn is_busy(self) -> bool {
        self.unsaved.get() || self.due.get().is_some() || self.pending.get()
    }

    fn due_after(self, delay: Duration, trigger: SaveTrigger) {
        self.stop_timer();
        let handle = set_timeout_with_handle(move || self.due.set(Some(trigger)), delay);
        self.timer.set_value(handle.ok());
    }

    fn stop_timer(self) {
        if let Some(Some(timer)) = self.timer.try_update_value(Option::take) {
            timer.clear();
        }
    }
}

/// Trouble that has nothing to do with what was typed.
fn is_transient(error: &AppError) -> bool {
    error.status() >= 500 || error.is_signed_out() || error.status() == 429
}

/// Brings what was typed last to the server, while the person is elsewhere; once the form is open again, it does so itself.
fn save_left_form<S>(unsaved_form: S, left: LeftForm, latest: Latest, toasts: Toasts, retries: u32)
where
    S: ServerFn<Output = ReleaseView, Error = AppError> + Clone + 'static,
{
    spawn_local(async move {
        match left.send(unsaved_form.clone()).await {
            None => {}
            Some(Ok(release)) => {
                latest.accept(release);
                left.mark_saved();
            }
            // It was removed, together with what was typed.
            Some(Err(error)) if error.status() == 404 => left.mark_saved(),
            Some(Err(_)) if !left.is_owner() => {}
            Some(Err(error)) if is_transient(&error) && retries > 0 => {
                set_timeout(move || save_left_form(unsaved_form, left, latest, toasts, retries - 1), RETRY_DELAY);
            }
            Some(Err(error)) => {
                left.give_up();
                let message = format!(
                    "Your last change is not saved. You can still see it in the step where you typed it. {}",
                    error.message
                );
                toasts.error(&AppError { message, ..error });
            }
        }
    });
}

/// What a form holds now, as it would be sent.
pub(super) fn read_form<T: DeserializeOwned>(form: NodeRef<html::Form>) -> Option<T> {
    let data = leptos::web_sys::FormData::new_with_form(&form.get_untracked()?).ok()?;
    T::from_form_data(&data).ok()
}

/// `filled` with the fields that were refused as they were `saved` last: one mistake does not keep the rest from being saved.
pub(super) fn without_refused<T>(filled: &T, saved: &T, refused: &FieldErrors) -> Option<T>
where
    T: Serialize + DeserializeOwned,
{
    let mut filled = serde_json::to_value(filled).ok()?;
    let saved = serde_json::to_value(saved).ok()?;
    for name in refused.0.keys() {
        filled[name] = saved[name].clone();
    }
    serde_json::from_value(filled).ok()
}

/// Which refusals to show: while somebody types only those that stand there already.
pub(super) fn shown_errors(refused: FieldErrors, shown: &FieldErrors, trigger: SaveTrigger) -> FieldErrors {
    match trigger {
        SaveTrigger::FieldLeft => refused,
        SaveTrigger::Typing => {
            FieldErrors(refused.0.into_iter().filter(|(name, _)| shown.get(name).is_some()).collect())
        }
    }
}

/// Whether what is typed is saved; `None` where nothing is to be said. `answer` is the last one of the server.
pub(super) fn status_text(
    autosave: Autosave,
    errors: RwSignal<FieldErrors>,
    answer: Option<Result<(), AppError>>,
) -> Option<String> {
    Some(match answer {
        Some(Err(error)) if error.fields.is_empty() => format!("Not saved yet. {}", error.message),
        _ if autosave.is_busy() => "Saving…".into(),
        None if !errors.with(FieldErrors::is_empty) => "The marked fields are not saved".into(),
        _ if !errors.with(FieldErrors::is_empty) => "Saved, except for the marked fields".into(),
        Some(_) => "Saved".into(),
        None => return None,
    })
}

#[cfg(test)]
mod tests {
    use vwaza::domain::release::RawDetails;

    use super::*;

    #[test]
    fn one_mistake_does_not_keep_the_rest_from_being_saved() {
        let filled = RawDetails { title: "Night Bus".into(), gtin: "036".into(), ..RawDetails::default() };
        let saved = RawDetails { gtin: "036000291452".into(), ..RawDetails::default() };
        let refused = FieldErrors::one("gtin", "A UPC has 12 digits.");
        let kept = without_refused(&filled, &saved, &refused).expect("both are plain text");
        assert_eq!((kept.title.as_str(), kept.gtin.as_str()), ("Night Bus", "036000291452"));
    }

    #[test]
    fn nobody_is_interrupted_while_typing() {
        let refused = FieldErrors::one("gtin", "A UPC has 12 digits.");
        let none = FieldErrors::default();
        assert!(shown_errors(refused.clone(), &none, SaveTrigger::Typing).is_empty());
        assert_eq!(shown_errors(refused.clone(), &refused, SaveTrigger::Typing), refused);
        assert_eq!(shown_errors(refused.clone(), &none, SaveTrigger::FieldLeft), refused);
    }
}
