//! Decides when a form saves itself: a moment after the last key, and sooner when a field is left. One request is sent
//! at a time.

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

/// The pause after a key. It is long enough not to save every letter, and short enough to save before somebody looks.
const TYPING_DEBOUNCE: Duration = Duration::from_millis(600);
/// The pause after a field is left. An error that appears at once could move the button that is being pressed.
const FIELD_LEFT_DEBOUNCE: Duration = Duration::from_millis(200);
/// The pause after trouble that may pass by itself.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Number of times that a form that was left is sent again.
const LEFT_FORM_RETRIES: u32 = 6;

/// The reason to save now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SaveTrigger {
    /// Somebody is still typing, and half a value is no mistake yet.
    Typing,
    FieldLeft,
}

#[derive(Clone, Copy)]
pub(super) struct Autosave {
    /// Whether something is typed and not sent yet.
    unsaved: RwSignal<bool>,
    due: RwSignal<Option<SaveTrigger>>,
    timer: StoredValue<Option<TimeoutHandle>>,
    pending: Memo<bool>,
    latest: Latest,
}

impl Autosave {
    pub(super) fn new(latest: Latest, pending: Memo<bool>) -> Self {
        Self { unsaved: RwSignal::new(false), due: RwSignal::new(None), timer: StoredValue::new(None), pending, latest }
    }

    /// Calls `save` when it is due and nothing is `pending`. `save` may find that nothing is new. `unsaved_form`
    /// returns the form about `subject` if it differs from what the server has, or will have once all requests have
    /// arrived.
    pub(super) fn start<S>(
        self,
        subject: Uuid,
        save: impl Fn(SaveTrigger) + Copy + Send + Sync + 'static,
        unsaved_form: impl Fn() -> Option<S> + Copy + Send + Sync + 'static,
    ) where
        S: ServerFn<Output = ReleaseView, Error = AppError> + Clone + Serialize + 'static,
    {
        let Self { pending, latest, .. } = self;
        let toasts = Toasts::get();
        Effect::new(move || {
            if !pending.get()
                && !latest.just_saved()
                && let Some(trigger) = self.due.get()
            {
                self.due.set(None);
                self.unsaved.set(false);
                latest.note_save();
                untrack(|| save(trigger));
            }
        });
        let leaving = window_event_listener(ev::beforeunload, move |event| {
            if untrack(|| self.is_busy()) {
                event.prevent_default();
            }
        });
        on_cleanup(move || {
            leaving.remove();
            self.stop_timer();
            // The answer to the last request may be a refusal, and this form no longer sees it. So the form is sent
            // again.
            if untrack(|| self.is_busy())
                && let Some(unsaved_form) = untrack(unsaved_form)
            {
                let left = FormQueue::of(subject).leave(&unsaved_form);
                save_left_form(unsaved_form, left, latest, toasts, LEFT_FORM_RETRIES);
            }
        });
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

    /// Saves again after trouble that may pass by itself.
    pub(super) fn retry_after(self, error: &AppError) {
        if is_worth_repeating(error) {
            self.unsaved.set(true);
            self.due_after(RETRY_DELAY, SaveTrigger::Typing);
        }
    }

    /// Whether something is typed and no answer says that it is saved.
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

/// Whether the trouble has nothing to do with what was typed. A session may begin again in another tab.
fn is_worth_repeating(error: &AppError) -> bool {
    error.may_pass() || error.is_signed_out()
}

/// Sends a form that was left before it was saved. Once the form is open again, it sends itself.
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
            // The release or track was removed, and with it what was typed.
            Some(Err(error)) if error.is_missing() => left.mark_saved(),
            Some(Err(_)) if !left.is_owner() => {}
            Some(Err(error)) if is_worth_repeating(&error) && retries > 0 => {
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

/// Reads the form as it would be sent now.
pub(super) fn read_form<T: DeserializeOwned>(form: NodeRef<html::Form>) -> Option<T> {
    let data = leptos::web_sys::FormData::new_with_form(&form.get_untracked()?).ok()?;
    T::from_form_data(&data).ok()
}

/// Returns `filled` with the `saved` values of refused fields, so that one mistake does not keep the rest from being
/// saved.
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

/// The refusals to show. While somebody types, these are only refusals that are shown already.
pub(super) fn shown_errors(refused: FieldErrors, shown: &FieldErrors, trigger: SaveTrigger) -> FieldErrors {
    match trigger {
        SaveTrigger::FieldLeft => refused,
        SaveTrigger::Typing => {
            FieldErrors(refused.0.into_iter().filter(|(name, _)| shown.get(name).is_some()).collect())
        }
    }
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
    fn what_was_typed_is_sent_again_unless_it_was_refused() {
        // The server answers 408 when a form takes more than 30 s.
        for status in [0, 401, 408, 423, 429, 500, 502, 503, 504, 507] {
            assert!(is_worth_repeating(&AppError::new(status, "Words.")), "{status}");
        }
        for status in [400, 403, 404, 409, 410, 413, 415, 422] {
            assert!(!is_worth_repeating(&AppError::new(status, "Words.")), "{status}");
        }
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
