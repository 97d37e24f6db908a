//! The file input that every upload begins at.

use leptos::{html, prelude::*};

use crate::state::uploads::Files;

/// Hidden from sight: its label is the button. What was chosen before the page came alive is taken as soon as it is.
#[component]
pub fn FileInput(
    /// Unique in the page.
    id: String,
    accept: &'static str,
    #[prop(optional)] multiple: bool,
    /// In words that make sense alone, where the label's do not.
    #[prop(optional, into)]
    name: MaybeProp<String>,
    /// The element that says what is taken.
    #[prop(optional, into)]
    described_by: Option<String>,
    on_files: Callback<Files>,
) -> impl IntoView {
    let input = NodeRef::<html::Input>::new();
    let take = move || {
        let files = input.get_untracked().map(|input| Files::chosen(&input)).unwrap_or_default();
        if !files.is_empty() {
            on_files.run(files);
        }
    };
    input.on_load(move |_| take());

    // Without autocomplete a browser fills in again what was chosen before a reload.
    view! {
        <input
            node_ref=input
            class="visually-hidden"
            type="file"
            id=id
            name="file"
            accept=accept
            multiple=multiple
            autocomplete="off"
            aria-label=move || name.get()
            aria-describedby=described_by
            on:change=move |_| take()
        />
    }
}
