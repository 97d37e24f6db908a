//! Makes the browser ask before it closes the tab, while only this tab has something that is still to be sent.

use leptos::{ev, leptos_dom::helpers::WindowListenerHandle, prelude::*};

pub(super) struct UnsavedWarning(Option<WindowListenerHandle>);

impl UnsavedWarning {
    pub(super) fn new() -> Self {
        Self(Some(window_event_listener(ev::beforeunload, |event| event.prevent_default())))
    }
}

impl Drop for UnsavedWarning {
    fn drop(&mut self) {
        if let Some(listener) = self.0.take() {
            listener.remove();
        }
    }
}
