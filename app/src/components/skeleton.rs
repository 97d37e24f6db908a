//! The shape of a page that is being fetched.

use leptos::prelude::*;

#[component]
pub fn Skeleton() -> impl IntoView {
    view! {
        <div class="page" aria-busy="true">
            <p class="visually-hidden" role="status">"Loading"</p>
            <div class="skeleton skeleton-title"></div>
            <div class="skeleton skeleton-row"></div>
            <div class="skeleton skeleton-row"></div>
            <div class="skeleton skeleton-row"></div>
        </div>
    }
}
