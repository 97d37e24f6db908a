//! Two-factor sign-in on the account page: set it up, turn it off, make new recovery codes.

use leptos::prelude::*;
use vwaza::domain::two_factor::{TwoFactorSetup, TwoFactorState};

use super::{
    field::TextField,
    focus,
    form::{FormErrors, FormNote, SubmitButton, is_alive},
};
use crate::{
    api::two_factor::{BeginTwoFactor, ConfirmTwoFactor, RenewRecoveryCodes, TurnOffTwoFactor},
    error::ApiResult,
    state::{flash::form_action, session::Session},
};

/// The section's forms, each with its last answer.
#[derive(Clone, Copy)]
pub struct TwoFactorActions {
    pub begin: ServerAction<BeginTwoFactor>,
    pub confirm: ServerAction<ConfirmTwoFactor>,
    pub turn_off: ServerAction<TurnOffTwoFactor>,
    pub renew: ServerAction<RenewRecoveryCodes>,
}

impl TwoFactorActions {
    #[expect(clippy::new_without_default, reason = "actions belong to a page")]
    pub fn new() -> Self {
        Self { begin: form_action(), confirm: form_action(), turn_off: form_action(), renew: form_action() }
    }

    /// Changes whenever an answer has changed the account.
    pub fn version(self) -> (usize, usize, usize) {
        (self.confirm.version().get(), self.turn_off.version().get(), self.renew.version().get())
    }
}

#[component]
pub fn TwoFactor(state: Signal<Option<ApiResult<TwoFactorState>>>, actions: TwoFactorActions) -> impl IntoView {
    let TwoFactorActions { begin, confirm, turn_off, renew } = actions;
    let errors = errors_of(move || state.get());
    let is_on = Memo::new(move |_| state.get().and_then(Result::ok).is_some_and(|state| state.is_on));
    let setup = Memo::new(move |_| begin.value().get().and_then(Result::ok).filter(|_| !is_on.get()));
    let newest = newest_codes(actions);
    let codes = Memo::new(move |_| newest.get().filter(|_| is_on.get()));
    focus_when(move || setup.with(Option::is_some), "#two-factor-code");
    focus_when(move || codes.with(Option::is_some), "#recovery-codes");
    clear_when_turned_off(actions, newest);
    // Plain forms would make secrets that nobody sees.
    let is_alive = is_alive();
    view! {
        <section class="card section" aria-labelledby="two-factor-title" id="two-factor">
            <h2 class="section-title" id="two-factor-title" tabindex="-1">"Two-factor sign-in"</h2>
            <FormNote errors/>
            <p class="meta intro">
                {move || match is_on.get() {
                    true => "On: you sign in with your password and a code from your app.",
                    false => "Off: you sign in with your password only. With two-factor sign-in, you also need a code from an app on your phone. A stolen password alone is then useless.",
                }}
            </p>
            <p class="meta no-script-only">"Turn on JavaScript to change two-factor sign-in. We show the codes only once, on this page."</p>
            <fieldset class="stack script-only" aria-labelledby="two-factor-title" disabled=move || !is_alive.get()>
                {move || codes.get().map(|codes| view! { <RecoveryCodes codes/> })}
                {move || match (is_on.get(), setup.get()) {
                    (false, None) => view! { <SetUpForm action=begin/> }.into_any(),
                    (false, Some(setup)) => view! { <ConfirmForm setup action=confirm/> }.into_any(),
                    (true, _) => view! { <EnabledPanel state turn_off renew/> }.into_any(),
                }}
            </fieldset>
        </section>
    }
}

/// The recovery codes of the last answer. They stay until the page is left, because nobody sees them again.
fn newest_codes(actions: TwoFactorActions) -> RwSignal<Option<Vec<String>>> {
    let newest = RwSignal::new(None);
    let session = Session::get();
    Effect::new(move || {
        if let Some(Ok(codes)) = actions.confirm.value().get() {
            newest.set(Some(codes));
            // An admin may do more from now on.
            session.refresh();
        }
    });
    Effect::new(move || {
        if let Some(Ok(codes)) = actions.renew.value().get() {
            newest.set(Some(codes));
        }
    });
    newest
}

fn focus_when(is_there: impl Fn() -> bool + 'static, selector: &'static str) {
    Effect::new(move || {
        if is_there() {
            focus::on(selector);
        }
    });
}

fn clear_when_turned_off(actions: TwoFactorActions, newest: RwSignal<Option<Vec<String>>>) {
    let TwoFactorActions { begin, confirm, turn_off, renew } = actions;
    Effect::new(move || {
        if matches!(turn_off.value().get(), Some(Ok(()))) {
            begin.clear();
            confirm.clear();
            renew.clear();
            newest.set(None);
            focus::on("#two-factor-title");
        }
    });
}

fn errors_of<T: Clone + Send + Sync + 'static>(
    answer: impl Fn() -> Option<ApiResult<T>> + Send + Sync + 'static,
) -> FormErrors {
    FormErrors::of(move || answer().and_then(Result::err))
}

#[component]
fn SetUpForm(action: ServerAction<BeginTwoFactor>) -> impl IntoView {
    let errors = errors_of(move || action.value().get());
    view! {
        <ActionForm action=action attr:class="stack" attr:novalidate=true>
            <FormNote errors/>
            <PasswordField id="two-factor-password" errors/>
            <div class="form-actions"><SubmitButton pending=action.pending() label="Set it up" class="btn"/></div>
        </ActionForm>
    }
}

#[component]
fn PasswordField(id: &'static str, errors: FormErrors) -> impl IntoView {
    view! {
        <TextField
            name=id
            form_name="current_password"
            label="Current password"
            value=String::new()
            error=errors.field("current_password")
            kind="password"
            autocomplete="current-password"
            required=true
        />
    }
}

#[component]
fn CodeField(id: &'static str, errors: FormErrors, hint: &'static str) -> impl IntoView {
    view! {
        <TextField
            name=id
            form_name="code"
            label="Code"
            value=String::new()
            error=errors.field("code")
            hint=hint
            autocomplete="one-time-code"
            required=true
        />
    }
}

#[component]
fn ConfirmForm(setup: TwoFactorSetup, action: ServerAction<ConfirmTwoFactor>) -> impl IntoView {
    let errors = errors_of(move || action.value().get());
    view! {
        <ActionForm action=action attr:class="stack" attr:novalidate=true>
            <FormNote errors/>
            <p>"Scan this QR code with an authenticator app, or type the key into the app."</p>
            <div class="qr-code" role="img" aria-label="QR code with your key" inner_html=setup.qr_svg></div>
            <div class="field">
                <label class="label" for="two-factor-key">"Key"</label>
                <input class="input input-code" id="two-factor-key" readonly value=setup.secret/>
            </div>
            <CodeField id="two-factor-code" errors hint="The six digits that the app shows now."/>
            <div class="form-actions">
                <SubmitButton pending=action.pending() label="Turn on two-factor sign-in"/>
            </div>
        </ActionForm>
    }
}

#[component]
fn RecoveryCodes(codes: Vec<String>) -> impl IntoView {
    let items = codes.into_iter().map(|code| view! { <li>{code}</li> }).collect_view();
    view! {
        <div class="note note-good" role="status" id="recovery-codes" tabindex="-1">
            <div class="stack-tight">
                <p>"These are your recovery codes. Keep them in a place that you can reach without your phone. Each code works once. We don't show them again."</p>
                <ul class="recovery-codes">{items}</ul>
            </div>
        </div>
    }
}

#[component]
fn EnabledPanel(
    state: Signal<Option<ApiResult<TwoFactorState>>>,
    turn_off: ServerAction<TurnOffTwoFactor>,
    renew: ServerAction<RenewRecoveryCodes>,
) -> impl IntoView {
    let known = move || state.get().and_then(Result::ok);
    let left = move || known().map_or(0, |state| state.recovery_codes_left);
    let is_required = Memo::new(move |_| known().is_some_and(|state| state.is_required));
    let (renew_errors, off_errors) =
        (errors_of(move || renew.value().get()), errors_of(move || turn_off.value().get()));
    view! {
        <p class="meta">{move || format!("Recovery codes left: {}.", left())}</p>
        <details>
            <summary class="link">"Make new recovery codes"</summary>
            <ActionForm action=renew attr:class="stack disclosed" attr:novalidate=true>
                <FormNote errors=renew_errors/>
                <PasswordField id="renew-password" errors=renew_errors/>
                <CodeField id="renew-code" errors=renew_errors hint="A code from your app, or a recovery code."/>
                <div class="form-actions">
                    <SubmitButton pending=renew.pending() label="Make new codes" class="btn"/>
                </div>
            </ActionForm>
        </details>
        <Show when=move || !is_required.get() fallback=|| view! { <p class="meta">"Admins need two-factor sign-in on this site."</p> }>
            <details>
                <summary class="link">"Turn off two-factor sign-in"</summary>
                <ActionForm action=turn_off attr:class="stack disclosed" attr:novalidate=true>
                    <FormNote errors=off_errors/>
                    <PasswordField id="turn-off-password" errors=off_errors/>
                    <CodeField id="turn-off-code" errors=off_errors hint="A code from your app, or a recovery code."/>
                    <div class="form-actions">
                        <SubmitButton pending=turn_off.pending() label="Turn it off" class="btn btn-danger"/>
                    </div>
                </ActionForm>
            </details>
        </Show>
    }
}
