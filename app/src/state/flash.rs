//! What the last form came to that was sent without scripts. The server hands it to the page that the browser is led to, once.

use std::collections::BTreeMap;

use leptos::{prelude::*, server_fn::ServerFn};
use leptos_router::hooks::use_location;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::AppError;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// The path of the server function that the form was sent to.
    pub function: String,
    /// The form's field `id`: tells it from others of its kind.
    pub subject: String,
    pub outcome: Outcome,
    /// What was typed, by the names of the fields, if it was refused.
    pub typed: BTreeMap<String, String>,
    /// The page may not have the form: the frame says what it came to.
    pub is_astray: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// A sentence for the person.
    Done(String),
    Refused(AppError),
}

/// Whether a field may be given back to the form: an allowlist, so that no password and no code is ever kept.
#[cfg(feature = "ssr")]
pub fn is_kept(field: &str) -> bool {
    ["artist_name", "email", "reason"].contains(&field)
        || ["details[", "track["].iter().any(|group| field.starts_with(group))
}

#[derive(Clone, Copy)]
struct Shown(RwSignal<Option<Flash>>);

/// Hands the flash of the request over to the browser, which finds in the page what the server has written.
pub fn provide() {
    let flash = SharedValue::new(of_request).into_inner();
    provide_context(Shown(RwSignal::new(flash)));
}

#[cfg(feature = "ssr")]
fn of_request() -> Option<Flash> {
    use_context::<http::request::Parts>()?.extensions.get().cloned()
}

#[cfg(not(feature = "ssr"))]
fn of_request() -> Option<Flash> {
    None
}

/// Once the page is left, nothing of it is said again.
pub fn forget_when_left() {
    let Shown(shown) = expect_context();
    let path = use_location().pathname;
    Effect::new(move |last: Option<String>| {
        let path = path.get();
        if last.is_some_and(|last| last != path) {
            shown.set(None);
        }
        path
    });
}

/// What the frame says: successes, and what no form on the page says.
pub fn of_frame() -> Signal<Option<Outcome>> {
    let Shown(shown) = expect_context();
    Signal::derive(move || {
        let flash = shown.get()?;
        match flash.outcome {
            Outcome::Refused(error) if flash.is_astray => Some(Outcome::Refused(error.with_fields_in_message())),
            Outcome::Refused(_) => None,
            done => Some(done),
        }
    })
}

/// The action of a form, with what the form came to without scripts. Unlike `ServerAction::new`, it believes nothing that stands in the
/// page's address: anybody can write that.
pub fn form_action<S>() -> ServerAction<S>
where
    S: ServerFn<Error = AppError> + Clone + Send + Sync + 'static,
    S::Output: Send + Sync + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "the one place that takes the address's word away")]
    let action = ServerAction::<S>::new();
    action.value().set(refused::<S>().map(Err));
    action
}

/// Why the server refused this page's form.
pub fn refused<S: ServerFn>() -> Option<AppError> {
    match of_form::<S>()?.outcome {
        Outcome::Refused(error) => Some(error),
        Outcome::Done(_) => None,
    }
}

/// As `refused`, for one of several forms of a kind.
pub fn refused_of<S: ServerFn>(subject: &str) -> Option<AppError> {
    refused::<S>().filter(|_| of_form::<S>().is_some_and(|flash| flash.subject == subject))
}

/// What was typed into a field of this page's form, before the server refused it.
pub fn typed<S: ServerFn>(field: &str) -> Option<String> {
    of_form::<S>()?.typed.remove(field)
}

/// As `typed`, for all fields `group[…]`.
pub fn typed_group<S: ServerFn, T>(group: &str) -> Option<T>
where
    T: Default + Serialize + DeserializeOwned,
{
    let flash = of_form::<S>().filter(|flash| !flash.typed.is_empty())?;
    let mut value = serde_json::to_value(T::default()).ok()?;
    for (name, text) in flash.typed {
        let field = name.strip_prefix(group).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
        if let Some(value) = field.and_then(|field| value.get_mut(field)) {
            *value = text.into();
        }
    }
    serde_json::from_value(value).ok()
}

fn of_form<S: ServerFn>() -> Option<Flash> {
    let Shown(shown) = use_context()?;
    shown.get_untracked().filter(|flash| flash.function == S::PATH && !flash.is_astray)
}
