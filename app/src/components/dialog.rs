//! The browser's own dialog: it keeps the focus inside, closes on Escape and gives the focus back.

use leptos::{html, prelude::*};

use super::icon::{Icon, IconName};

/// A dialog that is shown while `open` is true. Every way to close it sets `open` to false.
#[component]
pub fn Dialog(open: RwSignal<bool>, #[prop(into)] title: String, children: Children) -> impl IntoView {
    let dialog = NodeRef::<html::Dialog>::new();
    Effect::new(move || {
        let Some(dialog) = dialog.get() else { return };
        match (open.get(), dialog.open()) {
            // `show_modal` fails only for a dialog that is not in the page. Then there is nothing to show.
            (true, false) => drop(dialog.show_modal()),
            (false, true) => dialog.close(),
            _ => {}
        }
    });
    let label = title.clone();
    // The event comes a moment after the close. By then, somebody may have opened the dialog again.
    let on_close = move |_| {
        if !dialog.get_untracked().is_some_and(|dialog| dialog.open()) {
            open.set(false);
        }
    };
    view! {
        <dialog class="dialog" node_ref=dialog aria-label=label on:close=on_close>
            <div class="dialog-head">
                <h2 class="dialog-title">{title}</h2>
                <button type="button" class="btn-icon" aria-label="Close" on:click=move |_| open.set(false)>
                    <Icon name=IconName::Close/>
                </button>
            </div>
            <div class="dialog-body">{children()}</div>
        </dialog>
    }
}
