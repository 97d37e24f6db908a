//! The account: how the artist is called and reached, the password, where they are signed in, and their scripts' tokens.

use leptos::{html, prelude::*};
use vwaza::domain::account::{Actor, PASSWORD_MIN_CHARS};

use crate::{
    api::{
        access_tokens::{MakeAccessToken, RevokeAccessToken, access_tokens},
        account::{ChangePassword, SaveProfile},
        sessions::{EndOtherSessions, EndSession, sessions},
    },
    components::{
        access_tokens::AccessTokens,
        field::TextField,
        form::{FormErrors, FormNote, SubmitButton},
        page_head::PageHead,
        require::SignedIn,
        sessions::Sessions,
        skeleton::Shape,
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
    let tokens = Resource::new(move || (make.version().get(), revoke.version().get()), |_| access_tokens());
    // A new password ends sessions, too.
    let signed_in = Resource::new(
        move || (end.version().get(), end_others.version().get(), change.version().get()),
        |_| sessions(),
    );
    Effect::new(move || {
        if let Some(Ok(())) = end_others.value().get() {
            Toasts::get().show("Everywhere else you are signed out.");
        }
    });
    view! {
        <SignedIn shape=Shape::Form>
            <div class="page-narrow">
                <PageHead title="Account"/>
                <ProfileForm action=save/>
                <PasswordForm action=change/>
                {
                    let (sessions, error) = listed(signed_in);
                    view! { <Sessions sessions error end end_others/> }
                }
                {
                    let (tokens, error) = listed(tokens);
                    view! { <AccessTokens tokens error make revoke/> }
                }
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
    let of_actor =
        move |field: fn(Actor) -> String| Signal::derive(move || session.actor().map(field).unwrap_or_default());
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
                <TextField
                    name="email"
                    label="E-mail"
                    value=of_actor(|actor| actor.email)
                    error=errors.field("email")
                    kind="email"
                    hint="You sign in with it."
                    autocomplete="email"
                    required=true
                />
                <div class="form-actions"><SubmitButton pending=action.pending() label="Save the profile"/></div>
            </ActionForm>
        </section>
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
            Toasts::get().show("Password changed. Everywhere else you are signed out.");
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
                    hint=format!("At least {PASSWORD_MIN_CHARS} characters. Other sessions end with the change; access tokens stay.")
                    autocomplete="new-password"
                    required=true
                />
                <div class="form-actions"><SubmitButton pending=action.pending() label="Change the password"/></div>
            </ActionForm>
        </section>
    }
}
