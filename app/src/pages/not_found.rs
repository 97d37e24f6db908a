//! The page for an address that leads nowhere.

use leptos::prelude::*;

use crate::components::page_error::NotFoundError;

#[component]
pub fn NotFound() -> impl IntoView {
    view! { <NotFoundError/> }
}
