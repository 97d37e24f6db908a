//! The account: how the artist is called and reached, the password, where they are signed in, and their scripts' tokens.

use leptos::{html, prelude::*};
use vwaza::domain::account::{Actor, EmailChange, MailPreference, PASSWORD_MIN_CHARS};

use crate::{
    api::{
        access_tokens::{MakeAccessToken, RevokeAccessToken, access_tokens},
        account::{
            ChangeEmail, ChangePassword, DeleteAccount, SaveMailPreference, SaveProfile, SendVerification,
            current_mail_preference, security_events,
        },
        sessions::{EndOtherSessions, EndSession, sessions},
        two_factor::current_two_factor,
    },
    components::{
        access_tokens::AccessTokens,
        field::TextField,
        form::{FormErrors, FormNote, SubmitButton},
        icon::{Icon, IconName},
        my_data::MyData,
        page_head::PageHead,
        require::SignedIn,
        security_log::SecurityLog,
        sessions::Sessions,
        skeleton::Shape,
        two_factor::{TwoFactor, TwoFactorActions},
    },
    error::{ApiResult, AppError},
    state::{live::steady, session::Session, toasts::Toasts},
};

#[component]
pub fn Account() -> impl IntoView {
    let save = ServerAction::<SaveProfile>::new();
    let change = ServerAction::<ChangePassword>::new();
    let (make, revoke) = (ServerAction::<MakeAccessToken>::new(), ServerAction::<RevokeAccessToken>::new());
    let (end, end_others) = (ServerAction::<EndSession>::new(), ServerAction::<EndOtherSessions>::new());
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
    let (change_email, send_again) = (ServerAction::<ChangeEmail>::new(), ServerAction::<SendVerification>::new());
    let delete = ServerAction::<DeleteAccount>::new();
    Effect::new(move || {
        if let Some(Ok(())) = delete.value().get() {
            // Setting an address fails only where it is none.
            let _ = window().location().set_href("/");
        }
    });
    let two_factor = Resource::new(move || actions.version(), |_| current_two_factor());
    let save_mail = ServerAction::<SaveMailPreference>::new();
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
    Effect::new(move || {
        if let Some(Ok(())) = end_others.value().get() {
            Toasts::get().show("You are signed out everywhere else.");
        }
    });
    view! {
        <SignedIn shape=Shape::Form>
            <div class="page-narrow">
                <PageHead title="Account"/>
                <ProfileForm action=save/>
                <EmailForm action=change_email send_again/>
                <PasswordForm action=change/>
                {
                    let state = steady(|| (), two_factor);
                    view! { <TwoFactor state actions/> }
                }
                <MailForm action=save_mail preference/>
                {
                    let (sessions, error) = listed(signed_in);
                    view! { <Sessions sessions error end end_others/> }
                }
                {
                    let (tokens, error) = listed(tokens);
                    view! { <AccessTokens tokens error make revoke/> }
                }
                {
                    let (events, error) = listed(events);
                    let intro = "What happened to your account, the newest first. If you don't know a line, change your password.";
                    view! { <SecurityLog events error intro/> }
                }
                <MyData action=delete/>
            </div>
        </SignedIn>
    }
}

/// What a list shows: its rows, and why they cannot be told. Belongs inside the page's Transition.
fn listed<T>(resource: Resource<ApiResult<Vec<T>>>) -> (Signal<Vec<T>>, Signal<Option<AppError>>)
where
    T: Clone + PartialEq + Send + Sync + 'static,
{
    let shown = steady(|| (), resource);
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
            Toasts::get().show("Profile saved.");
        }
    });
    view! {
        <section class="card" aria-labelledby="profile-title">
            <h2 class="section-title" id="profile-title">"Profile"</h2>
            <ActionForm action=action attr:class="stack" attr:novalidate=true>
                <FormNote errors=errors/>
                <TextField
                    name="artist_name"
                    label="Artist name"
                    value=of_actor(|actor| actor.artist_name)
                    error=errors.field("artist_name")
                    hint="As it appears on your releases."
                    autocomplete="nickname"
                    required=true
                />
                <div class="form-actions"><SubmitButton pending=action.pending() label="Save the profile"/></div>
            </ActionForm>
        </section>
    }
}

/// A field of the account, as the form shows it at first.
fn of_actor(field: fn(Actor) -> String) -> Signal<String> {
    let session = Session::get();
    Signal::derive(move || session.actor().map(field).unwrap_or_default())
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
                Toasts::get().show("E-mail address changed.");
            }
        }
    });
    let must_verify = move || session.actor().is_some_and(|actor| actor.must_verify_email);
    let is_unconfirmed = move || matches!(action.value().get(), Some(Ok(EmailChange::Unconfirmed)));
    view! {
        <section class="card section" aria-labelledby="email-title">
            <h2 class="section-title" id="email-title">"E-mail address"</h2>
            <Show when=must_verify>
                <Unverified action=send_again/>
            </Show>
            <Show when=is_unconfirmed>
                <div class="note note-good mb-4" role="status">
                    <Icon name=IconName::Check/>
                    <p>"We sent a link to the new address. The address changes when you open it."</p>
                </div>
            </Show>
            <ActionForm action=action node_ref=form attr:class="stack" attr:novalidate=true>
                <FormNote errors=errors/>
                <TextField
                    name="email"
                    label="E-mail"
                    value=of_actor(|actor| actor.email)
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
fn Unverified(action: ServerAction<SendVerification>) -> impl IntoView {
    let errors = FormErrors::of(move || action.value().get().and_then(Result::err));
    let is_sent = move || matches!(action.value().get(), Some(Ok(())));
    view! {
        <div class="note mb-4">
            <Icon name=IconName::Info/>
            <div class="stack-tight">
                <p>"Your address is not confirmed yet. Open the link that we sent you. Until then you can't submit releases."</p>
                <FormNote errors=errors/>
                <ActionForm action=action>
                    <SubmitButton pending=action.pending() label="Send the link again" class="btn btn-small"/>
                </ActionForm>
                <p role="status">{move || is_sent().then_some("Sent. Look into your spam folder, too.")}</p>
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
            Toasts::get().show("Password changed. You are signed out everywhere else.");
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
    let shown = steady(|| (), preference);
    let errors = FormErrors::of(move || {
        action.value().get().and_then(Result::err).or_else(|| shown.get().and_then(Result::err))
    });
    let is_wanted = move || shown.get().is_none_or(|shown| shown.is_ok_and(|mail| mail.wants_release_mail));
    Effect::new(move || {
        if let Some(Ok(())) = action.value().get() {
            Toasts::get().show("Saved.");
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
