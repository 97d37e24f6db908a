//! Short messages that have no place on the page.

use leptos::prelude::*;

use super::{
    focus,
    icon::{Icon, IconName},
};
use crate::state::toasts::{Toast, Toasts};

#[component]
pub fn Toaster() -> impl IntoView {
    let toasts = Toasts::get();
    view! {
        <div class="toaster" role="status" aria-live="polite">
            <For each=move || toasts.list() key=|toast| toast.id let:toast>
                <ToastView toast=toast/>
            </For>
        </div>
    }
}

#[component]
fn ToastView(toast: Toast) -> impl IntoView {
    let id = toast.id;
    let (class, icon) =
        if toast.is_error { ("toast toast-bad", IconName::Warning) } else { ("toast", IconName::Check) };
    view! {
        <div class=class>
            <Icon name=icon/>
            <p>{toast.text}</p>
            <button type="button" class="btn-icon" aria-label="Dismiss" on:click=move |_| {
                Toasts::get().dismiss(id);
                focus::on("#main");
            }>
                <Icon name=IconName::Close/>
            </button>
        </div>
    }
}
