//! The errors of forms, and the button that sends them.

use leptos::prelude::*;

use super::{
    error_note::ErrorNote,
    focus,
    icon::{Icon, IconName},
};
use crate::error::AppError;

/// The last answer's error, split into errors of fields and one of the whole form.
#[derive(Clone, Copy)]
pub struct FormErrors(Signal<Option<AppError>>);

impl FormErrors {
    /// `last` reads an action's value: `FormErrors::of(move || action.value().get().and_then(Result::err))`.
    ///
    /// The first refused field of an answer gets the focus.
    pub fn of(last: impl Fn() -> Option<AppError> + Send + Sync + 'static) -> Self {
        let error = Signal::derive(last);
        Effect::new(move || {
            if error.get().is_some_and(|error| !error.fields.is_empty()) {
                focus::first_invalid();
            }
        });
        Self(error)
    }

    pub fn field(self, name: &'static str) -> Signal<Option<String>> {
        Signal::derive(move || self.0.with(|error| error.as_ref()?.field(name)))
    }

    /// Shows the sentences of refused fields in the note. This is for forms without fields.
    pub fn in_note(self) -> Self {
        Self(Signal::derive(move || self.0.get().map(AppError::with_fields_in_message)))
    }

    /// The error that belongs to no field.
    fn note(self) -> Option<AppError> {
        self.0.get().filter(|error| error.fields.is_empty())
    }
}

/// The error of the whole form, above its fields.
#[component]
pub fn FormNote(errors: FormErrors) -> impl IntoView {
    move || errors.note().map(|error| view! { <ErrorNote error=error/> })
}

/// True once the page is alive. Controls that need scripts wait for it.
pub fn is_alive() -> ReadSignal<bool> {
    let (is_alive, set_alive) = signal(false);
    Effect::new(move || set_alive.set(true));
    is_alive
}

/// A button that sends its form. Until the answer comes, the button is marked as disabled and sends nothing.
#[component]
pub fn SubmitButton(
    #[prop(into)] pending: Signal<bool>,
    #[prop(into)] label: String,
    #[prop(default = "btn btn-primary")] class: &'static str,
    #[prop(optional)] icon: Option<IconName>,
) -> impl IntoView {
    // The button is not `disabled`, because that would take the focus away.
    view! {
        <button
            type="submit"
            class=class
            aria-disabled=move || pending.get().then_some("true")
            on:click=move |event| {
                if pending.get_untracked() {
                    event.prevent_default();
                }
            }
        >
            {icon.map(|name| view! { <Icon name=name/> })}
            {label}
        </button>
    }
}
