//! What went wrong and what to do, where there is no field to say it at.

use leptos::prelude::*;

use super::icon::{Icon, IconName};
use crate::error::AppError;

#[component]
pub fn ErrorNote(error: AppError) -> impl IntoView {
    let request = error.request_id.map(|id| view! { <p class="note-small">"Tell support: " <code>{id}</code></p> });
    view! {
        <div class="note note-bad" role="alert">
            <Icon name=IconName::Warning/>
            <div><p>{error.message}</p>{request}</div>
        </div>
    }
}
