//! The interface: pages, the components they are made of, and the server functions that they call.
//!
//! The crate is compiled twice: with `ssr` into the server, with `hydrate` to WebAssembly for the browser.

// Views of whole pages are deeply nested types.
#![recursion_limit = "512"]

pub mod api;
mod app;
pub mod components;
pub mod error;
mod json;
pub mod pages;
pub mod state;

pub use app::App;
#[cfg(feature = "ssr")]
pub use app::{SiteFiles, form_problem, shell};

/// Hydrates the page that the server has rendered, then sets `data-alive` on the document's element.
#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub async fn hydrate() {
    use leptos::prelude::document;

    console_error_panic_hook::set_once();
    let Some(body) = document().body() else { return };
    leptos::mount::hydrate_from_async(body, App).await.forget();
    if let Some(root) = document().document_element() {
        // The call fails only for an invalid name.
        let _ = root.set_attribute("data-alive", "");
        state::live::page_is_alive();
    }
}
