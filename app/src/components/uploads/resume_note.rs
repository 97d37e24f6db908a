//! A note about an upload that this tab does not send. Either it was begun before a reload, or it was refused.

use leptos::prelude::*;
use vwaza::domain::{
    files::PendingUpload,
    upload::{UploadState, UploadTarget},
};

use super::file_button::FileButton;
use crate::{
    components::{
        focus,
        icon::{Icon, IconName},
    },
    state::uploads::{Files, Progress},
};

#[component]
pub fn ResumeNote(
    pending: PendingUpload,
    target: UploadTarget,
    accept: &'static str,
    /// The id of the file input, unique in the page.
    #[prop(into)]
    id: String,
    on_files: Callback<Files>,
    /// Cancels the upload, or dismisses its refusal.
    on_cancel: Callback<()>,
) -> impl IntoView {
    let (line, choose) = note_of(&pending)?;
    let name = pending.file_name;
    let is_bad = pending.state != UploadState::Receiving;
    let cancel = format!("{}: {name}", if is_bad { "Dismiss" } else { "Cancel the upload" });
    let choose = choose.map(|label| {
        let choose_name = format!("{label}: {name}");
        view! { <FileButton id=id name=choose_name label=label accept=accept target=target on_files=on_files/> }
    });
    let note = view! {
        <div class="upload upload-note" class:upload-bad=is_bad>
            <p class="upload-line">
                {is_bad.then(|| view! { <Icon name=IconName::Warning/> })}
                {line}
            </p>
            <div class="upload-actions">
                {choose}
                <button type="button" class="btn-icon script-only" aria-label=cancel on:click=move |_| {
                    on_cancel.run(());
                    focus::on("#step");
                }>
                    <Icon name=IconName::Close/>
                </button>
            </div>
        </div>
    };
    Some(note)
}

/// The note, and the label of a button that chooses a file. `None` if nobody can do anything about the upload.
fn note_of(pending: &PendingUpload) -> Option<(String, Option<&'static str>)> {
    let name = &pending.file_name;
    // Nothing is left to send.
    let is_whole = pending.offset >= pending.length;
    Some(match pending.state {
        UploadState::Receiving if is_whole => (format!("{name} has arrived. We are checking it."), None),
        UploadState::Receiving => {
            let arrived = Progress {
                sent: pending.offset.unsigned_abs(),
                total: pending.length.unsigned_abs(),
                bytes_per_second: None,
            };
            (format!("{} arrived. Choose the same file to continue: {name}", arrived.amount()), Some("Choose the file"))
        }
        UploadState::Refused => {
            let why = pending.message.clone().unwrap_or_else(|| "We can't use this file.".into());
            (format!("{name} was not accepted. {why}"), Some("Choose another"))
        }
        UploadState::Failed => {
            let why = pending.message.clone().unwrap_or_else(|| "We could not store the file.".into());
            (format!("{name} needs your attention. {why}"), Some("Choose it again"))
        }
        UploadState::Discarded => {
            let why = pending.message.clone().unwrap_or_else(|| "Upload it again.".into());
            (format!("An admin discarded {name}. {why}"), Some("Choose another"))
        }
        // Nobody can do anything about the other states.
        _ => return None,
    })
}
