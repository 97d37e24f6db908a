//! The logo: a level meter whose bars make a V.

use leptos::prelude::*;

#[component]
pub fn Logo() -> impl IntoView {
    view! {
        <svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
            <path d="M5 7v6M10.5 7v11.5M16 7v18M21.5 7v11.5M27 7v6"></path>
        </svg>
    }
}
