//! Asks for a link that sets a new password.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use vwaza::domain::account::RESET_LINK_MINUTES;

use crate::{
    api::account::RequestPasswordReset,
    components::{
        field::TextField,
        focus,
        form::{FormErrors, FormNote, SubmitButton},
        icon::{Icon, IconName},
        page_head::PageHead,
    },
    state::flash::{form_action, typed},
};

#[component]
pub fn ForgotPassword() -> impl IntoView {
    let action = form_action::<RequestPasswordReset>();
    let errors = FormErrors::of(move || action.value().get().and_then(Result::err));
    let query = use_query_map();
    let is_sent = Memo::new(move |_| {
        matches!(action.value().get(), Some(Ok(()))) || query.with(|query| query.get("sent").is_some())
    });
    Effect::new(move || {
        if matches!(action.value().get(), Some(Ok(()))) {
            focus::on("#sent");
        }
    });

    view! {
        <div class="page-narrow form-page">
            <PageHead title="Forgot your password?"/>
            <Show when=move || is_sent.get() fallback=move || view! { <RequestForm action errors/> }>
                <Sent/>
            </Show>
            <p class="form-page-foot"><a class="link" href="/sign-in">"Back to sign-in"</a></p>
        </div>
    }
}

#[component]
fn RequestForm(action: ServerAction<RequestPasswordReset>, errors: FormErrors) -> impl IntoView {
    let email = typed::<RequestPasswordReset>("email").unwrap_or_default();
    view! {
        <ActionForm action=action attr:class="stack" attr:novalidate=true>
            <FormNote errors=errors/>
            <p>"We send you a link to set a new password."</p>
            <TextField
                name="email"
                label="E-mail"
                value=email
                error=errors.field("email")
                kind="email"
                autocomplete="username"
                required=true
            />
            <SubmitButton pending=action.pending() label="Send the link" class="btn btn-primary btn-wide"/>
        </ActionForm>
    }
}

/// The confirmation. Every address gets the same words, because nobody may find out whether an address has an account.
#[component]
fn Sent() -> impl IntoView {
    view! {
        <div class="note note-good" role="status" id="sent" tabindex="-1">
            <Icon name=IconName::Check/>
            <div>
                <p>
                    {format!(
                        "If this address has an account, a mail is on its way. Its link works once, and for {RESET_LINK_MINUTES}\u{a0}minutes.",
                    )}
                </p>
                <p class="note-small">"No mail after a few minutes? Check your spam folder, or check the address and ask again."</p>
            </div>
        </div>
    }
}
