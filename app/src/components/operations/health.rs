//! The health in one line.

use leptos::prelude::*;
use vwaza::domain::health::{Health, HealthStatus};

use crate::components::icon::{Icon, IconName};

#[component]
pub fn HealthLine(#[prop(into)] health: Signal<Option<Health>>) -> impl IntoView {
    let health = Memo::new(move |_| health.get());
    let line = move || {
        health.get().map(|health| {
            let (class, icon, label) = match health.status() {
                HealthStatus::Ok => ("badge badge-good", IconName::Done, "Well"),
                HealthStatus::Degraded => ("badge badge-waiting", IconName::Warning, "Degraded"),
                HealthStatus::Down => ("badge badge-bad", IconName::Refused, "Down"),
            };
            view! { <span class=class><Icon name=icon/>{label}</span> <span>{health.words()}</span> }
        })
    };
    view! { <p class="health-line" role="status">{line}</p> }
}
