//! Lists, makes and revokes a person's access tokens.

use leptos::{html, prelude::*};
use vwaza::domain::account::{
    ACCESS_TOKEN_DAYS, ACCESS_TOKEN_DAYS_CHOICES, ACCESS_TOKEN_NAME_MAX_CHARS, AccessToken, NewAccessToken,
};

use super::{
    field::{SelectField, TextField},
    focus,
    form::{FormErrors, FormNote, SubmitButton, is_alive},
    icon::IconName,
    sessions::has_ended,
    time_ago::{TimeAgo, date_words},
};
use crate::{
    api::access_tokens::{MakeAccessToken, RevokeAccessToken},
    error::AppError,
};

#[component]
pub fn AccessTokens(
    tokens: Signal<Vec<AccessToken>>,
    /// The error that kept the tokens from being listed.
    error: Signal<Option<AppError>>,
    make: ServerAction<MakeAccessToken>,
    revoke: ServerAction<RevokeAccessToken>,
) -> impl IntoView {
    // The secret is sent only once, so it is shown until its token is revoked, whatever else fails.
    let made = RwSignal::new(None::<NewAccessToken>);
    Effect::new(move || {
        if let Some(Ok(new)) = make.value().get() {
            made.set(Some(new));
        }
    });
    let revoked = StoredValue::new(None);
    Effect::new(move || {
        if let Some(asked) = revoke.input().get() {
            revoked.set_value(Some(asked.id));
        }
    });
    Effect::new(move || {
        if revoke.value().get().as_ref().is_some_and(has_ended) {
            made.update(|made| *made = made.take().filter(|made| Some(made.id) != revoked.get_value()));
            // The pressed button is removed with its token, so the title gets the focus.
            focus::on("#tokens-title");
        }
    });
    let errors = FormErrors::of(move || {
        let refused = revoke.value().get().filter(|answer| !has_ended(answer)).and_then(Result::err);
        refused.or(error.get())
    });
    view! {
        <section class="card section" aria-labelledby="tokens-title">
            <h2 class="section-title" id="tokens-title" tabindex="-1">"Access tokens"</h2>
            <FormNote errors/>
            <p class="meta intro">"A token lets a script upload for you. Anyone who has the token can do the same."</p>
            <div class="stack">
                {move || made.get().map(|made| view! { <NewTokenSecret made=made/> })}
                <ul>
                    <For each=move || tokens.get() key=|token| (token.id, token.last_used_at) let:token>
                        <TokenRow token=token revoke=revoke/>
                    </For>
                </ul>
                <NewTokenForm make=make/>
            </div>
        </section>
    }
}

/// The secret of a new token. It is shown once, because the server keeps only its hash.
#[component]
fn NewTokenSecret(made: NewAccessToken) -> impl IntoView {
    view! {
        <div class="note note-good" role="status">
            <div class="field">
                <label class="label" for="new-token">"Your new token. Copy it now: we don't show it again"</label>
                <input
                    class="input input-code"
                    id="new-token"
                    readonly
                    value=made.token
                    on:focus=move |event| {
                        event_target::<leptos::web_sys::HtmlInputElement>(&event).select();
                    }
                />
            </div>
        </div>
    }
}

#[component]
fn TokenRow(token: AccessToken, revoke: ServerAction<RevokeAccessToken>) -> impl IntoView {
    let label = format!("Revoke {}", token.name);
    let used = match token.last_used_at {
        Some(at) => view! { <span>"Last used " <TimeAgo at=at/></span> }.into_any(),
        None => view! { <span>"Never used"</span> }.into_any(),
    };
    let expiry = match token.is_expired {
        true => view! { <span>"Expired"</span> }.into_any(),
        false => view! { <span>{format!("Expires {}", date_words(token.expires_at.date()))}</span> }.into_any(),
    };
    view! {
        <li class="token">
            <div class="token-words">
                <p class="truncate">{token.name}</p>
                <p class="meta meta-pair"><span>"Uploads to your releases"</span> {used} {expiry}</p>
            </div>
            <ActionForm action=revoke>
                <input type="hidden" name="id" value=token.id.to_string()/>
                <SubmitButton
                    pending=revoke.pending()
                    label="Revoke"
                    class="btn-quiet btn-small btn-quiet-danger"
                    icon=IconName::Trash
                    attr:aria-label=label
                />
            </ActionForm>
        </li>
    }
}

#[component]
fn NewTokenForm(make: ServerAction<MakeAccessToken>) -> impl IntoView {
    let errors = FormErrors::of(move || make.value().get().and_then(Result::err));
    let form = NodeRef::<html::Form>::new();
    // A plain form would make a token whose secret nobody sees, so the fields are disabled until the page is alive.
    let is_alive = is_alive();
    Effect::new(move || {
        if let (Some(Ok(_)), Some(form)) = (make.value().get(), form.get_untracked()) {
            form.reset();
        }
    });
    view! {
        <ActionForm action=make node_ref=form attr:class="script-only" attr:novalidate=true>
            <FormNote errors/>
            <fieldset class="stack" aria-labelledby="tokens-title" disabled=move || !is_alive.get()>
                <TextField
                    name="name"
                    label="What is the token for?"
                    value=String::new()
                    error=errors.field("name")
                    hint=format!("A name for your own use, like “studio backup”. At most {ACCESS_TOKEN_NAME_MAX_CHARS} characters.")
                    autocomplete="off"
                    required=true
                />
                <SelectField
                    name="days"
                    label="Expires after"
                    value=ACCESS_TOKEN_DAYS.to_string()
                    error=errors.field("days")
                    options=ACCESS_TOKEN_DAYS_CHOICES.map(|days| (days.to_string(), format!("{days} days"))).to_vec()
                    hint="We send you a mail a week before the token expires."
                />
                <div class="form-actions"><SubmitButton pending=make.pending() label="Make a token" class="btn"/></div>
            </fieldset>
        </ActionForm>
        <p class="meta no-script-only">"Turn on JavaScript to make a token. We show a new token only once, on this page."</p>
    }
}
