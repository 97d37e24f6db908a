//! The cover as the reviewer sees it: large, in full on demand, with what is known of its file.

use leptos::{ev::MouseEvent, prelude::*};
use vwaza::domain::{
    files::{CoverView, original_url},
    media::format_bytes,
};

use super::{checksum::Checksum, finding_list::FindingList, findings::Finding, metadata::Fact};
use crate::components::{
    cover::{Cover, shown_cover},
    dialog::Dialog,
    status::FileLine,
};

#[component]
pub fn ReviewCover(cover: CoverView, title: String, findings: Vec<Finding>) -> impl IntoView {
    let alt = format!("Cover of {title}");
    let state = cover.state();
    let shown = shown_cover(&cover);
    let Some(file) = cover.current else {
        return view! { <Cover object=None edge=640 alt=alt/> }.into_any();
    };
    let full_size = RwSignal::new(false);
    let address = original_url(file.object);
    let enlarge = move |event: MouseEvent| {
        // With a modifier the browser opens the file itself, as without JavaScript.
        if !(event.ctrl_key() || event.meta_key() || event.shift_key()) {
            event.prevent_default();
            full_size.set(true);
        }
    };
    let facts = match &file.facts {
        Some(facts) => view! { <Fact label="Format" value=Some(facts.summary())/> }.into_any(),
        None => view! { <FileLine state/> }.into_any(),
    };
    let picture = {
        let (address, alt) = (address.clone(), alt.clone());
        move || {
            full_size.get().then(|| {
                view! { <img class="mx-auto max-h-[75vh] w-auto max-w-full" src=address.clone() alt=alt.clone()/> }
            })
        }
    };
    view! {
        <figure class="grid gap-3">
            <a href=address.clone() target="_blank" rel="external noopener" class="block cursor-zoom-in" on:click=enlarge>
                <Cover object=shown edge=640 alt=alt/>
                <span class="visually-hidden">"Show in full size"</span>
            </a>
            <figcaption class="grid gap-2">
                <FindingList findings/>
                <dl class="facts *:contents">
                    {facts}
                    <Fact label="Size" value=Some(format_bytes(file.size_bytes.unsigned_abs()))/>
                    <Fact label="File" value=Some(file.file_name)/>
                    <Checksum sha256=file.sha256/>
                </dl>
            </figcaption>
        </figure>
        <Dialog open=full_size title="Cover in full size">
            {picture}
            <p>
                <a class="link" href=address target="_blank" rel="external noopener">
                    "Open the file"
                </a>
            </p>
        </Dialog>
    }
    .into_any()
}
