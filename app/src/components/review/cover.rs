//! The cover for the reviewer: large, in full size on demand, and with the facts of its file.

use leptos::{ev::MouseEvent, html, prelude::*};
use vwaza::domain::{
    files::{CoverView, original_url},
    media::format_bytes,
};

use super::{checksum::Checksum, finding_list::FindingList, findings::Finding, metadata::Fact};
use crate::components::{
    cover::{Cover, shown_cover},
    status::FileStatus,
};

#[component]
pub fn ReviewCover(cover: CoverView, title: String, findings: Vec<Finding>) -> impl IntoView {
    let alt = format!("Cover of {title}");
    let picture_alt = alt.clone();
    let state = cover.state();
    let shown = shown_cover(&cover);
    let Some(file) = cover.current else {
        return view! { <Cover object=None edge=640 alt=alt/> }.into_any();
    };
    let full_size = RwSignal::new(false);
    let address = original_url(file.object);
    let enlarge = move |event: MouseEvent| {
        // With Ctrl, Meta or Shift, the browser follows the link to the file, as it does without JavaScript.
        if !(event.ctrl_key() || event.meta_key() || event.shift_key()) {
            event.prevent_default();
            full_size.set(true);
        }
    };
    let facts = match &file.facts {
        Some(facts) => view! { <Fact label="Format" value=Some(facts.summary())/> }.into_any(),
        None => view! { <FileStatus state/> }.into_any(),
    };
    view! {
        <figure class="review-cover">
            <a href=address.clone() target="_blank" rel="external noopener" class="review-cover-link" on:click=enlarge>
                <Cover object=shown edge=640 alt=alt/>
                <span class="visually-hidden">"Show in full size"</span>
            </a>
            <figcaption class="review-cover-caption">
                <FindingList findings/>
                <dl class="facts review-facts">
                    {facts}
                    <Fact label="Size" value=Some(format_bytes(file.size_bytes.unsigned_abs()))/>
                    <Fact label="File" value=Some(file.file_name)/>
                    <Checksum sha256=file.sha256/>
                </dl>
            </figcaption>
        </figure>
        <FullSize open=full_size address=address alt=picture_alt/>
    }
    .into_any()
}

/// Shows the cover as large as the window allows. The browser fetches the file when the dialog opens.
#[component]
fn FullSize(open: RwSignal<bool>, address: String, alt: String) -> impl IntoView {
    let dialog = NodeRef::<html::Dialog>::new();
    Effect::new(move || {
        let Some(dialog) = dialog.get() else { return };
        if open.get() && !dialog.open() {
            // `show_modal` fails only for a dialog that is not in the page. Then there is nothing to show.
            drop(dialog.show_modal());
        }
    });
    let picture = {
        let address = address.clone();
        move || open.get().then(|| view! { <img class="full-size-picture" src=address.clone() alt=alt.clone()/> })
    };
    // The event comes a moment after the close. By then, somebody may have opened the dialog again.
    let on_close = move |_| {
        if !dialog.get_untracked().is_some_and(|dialog| dialog.open()) {
            open.set(false);
        }
    };
    view! {
        <dialog
            class="dialog full-size"
            node_ref=dialog
            aria-label="Cover in full size"
            on:close=on_close
        >
            {picture}
            <form method="dialog" class="full-size-foot">
                <a class="link" href=address target="_blank" rel="external noopener">
                    "Open the file"
                </a>
                <button class="btn">"Close"</button>
            </form>
        </dialog>
    }
}
