//! The history of a release: who did what, and when.

use leptos::prelude::*;
use vwaza::domain::release::{ReleaseEvent, ReleaseEventKind};

use super::{
    icon::{Icon, IconName},
    time_ago::TimeAgo,
};

/// Lists events in the given order, which is newest first.
#[component]
pub fn Timeline(events: Vec<ReleaseEvent>) -> impl IntoView {
    let events = events.into_iter().map(|event| view! { <Event event=event/> }).collect_view();
    view! { <ol class="timeline">{events}</ol> }
}

#[component]
fn Event(event: ReleaseEvent) -> impl IntoView {
    let (icon, class, words) = match event.kind {
        ReleaseEventKind::Created => (IconName::Plus, "event", "Draft started"),
        ReleaseEventKind::Submitted => (IconName::Upload, "event", "Submitted"),
        ReleaseEventKind::Examined => {
            (IconName::Clock, "event event-waiting", "All files examined; waiting for review")
        }
        ReleaseEventKind::FileFailed => {
            (IconName::Warning, "event event-bad", "A file could not be used; back to draft")
        }
        ReleaseEventKind::Withdrawn => (IconName::Back, "event", "Withdrawn"),
        ReleaseEventKind::Approved => (IconName::Check, "event event-good", "Approved and published"),
        ReleaseEventKind::Rejected => (IconName::Close, "event event-bad", "Rejected"),
        ReleaseEventKind::Revised => (IconName::Edit, "event", "Revision started"),
        ReleaseEventKind::FileDiscarded => (IconName::Trash, "event event-bad", "A failed file was discarded"),
        ReleaseEventKind::FileRetried => (IconName::Retry, "event", "A failed file was retried"),
    };
    view! {
        <li class=class>
            <span class="event-mark"><Icon name=icon/></span>
            <div class="event-body">
                <p class="event-words">{words}{event.actor.map(|actor| format!(" by {actor}"))}</p>
                <p class="event-time"><TimeAgo at=event.at/></p>
                {event.note.map(|note| view! { <blockquote class="event-note">{note}</blockquote> })}
            </div>
        </li>
    }
}
