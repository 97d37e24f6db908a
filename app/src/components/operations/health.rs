//! The health in one line.

use leptos::prelude::*;
use time::OffsetDateTime;
use vwaza::domain::health::{Health, HealthStatus};

use crate::components::{
    icon::{Icon, IconName},
    time_ago::TimeAgo,
};

#[component]
pub fn HealthLine(
    #[prop(into)] health: Signal<Option<Health>>,
    /// Whether the latest answer is an error.
    #[prop(into)]
    is_old: Signal<bool>,
    /// When the figures were read.
    #[prop(into)]
    fetched_at: Signal<Option<OffsetDateTime>>,
) -> impl IntoView {
    let health = Memo::new(move |_| health.get());
    let line = move || {
        if is_old.get() {
            let at = fetched_at.get_untracked()?;
            return Some(
                view! {
                    <span class="badge badge-bad"><Icon name=IconName::Refused/>"No answer"</span>
                    " The server or its database does not answer. These figures are from "
                    <TimeAgo at=at/>
                }
                .into_any(),
            );
        }
        health.get().map(|health| {
            let (class, icon, label) = match health.status() {
                HealthStatus::Ok => ("badge badge-good", IconName::Done, "Well"),
                HealthStatus::Degraded => ("badge badge-waiting", IconName::Warning, "Degraded"),
                HealthStatus::Down => ("badge badge-bad", IconName::Refused, "Down"),
            };
            view! { <span class=class><Icon name=icon/>{label}</span> <span>{health.words()}</span> }.into_any()
        })
    };
    view! { <p class="health-line" role="status">{line}</p> }
}
