//! Lists the sessions of a person, and ends them.

use leptos::prelude::*;
use vwaza::domain::account::{SESSION_DAYS, SessionView};

use super::{
    focus,
    form::{FormErrors, FormNote, SubmitButton},
    icon::IconName,
    time_ago::TimeAgo,
};
use crate::{
    api::sessions::{EndOtherSessions, EndSession, SESSION_ENDED},
    error::{ApiResult, AppError},
    state::toasts::Toasts,
};

#[component]
pub fn Sessions(
    sessions: Signal<Vec<SessionView>>,
    /// The error that kept the sessions from being listed.
    error: Signal<Option<AppError>>,
    end: ServerAction<EndSession>,
    end_others: ServerAction<EndOtherSessions>,
) -> impl IntoView {
    let errors = FormErrors::of(move || {
        let ended = end.value().get().filter(|answer| !has_ended(answer)).and_then(Result::err);
        ended.or(end_others.value().get().and_then(Result::err)).or(error.get())
    });
    let (end_pending, others_pending) = (end.pending(), end_others.pending());
    let pending = Signal::derive(move || end_pending.get() || others_pending.get());
    // Only the answer to the latest request is shown.
    Effect::new(move || {
        if end_pending.get() {
            end_others.clear();
        }
    });
    Effect::new(move || {
        if others_pending.get() {
            end.clear();
        }
    });
    // The pressed button is removed with its session, so the title gets the focus.
    Effect::new(move || {
        if end.value().get().as_ref().is_some_and(has_ended) {
            focus::on("#sessions-title");
            Toasts::get().show(SESSION_ENDED);
        }
    });
    Effect::new(move || {
        if let Some(Ok(())) = end_others.value().get() {
            focus::on("#sessions-title");
        }
    });
    let has_others = Memo::new(move |_| sessions.with(|sessions| sessions.iter().any(|session| !session.is_current)));
    view! {
        <section class="card section" aria-labelledby="sessions-title">
            <h2 class="section-title" id="sessions-title" tabindex="-1">"Sessions"</h2>
            <FormNote errors/>
            <p class="meta intro">
                {format!("These are the browsers in which you are signed in. A session that you don't use ends by itself within {SESSION_DAYS}\u{a0}days.")}
            </p>
            <div class="stack">
                <ul>
                    <For each=move || sessions.get() key=|session| (session.id, session.last_used_at) let:session>
                        <SessionRow session end pending/>
                    </For>
                </ul>
                <Show when=move || has_others.get()>
                    <ActionForm action=end_others>
                        <SubmitButton pending label="Sign out everywhere else" class="btn"/>
                    </ActionForm>
                </Show>
            </div>
        </section>
    }
}

/// Whether a session or token has ended, by this request or before it.
pub(super) fn has_ended(answer: &ApiResult<()>) -> bool {
    match answer {
        Ok(()) => true,
        Err(error) => error.is_missing(),
    }
}

#[component]
fn SessionRow(session: SessionView, end: ServerAction<EndSession>, pending: Signal<bool>) -> impl IntoView {
    let label = format!("Sign out {}", session.device);
    // The times tell two sessions of the same browser apart.
    let times_id = format!("session-{}", session.id);
    let times = times_id.clone();
    let what = if session.is_current {
        view! { <p class="badge badge-good">"This browser"</p> }.into_any()
    } else {
        view! {
            <ActionForm action=end>
                <input type="hidden" name="id" value=session.id.to_string()/>
                <SubmitButton
                    pending
                    label="Sign out"
                    class="btn-quiet btn-small btn-quiet-danger"
                    icon=IconName::SignOut
                    attr:aria-label=label
                    attr:aria-describedby=times
                />
            </ActionForm>
        }
        .into_any()
    };
    view! {
        <li class="token">
            <div class="token-words">
                <p class="truncate">{session.device}</p>
                <p class="meta meta-pair" id=times_id>
                    <span>"Signed in " <TimeAgo at=session.created_at/></span>
                    <span>"Last used " <TimeAgo at=session.last_used_at/></span>
                </p>
            </div>
            {what}
        </li>
    }
}
