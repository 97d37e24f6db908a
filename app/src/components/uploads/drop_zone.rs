//! A place for files: dropped anywhere on the page, or chosen; without scripts a plain form.

use leptos::{ev, prelude::*};
use vwaza::domain::{problem::Problem, upload::UploadTarget};

use super::{FORM_ADDRESS, file_input::FileInput};
use crate::{
    components::icon::{Icon, IconName},
    error::AppError,
    state::{
        toasts::Toasts,
        uploads::{Files, holds_files, holds_folders},
    },
};

/// One file or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    One,
    Many,
}

#[component]
pub fn DropZone(
    /// Of the file input.
    id: &'static str,
    /// What is dropped here: "Drop audio files anywhere on this page".
    invitation: &'static str,
    /// On the button: "Choose audio files".
    button: &'static str,
    /// What is taken, said beforehand.
    #[prop(into)]
    limits: String,
    accept: &'static str,
    amount: Amount,
    target: UploadTarget,
    on_files: Callback<Files>,
) -> impl IntoView {
    let toasts = Toasts::get();
    let over = RwSignal::new(false);
    // A file dropped beside a small target would make the browser leave the page: so the whole page is the target.
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
                if holds_folders(&event) {
                    toasts.error(&folder_refused());
                }
                on_files.run(Files::dropped(&event));
            }
        }),
    ];
    on_cleanup(move || listeners.into_iter().for_each(WindowListenerHandle::remove));

    let limits_id = format!("{id}-limits");
    view! {
        <form
            class="drop-zone"
            data-over=move || over.get().then_some("true")
            method="post"
            action=FORM_ADDRESS
            enctype="multipart/form-data"
        >
            <input type="hidden" name="target" value=target.to_string()/>
            <Icon name=IconName::Upload/>
            <p class="drop-zone-invitation noscript:hidden">{invitation}</p>
            <FileInput
                id=id.to_owned()
                accept=accept
                multiple=amount == Amount::Many
                described_by=limits_id.clone()
                on_files=on_files
            />
            <label class="btn btn-primary" for=id>{button}</label>
            <button type="submit" class="btn hidden noscript:inline-flex">"Upload"</button>
            <p class="hint" id=limits_id>{limits}</p>
        </form>
    }
}

fn folder_refused() -> AppError {
    Problem::BadRequest("A folder cannot be uploaded. Open the folder and drop the files in it.".into()).into()
}
