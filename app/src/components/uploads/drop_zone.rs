//! Takes files that are dropped anywhere on the page, or chosen. Without scripts it is a plain form.

use leptos::{ev, prelude::*};
use vwaza::domain::upload::UploadTarget;

use super::{FORM_ADDRESS, file_input::FileInput};
use crate::{
    components::{
        focus,
        icon::{Icon, IconName},
    },
    state::uploads::{Files, holds_files},
};

/// One file or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    One,
    Many,
}

#[component]
pub fn DropZone(
    /// The id of the file input.
    id: &'static str,
    /// Says what can be dropped here: "Drop audio files anywhere on this page".
    invitation: &'static str,
    /// The text of the button: "Choose audio files".
    button: &'static str,
    /// Which files are taken.
    #[prop(into)]
    limits: String,
    accept: &'static str,
    amount: Amount,
    target: UploadTarget,
    /// Sentences about the files that were chosen or dropped last.
    #[prop(into)]
    notes: Signal<Vec<String>>,
    on_files: Callback<Files>,
    on_dismiss: Callback<()>,
) -> impl IntoView {
    let over = take_drops(on_files);
    let limits_id = format!("{id}-limits");
    view! {
        <div>
            <form
                class="drop-zone"
                data-over=move || over.get().then_some("true")
                method="post"
                action=FORM_ADDRESS
                enctype="multipart/form-data"
            >
                <input type="hidden" name="target" value=target.to_string()/>
                <Icon name=IconName::Upload/>
                <p class="drop-zone-invitation script-only">{invitation}</p>
                <FileInput
                    id=id.to_owned()
                    accept=accept
                    multiple=amount == Amount::Many
                    described_by=limits_id.clone()
                    on_files=on_files
                />
                <label class="btn btn-primary" for=id>{button}</label>
                <button type="submit" class="btn no-script-only">"Upload"</button>
                <p class="hint" id=limits_id>{limits}</p>
            </form>
            <Notes notes on_dismiss/>
        </div>
    }
}

/// Takes files that are dropped anywhere on the page, because a browser would leave the page for a file that misses a
/// small target. The signal is true while files are dragged over the page.
fn take_drops(on_files: Callback<Files>) -> RwSignal<bool> {
    let over = RwSignal::new(false);
    let listeners = [
        window_event_listener(ev::dragover, move |event| {
            if holds_files(&event) {
                event.prevent_default();
                over.set(true);
            }
        }),
        window_event_listener(ev::dragleave, move |event| {
            if event.related_target().is_none() {
                over.set(false);
            }
        }),
        window_event_listener(ev::drop, move |event| {
            over.set(false);
            if holds_files(&event) {
                event.prevent_default();
                on_files.run(Files::dropped(&event));
            }
        }),
    ];
    on_cleanup(move || listeners.into_iter().for_each(WindowListenerHandle::remove));
    over
}

/// The notes. Their `role="status"` is in the page from the start, so that a screen reader reads new ones.
#[component]
fn Notes(notes: Signal<Vec<String>>, on_dismiss: Callback<()>) -> impl IntoView {
    view! {
        <div role="status">
            <Show when=move || notes.with(|notes| !notes.is_empty())>
                <div class="drop-notes">
                    <Icon name=IconName::Info/>
                    <ul>{move || notes.get().into_iter().map(|note| view! { <li>{note}</li> }).collect_view()}</ul>
                    <button
                        type="button"
                        class="btn-icon"
                        aria-label="Close this note"
                        on:click=move |_| {
                            on_dismiss.run(());
                            focus::on("#step");
                        }
                    >
                        <Icon name=IconName::Close/>
                    </button>
                </div>
            </Show>
        </div>
    }
}
