//! Keys that work anywhere on a page.

use leptos::{
    ev::KeyboardEvent,
    prelude::*,
    wasm_bindgen::JsCast,
    web_sys::{Element, HtmlElement},
};

/// Calls `handler` for keys that nothing else handles. Keys are ignored while somebody types, chooses, drags a slider
/// or answers a dialog, and together with Ctrl, Alt or Meta. `handler` returns whether it handled the key.
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

/// Lets J and K focus the next and the previous row of the page's lists. In a row, the link or the element with
/// `data-row` gets the focus.
pub fn list_keys() {
    const ROWS: &str = "main .card-link, main [data-row]";
    on_key(|key| {
        let by = match key {
            "j" | "J" => 1,
            "k" | "K" => -1,
            _ => return false,
        };
        let Ok(found) = document().query_selector_all(ROWS) else { return false };
        let rows: Vec<HtmlElement> =
            (0..found.length()).filter_map(|index| found.item(index)?.dyn_into::<HtmlElement>().ok()).collect();
        let focused = document().active_element();
        let row_of = |element: &Element| element.closest("li, tr").ok().flatten();
        let current = focused.and_then(|focused| {
            let row = row_of(&focused)?;
            rows.iter().position(|each| row_of(each).as_ref() == Some(&row))
        });
        let next = match current {
            None => Some(0),
            Some(index) => index.checked_add_signed(by),
        };
        let Some(next) = next.and_then(|index| rows.get(index)) else { return false };
        next.focus().is_ok()
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
