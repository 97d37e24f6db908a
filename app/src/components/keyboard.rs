//! Keys that work anywhere on a page.

use leptos::{ev::KeyboardEvent, prelude::*, wasm_bindgen::JsCast, web_sys::Element};

/// Calls `handler` for keys that nothing else wants: not while somebody types, chooses, drags a slider or answers a dialog, nor
/// together with Ctrl, Alt or Meta. The handler says whether it took the key.
pub fn on_key(handler: impl Fn(&str) -> bool + 'static) {
    Effect::new({
        let handler = std::rc::Rc::new(handler);
        move || {
            let handler = handler.clone();
            let listener = window_event_listener(leptos::ev::keydown, move |event| {
                if is_free(&event) && handler(&event.key()) {
                    event.prevent_default();
                }
            });
            on_cleanup(move || listener.remove());
        }
    });
}

fn is_free(event: &KeyboardEvent) -> bool {
    if event.default_prevented() || event.ctrl_key() || event.alt_key() || event.meta_key() {
        return false;
    }
    let Some(target) = event.target().and_then(|target| target.dyn_into::<Element>().ok()) else { return true };
    let wanted_by = |selector| target.closest(selector).is_ok_and(|found| found.is_some());
    let presses = matches!(event.key().as_str(), " " | "Enter");
    !(wanted_by("input, textarea, select, [contenteditable], dialog") || presses && wanted_by("a, button, summary"))
}
