//! `/account`: name, address, password, two-factor sign-in, sessions, access tokens and the person's data.

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
        live::{await_first, last_good},
        session::Session,
        toasts::Toasts,
    },
};

/// The page's forms, each with its last answer.
#[derive(Clone, Copy)]
struct AccountActions {
    save_profile: ServerAction<SaveProfile>,
    change_email: ServerAction<ChangeEmail>,
    send_verification: ServerAction<SendVerification>,
    change_password: ServerAction<ChangePassword>,
    two_factor: TwoFactorActions,
    save_mail: ServerAction<SaveMailPreference>,
    end_session: ServerAction<EndSession>,
    end_others: ServerAction<EndOtherSessions>,
    make_token: ServerAction<MakeAccessToken>,
    revoke_token: ServerAction<RevokeAccessToken>,
    delete: ServerAction<DeleteAccount>,
}

impl AccountActions {
    fn new() -> Self {
        let actions = Self {
            save_profile: form_action(),
            change_email: form_action(),
            send_verification: form_action(),
            change_password: form_action(),
            two_factor: TwoFactorActions::new(),
            save_mail: form_action(),
            end_session: form_action(),
            end_others: form_action(),
            make_token: form_action(),
            revoke_token: form_action(),
            delete: form_action(),
        };
        Effect::new(move || {
            if let Some(Ok(())) = actions.delete.value().get() {
                // The call fails only for an invalid address.
                let _ = window().location().set_href("/");
            }
        });
        Effect::new(move || {
            if let Some(Ok(())) = actions.end_others.value().get() {
                Toasts::get().show(OTHER_SESSIONS_ENDED);
            }
        });
        actions
    }

    /// Changes whenever the list of tokens may have changed. A new password ends tokens, too.
    fn tokens_version(self) -> (usize, usize, usize) {
        (self.make_token.version().get(), self.revoke_token.version().get(), self.change_password.version().get())
    }

    /// Changes whenever the list of sessions may have changed. A new password and a second factor end sessions, too.
    fn sessions_version(self) -> (usize, usize, usize, (usize, usize, usize)) {
        (
            self.end_session.version().get(),
            self.end_others.version().get(),
            self.change_password.version().get(),
            self.two_factor.version(),
        )
    }
}

#[component]
pub fn Account() -> impl IntoView {
    let actions = AccountActions::new();
    let AccountActions { change_password, two_factor, save_mail, end_session, end_others, .. } = actions;
    let tokens = Resource::new(move || actions.tokens_version(), |_| access_tokens());
    let signed_in = Resource::new(move || actions.sessions_version(), |_| sessions());
    let second_factor = Resource::new(move || two_factor.version(), |_| current_two_factor());
    let preference = Resource::new(move || save_mail.version().get(), |_| current_mail_preference());
    let events = Resource::new(
        move || (actions.tokens_version(), actions.sessions_version(), actions.change_email.version().get()),
        |_| security_events(),
    );
    let session = Session::get();
    let awaits = move || {
        await_first(tokens);
        await_first(signed_in);
        await_first(second_factor);
        await_first(preference);
        await_first(events);
    };
    view! {
        <RequireSignIn shape=Shape::Form awaits>
            <div class="page-narrow">
                <PageHead title="Account"/>
                <ProfileForm action=actions.save_profile/>
                <EmailForm action=actions.change_email send_again=actions.send_verification/>
                <PasswordForm action=change_password/>
                {
                    let state = last_good(|| (), second_factor);
                    view! { <TwoFactor state actions=two_factor/> }
                }
                // Admins have no releases, and these mails are about releases.
                <Show when=move || !session.is_admin()><MailForm action=save_mail preference/></Show>
                {
                    let (sessions, error) = list_signals(signed_in);
                    view! { <Sessions sessions error end=end_session end_others/> }
                }
                {
                    let (tokens, error) = list_signals(tokens);
                    // Admins upload nothing, so they see this list only if they have tokens from before.
                    let is_of_use = Memo::new(move |_| !session.is_admin() || !tokens.with(Vec::is_empty));
                    let (make, revoke) = (actions.make_token, actions.revoke_token);
                    view! { <Show when=move || is_of_use.get()><AccessTokens tokens error make revoke/></Show> }
                }
                {
                    let (events, error) = list_signals(events);
                    let intro = "What happened to your account, the newest first. If you don't recognise an entry, change your password.";
                    view! { <SecurityLog events error intro/> }
                }
                <MyData action=actions.delete is_admin=Signal::derive(move || session.is_admin())/>
            </div>
        </RequireSignIn>
    }
}

/// The rows of a list, and the error that kept them from being fetched. Call this inside the page's Transition.
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

/// The first value of an account field: the refused input, or the stored value.
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
                <div class="note note-good intro" role="status">
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

/// Asks an artist to verify the address.
#[component]
fn VerifyAddressNote(action: ServerAction<SendVerification>) -> impl IntoView {
    let errors = FormErrors::of(move || action.value().get().and_then(Result::err));
    let is_sent = move || matches!(action.value().get(), Some(Ok(())));
    view! {
        <div class="note intro">
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
                <label class="checkbox-field">
                    <input type="checkbox" class="checkbox" name="end_access_tokens" value="true" checked/>
                    <span>"Revoke all access tokens, too"</span>
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
                <label class="checkbox-field">
                    <input
                        type="checkbox"
                        class="checkbox"
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
