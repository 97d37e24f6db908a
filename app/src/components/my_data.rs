//! Lets users download their data and delete their account, on the account page.

use leptos::prelude::*;

use super::{
    field::TextField,
    form::{FormErrors, FormNote, SubmitButton},
};
use crate::api::account::DeleteAccount;

#[component]
pub fn MyData(action: ServerAction<DeleteAccount>, is_admin: Signal<bool>) -> impl IntoView {
    let errors = FormErrors::of(move || action.value().get().and_then(Result::err));
    view! {
        <section class="card section" aria-labelledby="data-title">
            <h2 class="section-title" id="data-title">"Your data"</h2>
            <div class="stack">
                <p class="meta">
                    {move || match is_admin.get() {
                        true => "A ZIP file with everything that we hold about you.",
                        false => {
                            "A ZIP file with everything that we hold about you: your account, your releases, and every file as you uploaded it."
                        }
                    }}
                </p>
                // The link is `external`, because it leads to a file and not to a page of the application.
                <p><a class="btn" href="/api/account/data" rel="external" download="vwaza-data.zip">"Download your data"</a></p>
                <details>
                    <summary class="link">"Delete your account"</summary>
                    <div class="stack disclosed">
                        <p>"This is what happens when you delete your account. It can't be undone."</p>
                        <ul>
                            {move || view! { <DeletionEffects is_admin=is_admin.get()/> }}
                        </ul>
                        <ActionForm action=action attr:class="stack" attr:novalidate=true>
                            <FormNote errors=errors/>
                            <TextField
                                name="delete-password"
                                form_name="current_password"
                                label="Current password"
                                value=String::new()
                                error=errors.field("current_password")
                                kind="password"
                                autocomplete="current-password"
                                required=true
                            />
                            <div class="form-actions">
                                <SubmitButton pending=action.pending() label="Delete the account permanently" class="btn btn-danger"/>
                            </div>
                        </ActionForm>
                    </div>
                </details>
            </div>
        </section>
    }
}

/// Lists what the deletion of an account removes and what stays.
#[component]
fn DeletionEffects(is_admin: bool) -> impl IntoView {
    let rows: &[(&str, &str)] = if is_admin {
        &[
            (
                "Stays with the label: ",
                "the record of what you decided on releases. A made-up name, like \u{201c}Former artist 3f9a1c\u{201d}, replaces \
                 your name.",
            ),
            (
                "Deleted right away: ",
                "your name, your e-mail address, your password, all sessions and access tokens, and the security log.",
            ),
        ]
    } else {
        &[
            (
                "Stays with the label: ",
                "published releases with their files, and the record of what was decided on them. A made-up name, like \u{201c}Former artist \
                 3f9a1c\u{201d}, replaces your name.",
            ),
            (
                "Deleted right away: ",
                "your name, your e-mail address, your password, all sessions and access tokens, the security log, and all releases that are \
                 not published.",
            ),
            ("Deleted within days: ", "the files of releases that are not published."),
        ]
    };
    rows.iter().map(|(when, what)| view! { <li><strong>{*when}</strong>{*what}</li> }).collect_view()
}
