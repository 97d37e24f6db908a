//! Moves the keyboard's focus to the element where the person continues. These functions do nothing on the server.

#[cfg(feature = "hydrate")]
mod browser {
    use std::time::Duration;

    use leptos::{
        prelude::{document, request_animation_frame, set_timeout},
        wasm_bindgen::JsCast,
        web_sys::HtmlElement,
    };

    /// Number of tries to focus an element that is not in the page yet. Together they give a page that is being fetched
    /// two seconds to bring the element.
    const TRIES: u32 = 20;
    const BETWEEN_TRIES: Duration = Duration::from_millis(100);

    fn focus(selector: &str) -> bool {
        let found = document().query_selector(selector).ok().flatten();
        let element = found.and_then(|element| element.dyn_into::<HtmlElement>().ok());
        element.is_some_and(|element| element.focus().is_ok())
    }

    pub(super) fn soon(selector: String) {
        request_animation_frame(move || {
            focus(&selector);
        });
    }

    pub(super) fn when_there(selector: String, tries: u32) {
        if !focus(&selector) && tries < TRIES {
            set_timeout(move || when_there(selector, tries + 1), BETWEEN_TRIES);
        }
    }
}

/// Focuses the first element that matches a CSS selector, in the next frame. By then the latest change is in the page.
#[cfg_attr(not(feature = "hydrate"), expect(unused_variables, reason = "only a browser has a focus"))]
pub fn on(selector: &str) {
    #[cfg(feature = "hydrate")]
    browser::soon(selector.to_owned());
}

/// Focuses the first field that was refused.
pub fn first_invalid() {
    on("[aria-invalid=true]");
}

/// Focuses the element that an address names behind `#`, as soon as the page has it.
#[cfg_attr(not(feature = "hydrate"), expect(unused_variables, reason = "only a browser has a focus"))]
pub fn anchor(id: &str) {
    // An address may hold any text. Only text that can be an id of ours gets into the selector.
    #[cfg(feature = "hydrate")]
    if !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
        browser::when_there(format!("[id='{id}']"), 0);
    }
}
