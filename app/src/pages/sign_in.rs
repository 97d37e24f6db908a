//! `/sign-in`: signs a person in, and continues on the page that asked for the sign-in.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use vwaza::domain::two_factor::SignInStep;

use crate::{
    api::account::{SignIn as SignInForm, local_path, with_next},
    components::{
        field::TextField,
        form::{FormErrors, FormNote, SubmitButton},
        icon::{Icon, IconName},
        page_head::PageHead,
    },
    state::flash::{form_action, typed},
};

#[component]
pub fn SignIn() -> impl IntoView {
    let action = form_action::<SignInForm>();
    let errors = FormErrors::of(move || action.value().get().and_then(Result::err));
    let email = typed::<SignInForm>("email").unwrap_or_default();
    let next = next_path();
    let query = use_query_map();
    let was_reset = Memo::new(move |_| query.with(|query| query.get("reset").is_some()));
    load_page_when(move || match action.value().get()?.ok()? {
        SignInStep::SignedIn => Some(next.get_untracked()),
        SignInStep::CodeNeeded => Some(with_next("/sign-in/code", &next.get_untracked())),
    });

    view! {
        <div class="page-narrow form-page">
            <PageHead title="Sign in"/>
            <Show when=move || was_reset.get()>
                <div class="note note-good intro" role="status">
                    <Icon name=IconName::Check/>
                    <p>"Your new password is set. Sign in with it."</p>
                </div>
            </Show>
            <ActionForm action=action attr:class="stack" attr:novalidate=true>
                <FormNote errors=errors/>
                <input type="hidden" name="next" value=move || next.get()/>
                <TextField
                    name="email"
                    label="E-mail"
                    value=email
                    error=errors.field("email")
                    kind="email"
                    autocomplete="username"
                    required=true
                />
                <TextField
                    name="password"
                    label="Password"
                    value=String::new()
                    error=errors.field("password")
                    kind="password"
                    autocomplete="current-password"
                    required=true
                />
                <SubmitButton pending=action.pending() label="Sign in" class="btn btn-primary btn-wide"/>
            </ActionForm>
            <p class="form-page-foot"><a class="link" href="/forgot-password">"Forgot your password?"</a></p>
            <p class="form-page-foot">
                "No account yet? " <a class="link" href=move || with_next("/sign-up", &next.get())>"Sign up"</a>
            </p>
        </div>
    }
}

/// The page after the sign-in: `next` of the address if it is a page of this site, otherwise the start page.
pub(super) fn next_path() -> Memo<String> {
    let query = use_query_map();
    Memo::new(move |_| local_path(&query.with(|query| query.get("next").unwrap_or_default())).to_owned())
}

/// Loads a page anew once `address` returns it, so that all of the page belongs to the person who is signed in now.
pub(super) fn load_page_when(address: impl Fn() -> Option<String> + 'static) {
    Effect::new(move || {
        if let Some(address) = address() {
            // `set_href` fails only for an invalid address.
            let _ = window().location().set_href(&address);
        }
    });
}
