//! The links between the two operations pages.

use leptos::prelude::*;
use leptos_router::components::A;

#[component]
pub fn OperationsTabs() -> impl IntoView {
    view! {
        <nav aria-label="Operations">
            <ul class="tabs">
                <li><A href="/admin/operations" exact=true attr:class="tab">"Overview"</A></li>
                <li><A href="/admin/queue" exact=true attr:class="tab">"Jobs"</A></li>
            </ul>
        </nav>
    }
}
