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
    view! {
        <dialog class="dialog" node_ref=dialog aria-label=label on:close=move |_| open.set(false)>
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
