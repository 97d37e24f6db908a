//! `/sign-up`: creates an artist's account.

use leptos::prelude::*;
use vwaza::domain::account::PASSWORD_MIN_CHARS;

use super::sign_in::{load_page_when, next_path};
use crate::{
    api::account::{SignUp as SignUpForm, with_next},
    components::{
        field::TextField,
        form::{FormErrors, FormNote, SubmitButton},
        page_head::PageHead,
    },
    state::flash::{form_action, typed},
};

#[component]
pub fn SignUp() -> impl IntoView {
    let action = form_action::<SignUpForm>();
    let errors = FormErrors::of(move || action.value().get().and_then(Result::err));
    let [artist_name, email] = ["artist_name", "email"].map(|field| typed::<SignUpForm>(field).unwrap_or_default());
    let next = next_path();
    load_page_when(move || action.value().get()?.ok().map(|()| next.get_untracked()));

    view! {
        <div class="page-narrow form-page">
            <PageHead title="Sign up"/>
            <ActionForm action=action attr:class="stack" attr:novalidate=true>
                <FormNote errors=errors/>
                <input type="hidden" name="next" value=move || next.get()/>
                <TextField
                    name="artist_name"
                    label="Artist name"
                    value=artist_name
                    error=errors.field("artist_name")
                    hint="As it appears on your releases. You can change it later."
                    autocomplete="nickname"
                    required=true
                />
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
                    hint=format!("At least {PASSWORD_MIN_CHARS} characters. A few words make a good password.")
                    autocomplete="new-password"
                    required=true
                />
                <SubmitButton pending=action.pending() label="Create the account" class="btn btn-primary btn-wide"/>
            </ActionForm>
            <p class="form-page-foot">
                "Signed up already? " <a class="link" href=move || with_next("/sign-in", &next.get())>"Sign in"</a>
            </p>
        </div>
    }
}
