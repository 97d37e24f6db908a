//! A note that says what went wrong and what to do. It is for errors that belong to no field.

use leptos::prelude::*;

use super::{
    countdown::TryAgainIn,
    icon::{Icon, IconName},
    page_error::support_id_line,
};
use crate::error::AppError;

#[component]
pub fn ErrorNote(error: AppError) -> impl IntoView {
    let request = support_id_line(&error);
    let message = error.user_message();
    let wait = error.retry_after.map(|seconds| view! { " " <TryAgainIn seconds=seconds/> });
    view! {
        <div class="note note-bad" role="alert">
            <Icon name=IconName::Warning/>
            <div><p>{message}{wait}</p>{request}</div>
        </div>
    }
}
