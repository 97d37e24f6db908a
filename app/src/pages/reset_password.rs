//! Sets a new password with the link of a mail.
//!
//! The code is the part of the link behind its `#`. Browsers don't send that part, so the code is in no log and in no
//! page that the server makes. People without scripts paste the link.

use leptos::prelude::*;
use vwaza::domain::account::PASSWORD_MIN_CHARS;

use crate::{
    api::account::ResetPassword as ResetPasswordForm,
    components::{
        field::TextField,
        form::{FormErrors, FormNote, SubmitButton},
        page_head::PageHead,
    },
    state::flash::form_action,
};

#[component]
pub fn ResetPassword() -> impl IntoView {
    let action = form_action::<ResetPasswordForm>();
    let errors = FormErrors::of(move || action.value().get().and_then(Result::err));
    let link = link_from_hash();
    Effect::new(move || {
        if let Some(Ok(())) = action.value().get() {
            // `set_href` fails only for an invalid address.
            let _ = window().location().set_href("/sign-in?reset=1");
        }
    });
    let is_over = move || matches!(action.value().get(), Some(Err(error)) if error.is_gone());

    view! {
        <div class="page-narrow form-page">
            <PageHead title="Set a new password"/>
            <ActionForm action=action attr:class="stack" attr:novalidate=true>
                <FormNote errors=errors/>
                <Show when=is_over>
                    <p><a class="link" href="/forgot-password">"Ask for a new link"</a></p>
                </Show>
                <LinkField link error=errors.field("link")/>
                <TextField
                    name="new_password"
                    label="New password"
                    value=String::new()
                    error=errors.field("new_password")
                    kind="password"
                    hint=format!("At least {PASSWORD_MIN_CHARS} characters. You are signed out everywhere, and all access tokens are revoked.")
                    autocomplete="new-password"
                    required=true
                />
                <SubmitButton pending=action.pending() label="Set the new password" class="btn btn-primary btn-wide"/>
            </ActionForm>
        </div>
    }
}

/// The part of the page's address behind the `#`, once the page is alive.
pub(super) fn link_from_hash() -> RwSignal<String> {
    let link = RwSignal::new(String::new());
    #[cfg(feature = "hydrate")]
    take_code(link);
    link
}

/// The field for the link. It is hidden while the page's address has filled it in and the server has not refused it.
#[component]
pub(super) fn LinkField(link: RwSignal<String>, error: Signal<Option<String>>) -> impl IntoView {
    let is_known = move || !link.with(String::is_empty) && error.with(Option::is_none);
    view! {
        <div hidden=is_known>
            <TextField
                name="link"
                label="Link from the mail"
                value=link
                error
                hint="Copy the whole link from the mail."
                required=true
            />
        </div>
    }
}

/// Moves the code out of the address, so that it stays in no history and nobody reads it over a shoulder. A second link
/// that is opened on the same page changes only the part behind the `#`, so that change is handled, too.
#[cfg(feature = "hydrate")]
fn take_code(link: RwSignal<String>) {
    let take = move || {
        let location = window().location();
        let code = location.hash().unwrap_or_default();
        if code.len() > 1 {
            link.set(code);
            if let (Ok(history), Ok(path)) = (window().history(), location.pathname()) {
                // If the call fails, the address stays as it is.
                let _ = history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(&path));
            }
        }
    };
    Effect::new(take);
    let listener = window_event_listener(leptos::ev::hashchange, move |_| take());
    on_cleanup(move || listener.remove());
}
