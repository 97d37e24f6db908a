//! Short messages that have no place on the page.

use std::time::Duration;

use leptos::prelude::*;

use crate::error::AppError;

/// Time for which a message is shown. Errors stay until somebody dismisses them.
const SHOWN_FOR: Duration = Duration::from_secs(6);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toast {
    pub id: u64,
    pub text: String,
    pub is_error: bool,
}

#[derive(Clone, Copy)]
pub struct Toasts {
    shown: RwSignal<Vec<Toast>>,
    next_id: StoredValue<u64>,
}

pub fn provide() {
    provide_context(Toasts { shown: RwSignal::new(Vec::new()), next_id: StoredValue::new(0) });
}

impl Toasts {
    pub fn get() -> Self {
        expect_context()
    }

    pub fn list(self) -> Vec<Toast> {
        self.shown.get()
    }

    /// Shows a message for a few seconds. Call this from event handlers and effects only, because a server has nobody
    /// to show it to.
    pub fn show(self, text: impl Into<String>) {
        let id = self.add(text.into(), false);
        set_timeout(move || self.dismiss(id), SHOWN_FOR);
    }

    pub fn error(self, error: &AppError) {
        self.add(error.user_message(), true);
    }

    pub fn dismiss(self, id: u64) {
        self.shown.update(|shown| shown.retain(|toast| toast.id != id));
    }

    fn add(self, text: String, is_error: bool) -> u64 {
        let id = self.next_id.get_value();
        self.next_id.set_value(id + 1);
        self.shown.update(|shown| {
            // A message replaces an older one with the same text, because nobody needs to read it twice.
            shown.retain(|toast| toast.text != text);
            shown.push(Toast { id, text, is_error });
        });
        id
    }
}
