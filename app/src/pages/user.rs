//! `/admin/users/…`: one account, its security log, and what an admin can change.

use leptos::prelude::*;
use leptos_router::hooks::use_params_map;
use vwaza::domain::{
    account::Role,
    administration::{UserChange, UserView},
    audit::AuditEntry,
    ids::UserId,
    problem::Problem,
    release::ReleaseFilter,
};

use crate::{
    api::{
        audit::audit_entries_about,
        users::{ChangeUser, change_words, user},
    },
    components::{
        audit::AuditSection,
        field::TextField,
        focus,
        form::{FormErrors, FormNote, SubmitButton},
        list_address::filter_address,
        page_error::PageError,
        page_head::PageHead,
        require::RequireAdmin,
        security_log::SecurityLog,
        skeleton::Shape,
        time_ago::TimeAgo,
    },
    error::ApiResult,
    state::{
        flash::form_action,
        live::{await_first, last_good},
        toasts::Toasts,
    },
};

#[component]
pub fn User() -> impl IntoView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("id")?.parse::<UserId>().ok()));
    let change = form_action::<ChangeUser>();
    let view = Resource::new(
        move || (id.get(), change.version().get()),
        |(id, _)| async move {
            match id {
                Some(id) => user(id).await,
                None => Err(Problem::NotFound.into()),
            }
        },
    );
    let trail = Resource::new(
        move || (id.get(), change.version().get()),
        |(id, _)| async move {
            match id {
                Some(id) => audit_entries_about(id.0).await,
                None => Err(Problem::NotFound.into()),
            }
        },
    );
    Effect::new(move || {
        if let Some(Ok(change)) = change.value().get() {
            Toasts::get().show(change_words(change));
            // The pressed button is gone, so the title gets the focus.
            focus::on("#actions-title");
        }
    });
    view! {
        <RequireAdmin
            shape=Shape::Form
            awaits=move || {
                await_first(view);
                await_first(trail);
            }
        >
            {
                let shown = last_good(move || id.get(), view);
                let trail = last_good(move || id.get(), trail);
                move || match shown.get() {
                    Some(Ok(user)) => view! { <UserAccount user change trail/> }.into_any(),
                    Some(Err(error)) => view! { <PageError error/> }.into_any(),
                    None => ().into_any(),
                }
            }
        </RequireAdmin>
    }
}

#[component]
fn UserAccount(
    user: UserView,
    change: ServerAction<ChangeUser>,
    trail: Signal<Option<ApiResult<Vec<AuditEntry>>>>,
) -> impl IntoView {
    let releases = filter_address("/admin/releases", &ReleaseFilter { artist: Some(user.id), ..Default::default() });
    let events = Signal::stored(user.events.clone());
    let about = user.id.0;
    view! {
        <div class="page-narrow">
            <PageHead title=user.artist_name.clone()/>
            <p class="meta intro user-badges">
                <span>{user.email.clone()}</span>
                {(user.role == Role::Admin).then(|| view! { <span class="badge">"Admin"</span> })}
                {user.is_disabled.then(|| view! { <span class="badge badge-bad">"Disabled"</span> })}
                {user.has_two_factor.then(|| view! { <span class="badge">"Two-factor sign-in"</span> })}
                {(!user.has_verified_email).then(|| view! { <span class="badge">"E-mail not confirmed"</span> })}
            </p>
            <p class="meta intro meta-pair">
                <span>"Joined " <TimeAgo at=user.created_at/></span>
                <span>{counted(user.sessions, "session", "sessions")}</span>
                <span>{counted(user.access_tokens, "access token", "access tokens")}</span>
                <a class="link" href=releases>"Releases"</a>
            </p>
            <UserActions user change/>
            <SecurityLog
                events
                error=Signal::stored(None)
                intro="What happened to this account, the newest first."
            />
            <AuditSection trail about/>
        </div>
    }
}

fn counted(number: i64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[component]
fn UserActions(user: UserView, change: ServerAction<ChangeUser>) -> impl IntoView {
    let errors = FormErrors::of(move || change.value().get().and_then(Result::err));
    let role = match user.role {
        Role::Artist => (UserChange::MakeAdmin, "Make admin"),
        Role::Admin => (UserChange::MakeArtist, "Make artist"),
    };
    let access = match user.is_disabled {
        false => (UserChange::Disable, "Disable the account"),
        true => (UserChange::Enable, "Enable the account"),
    };
    let offered = [
        (!user.is_disabled).then_some((UserChange::SendResetLink, "Send a link to set a new password")),
        (!user.has_verified_email).then_some((UserChange::VerifyEmail, "Confirm the e-mail address")),
        (user.sessions > 0).then_some((UserChange::EndSessions, "End all sessions")),
        user.has_two_factor.then_some((UserChange::ResetTwoFactor, "Turn off two-factor sign-in")),
        Some(role),
        Some(access),
    ];
    let id = user.id;
    let actions =
        offered.into_iter().flatten().map(|(what, label)| view! { <UserAction id what label change errors/> });
    view! {
        <section class="card" aria-labelledby="actions-title">
            <h2 class="section-title" id="actions-title" tabindex="-1">"What you can do"</h2>
            <FormNote errors/>
            <div class="stack">{actions.collect_view()}</div>
        </section>
    }
}

/// A change of the account. Changes that lock the user out or outlast this session take a second step.
#[component]
fn UserAction(
    id: UserId,
    what: UserChange,
    label: &'static str,
    change: ServerAction<ChangeUser>,
    errors: FormErrors,
) -> impl IntoView {
    // The value that the form sends.
    let name = serde_json::to_value(what).ok().and_then(|name| name.as_str().map(str::to_owned));
    let is_grave = matches!(what, UserChange::Disable | UserChange::MakeArtist) || what.needs_password();
    let field = what.needs_password().then(|| {
        view! {
            <TextField
                name=if what == UserChange::MakeAdmin { "make-admin-password" } else { "reset-two-factor-password" }
                form_name="current_password"
                label="Your own password"
                value=String::new()
                error=errors.field("current_password")
                kind="password"
                autocomplete="current-password"
                required=true
            />
        }
    });
    let class = if is_grave { "btn btn-danger" } else { "btn" };
    let form = view! {
        <ActionForm action=change attr:class="stack" attr:novalidate=true>
            <input type="hidden" name="id" value=id.to_string()/>
            <input type="hidden" name="change" value=name/>
            {field}
            <div><SubmitButton pending=change.pending() label class/></div>
        </ActionForm>
    };
    if is_grave {
        view! {
            <details>
                <summary class="link">{label}</summary>
                <div class="disclosed">{form}</div>
            </details>
        }
        .into_any()
    } else {
        form.into_any()
    }
}
