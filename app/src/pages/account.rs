//! The account: how the artist is called and reached, the password, where they are signed in, and their scripts' tokens.

use leptos::{html, prelude::*};
use serde::{Serialize, de::DeserializeOwned};
use vwaza::domain::account::{Actor, EmailChange, MailPreference, PASSWORD_MIN_CHARS};

use crate::{
    api::{
        access_tokens::{MakeAccessToken, RevokeAccessToken, access_tokens},
        account::{
            ChangeEmail, ChangePassword, DeleteAccount, EMAIL_CHANGED, EMAIL_UNCONFIRMED, MAIL_PREFERENCE_SAVED,
            PASSWORD_CHANGED, PROFILE_SAVED, SaveMailPreference, SaveProfile, SendVerification, VERIFICATION_SENT,
            current_mail_preference, security_events,
        },
        sessions::{EndOtherSessions, EndSession, OTHER_SESSIONS_ENDED, sessions},
        two_factor::current_two_factor,
    },
    components::{
        access_tokens::AccessTokens,
        field::TextField,
        form::{FormErrors, FormNote, SubmitButton},
        icon::{Icon, IconName},
        my_data::MyData,
        page_head::PageHead,
        require::RequireSignIn,
        security_log::SecurityLog,
        sessions::Sessions,
        skeleton::Shape,
        two_factor::{TwoFactor, TwoFactorActions},
    },
    error::{ApiResult, AppError},
    state::{
        flash::{form_action, typed},
        live::last_good,
        session::Session,
        toasts::Toasts,
    },
};

#[component]
pub fn Account() -> impl IntoView {
    let save = form_action::<SaveProfile>();
    let change = form_action::<ChangePassword>();
    let (make, revoke) = (form_action::<MakeAccessToken>(), form_action::<RevokeAccessToken>());
    let (end, end_others) = (form_action::<EndSession>(), form_action::<EndOtherSessions>());
    let actions = TwoFactorActions::new();
    // A new password ends them, too.
    let tokens = Resource::new(
        move || (make.version().get(), revoke.version().get(), change.version().get()),
        |_| access_tokens(),
    );
    // A new password and a second factor end sessions, too.
    let signed_in = Resource::new(
        move || (end.version().get(), end_others.version().get(), change.version().get(), actions.version()),
        |_| sessions(),
    );
    let (change_email, send_again) = (form_action::<ChangeEmail>(), form_action::<SendVerification>());
    let delete = form_action::<DeleteAccount>();
    Effect::new(move || {
        if let Some(Ok(())) = delete.value().get() {
            // Setting an address fails only where it is none.
            let _ = window().location().set_href("/");
        }
    });
    let two_factor = Resource::new(move || actions.version(), |_| current_two_factor());
    let save_mail = form_action::<SaveMailPreference>();
    let preference = Resource::new(move || save_mail.version().get(), |_| current_mail_preference());
    let events = Resource::new(
        move || {
            (
                change.version().get(),
                end_others.version().get(),
                end.version().get(),
                make.version().get(),
                revoke.version().get(),
                change_email.version().get(),
                actions.version(),
            )
        },
        |_| security_events(),
    );
    let session = Session::get();
    Effect::new(move || {
        if let Some(Ok(())) = end_others.value().get() {
            Toasts::get().show(OTHER_SESSIONS_ENDED);
        }
    });
    view! {
        <RequireSignIn shape=Shape::Form>
            <div class="page-narrow">
                <PageHead title="Account"/>
                <ProfileForm action=save/>
                <EmailForm action=change_email send_again/>
                <PasswordForm action=change/>
                {
                    let state = last_good(|| (), two_factor);
                    view! { <TwoFactor state actions/> }
                }
                // Those mails are about somebody's own releases.
                <Show when=move || !session.is_admin()><MailForm action=save_mail preference/></Show>
                {
                    let (sessions, error) = list_signals(signed_in);
                    view! { <Sessions sessions error end end_others/> }
                }
                {
                    let (tokens, error) = list_signals(tokens);
                    // An admin has nothing to upload, and may have some tokens from before.
                    let is_of_use = Memo::new(move |_| !session.is_admin() || !tokens.with(Vec::is_empty));
                    view! { <Show when=move || is_of_use.get()><AccessTokens tokens error make revoke/></Show> }
                }
                {
                    let (events, error) = list_signals(events);
                    let intro = "What happened to your account, the newest first. If you don't recognise an entry, change your password.";
                    view! { <SecurityLog events error intro/> }
                }
                <MyData action=delete is_admin=Signal::derive(move || session.is_admin())/>
            </div>
        </RequireSignIn>
    }
}

/// What a list shows: its rows, and why they cannot be told. Belongs inside the page's Transition.
fn list_signals<T>(resource: Resource<ApiResult<Vec<T>>>) -> (Signal<Vec<T>>, Signal<Option<AppError>>)
where
    T: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let shown = last_good(|| (), resource);
    let rows = Signal::derive(move || shown.get().and_then(Result::ok).unwrap_or_default());
    (rows, Signal::derive(move || shown.get().and_then(Result::err)))
}

#[component]
fn ProfileForm(action: ServerAction<SaveProfile>) -> impl IntoView {
    let session = Session::get();
    let errors = FormErrors::of(move || action.value().get().and_then(Result::err));
    Effect::new(move || {
        if let Some(Ok(_)) = action.value().get() {
            session.refresh();
            Toasts::get().show(PROFILE_SAVED);
        }
    });
    let is_admin = untrack(|| session.is_admin());
    view! {
        <section class="card" aria-labelledby="profile-title">
            <h2 class="section-title" id="profile-title">"Profile"</h2>
            <ActionForm action=action attr:class="stack" attr:novalidate=true>
                <FormNote errors=errors/>
                <TextField
                    name="artist_name"
                    label=if is_admin { "Name" } else { "Artist name" }
                    value=profile_value(typed::<SaveProfile>("artist_name"), |actor| actor.artist_name)
                    error=errors.field("artist_name")
                    hint=if is_admin { "Artists see this name beside your verdicts." } else { "As it appears on your releases." }
                    autocomplete="nickname"
                    required=true
                />
                <div class="form-actions"><SubmitButton pending=action.pending() label="Save the profile"/></div>
            </ActionForm>
        </section>
    }
}

/// A field of the account, as the form shows it at first: as it was `typed` and refused, or as it is.
fn profile_value(typed: Option<String>, field: fn(Actor) -> String) -> Signal<String> {
    let session = Session::get();
    Signal::derive(move || typed.clone().unwrap_or_else(|| session.actor().map(field).unwrap_or_default()))
}

#[component]
fn EmailForm(action: ServerAction<ChangeEmail>, send_again: ServerAction<SendVerification>) -> impl IntoView {
    let session = Session::get();
    let errors = FormErrors::of(move || action.value().get().and_then(Result::err));
    let form = NodeRef::<html::Form>::new();
    Effect::new(move || {
        if let Some(Ok(change)) = action.value().get() {
            if let Some(form) = form.get_untracked() {
                form.reset();
            }
            session.refresh();
            if change == EmailChange::Done {
                Toasts::get().show(EMAIL_CHANGED);
            }
        }
    });
    let must_verify = move || session.actor().is_some_and(|actor| actor.must_verify_email);
    let is_unconfirmed = move || matches!(action.value().get(), Some(Ok(EmailChange::Unconfirmed)));
    view! {
        <section class="card section" aria-labelledby="email-title">
            <h2 class="section-title" id="email-title">"E-mail address"</h2>
            <Show when=must_verify>
                <VerifyAddressNote action=send_again/>
            </Show>
            <Show when=is_unconfirmed>
                <div class="note note-good mb-4" role="status">
                    <Icon name=IconName::Check/>
                    <p>{EMAIL_UNCONFIRMED}</p>
                </div>
            </Show>
            <ActionForm action=action node_ref=form attr:class="stack" attr:novalidate=true>
                <FormNote errors=errors/>
                <TextField
                    name="email"
                    label="E-mail"
                    value=profile_value(typed::<ChangeEmail>("email"), |actor| actor.email)
                    error=errors.field("email")
                    kind="email"
                    hint="You sign in with this address. Our mails go there."
                    autocomplete="email"
                    required=true
                />
                <TextField
                    name="email-password"
                    form_name="current_password"
                    label="Current password"
                    value=String::new()
                    error=errors.field("current_password")
                    kind="password"
                    autocomplete="current-password"
                    required=true
                />
                <div class="form-actions"><SubmitButton pending=action.pending() label="Change the address"/></div>
            </ActionForm>
        </section>
    }
}

/// The address is not verified, and has to be.
#[component]
fn VerifyAddressNote(action: ServerAction<SendVerification>) -> impl IntoView {
    let errors = FormErrors::of(move || action.value().get().and_then(Result::err));
    let is_sent = move || matches!(action.value().get(), Some(Ok(())));
    view! {
        <div class="note mb-4">
            <Icon name=IconName::Info/>
            <div class="stack-tight">
                <p>
                    "Your address is not confirmed yet. Open the link that we sent you."
                    {move || (!Session::get().is_admin()).then_some(" Until then you can't submit releases.")}
                </p>
                <FormNote errors=errors/>
                <ActionForm action=action>
                    <SubmitButton pending=action.pending() label="Send the link again" class="btn btn-small"/>
                </ActionForm>
                <p role="status">{move || is_sent().then_some(VERIFICATION_SENT)}</p>
            </div>
        </div>
    }
}

#[component]
fn PasswordForm(action: ServerAction<ChangePassword>) -> impl IntoView {
    let errors = FormErrors::of(move || action.value().get().and_then(Result::err));
    let form = NodeRef::<html::Form>::new();
    Effect::new(move || {
        if let Some(Ok(())) = action.value().get() {
            if let Some(form) = form.get_untracked() {
                form.reset();
            }
            Toasts::get().show(PASSWORD_CHANGED);
        }
    });
    view! {
        <section class="card section" aria-labelledby="password-title">
            <h2 class="section-title" id="password-title">"Password"</h2>
            <ActionForm action=action node_ref=form attr:class="stack" attr:novalidate=true>
                <FormNote errors=errors/>
                <TextField
                    name="current_password"
                    label="Current password"
                    value=String::new()
                    error=errors.field("current_password")
                    kind="password"
                    autocomplete="current-password"
                    required=true
                />
                <TextField
                    name="new_password"
                    label="New password"
                    value=String::new()
                    error=errors.field("new_password")
                    kind="password"
                    hint=format!("At least {PASSWORD_MIN_CHARS} characters. You are signed out everywhere else.")
                    autocomplete="new-password"
                    required=true
                />
                <input type="hidden" name="asks_about_access_tokens" value="true"/>
                <label class="flex gap-3 items-center">
                    <input type="checkbox" class="checkbox flex-none" name="end_access_tokens" value="true" checked/>
                    <span>"End all access tokens, too"</span>
                </label>
                <div class="form-actions"><SubmitButton pending=action.pending() label="Change the password"/></div>
            </ActionForm>
        </section>
    }
}

#[component]
fn MailForm(
    action: ServerAction<SaveMailPreference>,
    preference: Resource<ApiResult<MailPreference>>,
) -> impl IntoView {
    let shown = last_good(|| (), preference);
    let errors = FormErrors::of(move || {
        action.value().get().and_then(Result::err).or_else(|| shown.get().and_then(Result::err))
    });
    let is_wanted = move || shown.get().is_none_or(|shown| shown.is_ok_and(|mail| mail.wants_release_mail));
    Effect::new(move || {
        if let Some(Ok(())) = action.value().get() {
            Toasts::get().show(MAIL_PREFERENCE_SAVED);
        }
    });
    view! {
        <section class="card section" aria-labelledby="mail-title">
            <h2 class="section-title" id="mail-title">"Mail"</h2>
            <ActionForm action=action attr:class="stack">
                <FormNote errors=errors/>
                <label class="flex gap-3 items-center">
                    <input
                        type="checkbox"
                        class="checkbox flex-none"
                        name="wants_release_mail"
                        value="true"
                        checked=is_wanted
                    />
                    <span>"Send me mails about my releases"</span>
                </label>
                <p class="hint">"We always send mails about the security of your account."</p>
                <div class="form-actions"><SubmitButton pending=action.pending() label="Save"/></div>
            </ActionForm>
        </section>
    }
}
