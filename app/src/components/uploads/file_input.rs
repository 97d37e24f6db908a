//! The file input of every upload.

use leptos::{html, prelude::*};

use crate::state::uploads::Files;

/// A file input that is hidden from sight, because its label is the button. Files that were chosen before the page came
/// alive are taken once it is.
#[component]
pub fn FileInput(
    /// Unique in the page.
    id: String,
    accept: &'static str,
    #[prop(optional)] multiple: bool,
    /// The name for screen readers, if the label's text makes no sense alone.
    #[prop(optional, into)]
    name: MaybeProp<String>,
    /// The id of the element that says which files are taken.
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

    // Autocomplete is off, because a browser would restore the files of before a reload.
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
