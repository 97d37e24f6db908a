//! The security log of an account: sign-ins, passwords, tokens.

use leptos::prelude::*;
use vwaza::domain::security::SecurityEvent;

use super::{
    form::{FormErrors, FormNote},
    icon::{Icon, IconName},
    time_ago::TimeAgo,
};
use crate::error::AppError;

#[component]
pub fn SecurityLog(
    events: Signal<Vec<SecurityEvent>>,
    /// The error that kept the events from being listed.
    error: Signal<Option<AppError>>,
    intro: &'static str,
) -> impl IntoView {
    let errors = FormErrors::of(move || error.get());
    view! {
        <section class="card section" aria-labelledby="security-title">
            <h2 class="section-title" id="security-title">"Security log"</h2>
            <FormNote errors/>
            <p class="meta intro">{intro}</p>
            <Show when=move || events.with(Vec::is_empty) && error.with(Option::is_none)>
                <p class="meta">"Nothing has happened to this account yet."</p>
            </Show>
            <ul>
                <For each=move || events.get() key=|event| (event.created_at, event.kind as u8, event.times) let:event>
                    <SecurityEventRow event/>
                </For>
            </ul>
        </section>
    }
}

#[component]
fn SecurityEventRow(event: SecurityEvent) -> impl IntoView {
    let what = if event.subject.is_empty() {
        event.kind.label().to_owned()
    } else {
        format!("{}: {}", event.kind.label(), event.subject)
    };
    let what = if event.times > 1 { format!("{what} ({} times)", event.times) } else { what };
    let from = [Some(event.device).filter(|device| !device.is_empty()), event.address]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" · ");
    let by_admin = event.by_admin.then(|| view! { <span>"by an admin or the operator"</span> });
    view! {
        <li class="token">
            <div class="token-words">
                <p class="token-what">
                    {event.kind.is_failure().then(|| view! { <Icon name=IconName::Warning/> })}
                    <span>{what}</span>
                </p>
                <p class="meta meta-pair">
                    <span><TimeAgo at=event.created_at/></span>
                    {by_admin}
                    {(!from.is_empty()).then(|| view! { <span>{from}</span> })}
                </p>
            </div>
        </li>
    }
}
