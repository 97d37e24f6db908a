//! Confirms an e-mail address with the link of a mail. The code is behind the link's `#`, as in
//! [`super::reset_password`].

use leptos::prelude::*;

use super::reset_password::{LinkField, link_from_hash};
use crate::{
    api::account::{VerifyEmail as VerifyEmailForm, verified_words},
    components::{
        focus,
        form::{FormErrors, FormNote, SubmitButton},
        icon::{Icon, IconName},
        page_head::PageHead,
    },
    state::{flash::form_action, session::Session},
};

#[component]
pub fn VerifyEmail() -> impl IntoView {
    let action = form_action::<VerifyEmailForm>();
    let errors = FormErrors::of(move || action.value().get().and_then(Result::err));
    let link = link_from_hash();
    let session = Session::get();
    let verified = move || action.value().get().and_then(Result::ok);
    Effect::new(move || {
        if verified().is_some() {
            session.refresh();
            focus::on("#verified");
        }
    });

    view! {
        <div class="page-narrow form-page">
            <PageHead title="Confirm your e-mail address"/>
            {move || match verified() {
                Some(email) => view! { <Verified email/> }.into_any(),
                None => view! {
                    <ActionForm action=action attr:class="stack" attr:novalidate=true>
                        <FormNote errors=errors/>
                        <LinkField link error=errors.field("link")/>
                        <SubmitButton pending=action.pending() label="Confirm the address" class="btn btn-primary btn-wide"/>
                    </ActionForm>
                }
                .into_any(),
            }}
        </div>
    }
}

#[component]
fn Verified(email: String) -> impl IntoView {
    view! {
        <div class="note note-good" role="status" id="verified" tabindex="-1">
            <Icon name=IconName::Check/>
            <p>{verified_words(&email)}</p>
        </div>
        <p class="form-page-foot"><a class="link" href="/">"Continue to your releases"</a></p>
    }
}
