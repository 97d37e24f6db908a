//! The second step of a sign-in: the code of an app, or a recovery code.

use leptos::prelude::*;

use super::sign_in::{load_page_when, next_path};
use crate::{
    api::account::{SignInCode as SignInCodeForm, with_next},
    components::{
        field::TextField,
        form::{FormErrors, FormNote, SubmitButton},
        page_head::PageHead,
    },
    state::flash::form_action,
};

#[component]
pub fn SignInCode() -> impl IntoView {
    let action = form_action::<SignInCodeForm>();
    let errors = FormErrors::of(move || action.value().get().and_then(Result::err));
    let next = next_path();
    load_page_when(move || action.value().get()?.ok().map(|()| next.get_untracked()));

    view! {
        <div class="page-narrow form-page">
            <PageHead title="Enter your code"/>
            <ActionForm action=action attr:class="stack" attr:novalidate=true>
                <FormNote errors=errors/>
                <input type="hidden" name="next" value=move || next.get()/>
                <TextField
                    name="code"
                    label="Code"
                    value=String::new()
                    error=errors.field("code")
                    hint="The six digits that your app shows now, or one of your recovery codes."
                    autocomplete="one-time-code"
                    required=true
                />
                <SubmitButton pending=action.pending() label="Sign in" class="btn btn-primary btn-wide"/>
            </ActionForm>
            <p class="form-page-foot">
                <a class="link" href=move || with_next("/sign-in", &next.get())>"Begin again"</a>
            </p>
        </div>
    }
}
