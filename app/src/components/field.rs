//! Form fields: label, hint, control and error, tied together for screen readers.

use leptos::prelude::*;

use super::icon::{Icon, IconName};

/// The ids for a control's `aria-describedby`. `None` if nothing describes it.
pub fn described_by(name: &str, has_hint: bool, has_error: bool) -> Option<String> {
    match (has_hint, has_error) {
        (true, true) => Some(format!("{name}-error {name}-hint")),
        (false, true) => Some(format!("{name}-error")),
        (true, false) => Some(format!("{name}-hint")),
        (false, false) => None,
    }
}

/// Label, hint and error around the caller's control, whose id must be `name`.
#[component]
pub fn Field(
    name: &'static str,
    label: &'static str,
    #[prop(optional, into)] hint: String,
    #[prop(into)] error: Signal<Option<String>>,
    children: Children,
) -> impl IntoView {
    view! {
        <div class="field">
            <label class="label" for=name>{label}</label>
            {children()}
            {(!hint.is_empty()).then(|| view! { <p class="hint" id=format!("{name}-hint")>{hint}</p> })}
            {move || {
                error
                    .get()
                    .map(|message| {
                        view! {
                            <p class="field-error" id=format!("{name}-error")>
                                <Icon name=IconName::Warning/>
                                <span>{message}</span>
                            </p>
                        }
                    })
            }}
        </div>
    }
}

/// A one-line text field. `value` is its first content, and never overwrites what is typed.
#[component]
pub fn TextField(
    /// The id, and the name in the form unless `form_name` says otherwise.
    name: &'static str,
    label: &'static str,
    #[prop(into)] value: Signal<String>,
    #[prop(into)] error: Signal<Option<String>>,
    #[prop(default = "text")] kind: &'static str,
    #[prop(optional, into)] hint: String,
    #[prop(optional)] autocomplete: &'static str,
    #[prop(optional)] required: bool,
    #[prop(optional, into)] form_name: String,
    #[prop(optional)] on_input: Option<Callback<String>>,
) -> impl IntoView {
    let has_hint = !hint.is_empty();
    let form_name = if form_name.is_empty() { name.to_owned() } else { form_name };
    // The value is an attribute and not a property, because an attribute fills only a control that nobody has typed
    // into. That also keeps text that was typed before the page came alive.
    view! {
        <Field name=name label=label hint=hint error=error>
            <input
                class="input"
                id=name
                name=form_name
                type=kind
                value=move || value.get()
                required=required
                autocomplete=(!autocomplete.is_empty()).then_some(autocomplete)
                aria-invalid=move || error.get().map(|_| "true")
                aria-describedby=move || described_by(name, has_hint, error.get().is_some())
                on:input=move |event| {
                    if let Some(on_input) = on_input {
                        on_input.run(event_target_value(&event));
                    }
                }
            />
        </Field>
    }
}

/// A choice from a list. `options` are pairs of value and label.
#[component]
pub fn SelectField(
    name: &'static str,
    label: &'static str,
    #[prop(into)] value: Signal<String>,
    #[prop(into)] error: Signal<Option<String>>,
    options: Vec<(String, String)>,
    #[prop(optional, into)] hint: String,
    #[prop(optional)] required: bool,
    #[prop(optional, into)] form_name: String,
    #[prop(optional)] on_change: Option<Callback<String>>,
) -> impl IntoView {
    let has_hint = !hint.is_empty();
    let form_name = if form_name.is_empty() { name.to_owned() } else { form_name };
    // A stored choice that is no longer on the list stays an option, because a form sends what it shows. It leaves when
    // somebody chooses another one.
    let is_unlisted = |value: &String| !value.is_empty() && options.iter().all(|(listed, _)| listed != value);
    let unlisted = Some(value.get_untracked()).filter(is_unlisted);
    let unlisted = unlisted.map(|value| (value.clone(), format!("{value} (not on the list)")));
    let options = options
        .into_iter()
        .chain(unlisted)
        .map(|(option, label)| {
            let of = option.clone();
            view! { <option value=option selected=move || value.with(|value| *value == of)>{label}</option> }
        })
        .collect_view();
    view! {
        <Field name=name label=label hint=hint error=error>
            <select
                class="select"
                id=name
                name=form_name
                required=required
                aria-invalid=move || error.get().map(|_| "true")
                aria-describedby=move || described_by(name, has_hint, error.get().is_some())
                on:change=move |event| {
                    if let Some(on_change) = on_change {
                        on_change.run(event_target_value(&event));
                    }
                }
            >
                {options}
            </select>
        </Field>
    }
}
