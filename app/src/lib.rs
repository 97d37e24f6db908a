//! What people see: pages, the components they are made of, and the server functions that they call.
//!
//! Compiled twice: with `ssr` into the server, with `hydrate` to WebAssembly for the browser.

// Views of whole pages are deeply nested types.
#![recursion_limit = "512"]

pub mod api;
mod app;
pub mod components;
pub mod error;
pub mod pages;
pub mod state;

pub use app::{App, SiteFiles};

#[cfg(feature = "ssr")]
pub use app::shell;

#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(App);
}
