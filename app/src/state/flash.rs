//! The outcome of the last form that was sent without scripts. The server hands it once to the page to which the
//! browser is redirected.

use std::collections::BTreeMap;

use leptos::{prelude::*, server_fn::ServerFn};
use leptos_router::hooks::use_location;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::AppError;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// The path of the server function that the form was sent to.
    pub function: String,
    /// The form's field `id`, which tells it from other forms of the same function.
    pub subject: String,
    pub outcome: FormOutcome,
    /// The input by the names of the fields, if the form was refused.
    pub typed: BTreeMap<String, String>,
    /// Whether the page may not have the form. Then the frame shows the outcome.
    #[serde(rename = "is_astray")]
    pub has_no_form: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FormOutcome {
    /// A sentence for the person.
    Done(String),
    Refused(AppError),
}

/// Whether a field may be given back to the form. This is an allowlist, so no password and no code is ever kept.
#[cfg(feature = "ssr")]
pub fn is_kept(field: &str) -> bool {
    ["artist_name", "email", "reason"].contains(&field)
        || ["details[", "track["].iter().any(|group| field.starts_with(group))
}

#[derive(Clone, Copy)]
struct CurrentFlash(RwSignal<Option<Flash>>);

/// Provides the flash of the request. The server writes it into the page, where the browser finds it.
pub fn provide() {
    let flash = SharedValue::new(request_flash).into_inner();
    provide_context(CurrentFlash(RwSignal::new(flash)));
}

#[cfg(feature = "ssr")]
fn request_flash() -> Option<Flash> {
    use_context::<http::request::Parts>()?.extensions.get().cloned()
}

#[cfg(not(feature = "ssr"))]
fn request_flash() -> Option<Flash> {
    None
}

/// Clears the flash once the page is left.
pub fn clear_on_navigation() {
    let CurrentFlash(shown) = expect_context();
    let path = use_location().pathname;
    Effect::new(move |last: Option<String>| {
        let path = path.get();
        if last.is_some_and(|last| last != path) {
            shown.set(None);
        }
        path
    });
}

/// The outcome that the frame shows: a success, or a refusal that no form on the page shows.
pub fn frame_outcome() -> Signal<Option<FormOutcome>> {
    let CurrentFlash(shown) = expect_context();
    Signal::derive(move || {
        let flash = shown.get()?;
        match flash.outcome {
            FormOutcome::Refused(error) if flash.has_no_form => {
                Some(FormOutcome::Refused(error.with_fields_in_message()))
            }
            FormOutcome::Refused(_) => None,
            done => Some(done),
        }
    })
}

/// The action of a form. Its first value is the refusal of the form that was sent without scripts. `ServerAction::new`
/// takes an error from the page's address instead, which anybody can write.
pub fn form_action<S>() -> ServerAction<S>
where
    S: ServerFn<Error = AppError> + Clone + Send + Sync + 'static,
    S::Output: Send + Sync + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "the one place that takes the address's word away")]
    let action = ServerAction::<S>::new();
    action.value().set(form_refusal::<S>().map(Err));
    action
}

/// The server's refusal of this page's form.
pub fn form_refusal<S: ServerFn>() -> Option<AppError> {
    match form_flash::<S>()?.outcome {
        FormOutcome::Refused(error) => Some(error),
        FormOutcome::Done(_) => None,
    }
}

/// The server's refusal of the form whose field `id` is `subject`, for a page with several forms of one function.
pub fn form_refusal_of<S: ServerFn>(subject: &str) -> Option<AppError> {
    form_refusal::<S>().filter(|_| form_flash::<S>().is_some_and(|flash| flash.subject == subject))
}

/// The input in a field of this page's form, before the server refused it.
pub fn typed<S: ServerFn>(field: &str) -> Option<String> {
    form_flash::<S>()?.typed.remove(field)
}

/// The input in all fields `group[…]` of this page's form, before the server refused it.
pub fn typed_group<S: ServerFn, T>(group: &str) -> Option<T>
where
    T: Default + Serialize + DeserializeOwned,
{
    let flash = form_flash::<S>().filter(|flash| !flash.typed.is_empty())?;
    let mut value = serde_json::to_value(T::default()).ok()?;
    for (name, text) in flash.typed {
        let field = name.strip_prefix(group).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
        if let Some(value) = field.and_then(|field| value.get_mut(field)) {
            *value = text.into();
        }
    }
    serde_json::from_value(value).ok()
}

fn form_flash<S: ServerFn>() -> Option<Flash> {
    let CurrentFlash(shown) = use_context()?;
    shown.get_untracked().filter(|flash| flash.function == S::PATH && !flash.has_no_form)
}
