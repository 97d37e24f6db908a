//! What went wrong and what to do, where there is no field to say it at.

use leptos::prelude::*;

use super::{
    countdown::TryAgainIn,
    icon::{Icon, IconName},
};
use crate::error::AppError;

#[component]
pub fn ErrorNote(error: AppError) -> impl IntoView {
    // A client that was too fast has nothing to ask support for.
    let request = error
        .request_id
        .clone()
        .filter(|_| error.retry_after.is_none())
        .map(|id| view! { <p class="note-small">"Tell support: " <code>{id}</code></p> });
    let message = error.words();
    let wait = error.retry_after.map(|seconds| view! { " " <TryAgainIn seconds=seconds/> });
    view! {
        <div class="note note-bad" role="alert">
            <Icon name=IconName::Warning/>
            <div><p>{message}{wait}</p>{request}</div>
        </div>
    }
}
