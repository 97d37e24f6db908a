//! A file whose track the server has not created yet.

use leptos::prelude::*;
use vwaza::domain::media::ACCEPT_AUDIO;

use super::{file_button::FileButton, progress::UploadProgress};
use crate::{
    components::{
        focus,
        icon::{Icon, IconName},
    },
    state::uploads::{Command, Files, Task, TaskState},
};

#[component]
pub fn NewTrackRow(
    task: Task,
    /// The address that the browser comes back to after a sign-in.
    #[prop(into)]
    address: String,
    on_command: Callback<Command>,
    /// Called with files that replace the refused one.
    on_files: Callback<Files>,
) -> impl IntoView {
    let title = task.title();
    let state = task.clone();
    let refusal = Memo::new(move |_| match state.state() {
        TaskState::Refused(why) => Some(why),
        _ => None,
    });
    let (task, address) = (StoredValue::new(task), StoredValue::new(address));
    let audio = {
        let title = title.clone();
        move || match refusal.get() {
            Some(why) => view! { <RefusedFile task=task.get_value() title=title.clone() why on_files/> }.into_any(),
            None => view! { <UploadProgress task=task.get_value() address=address.get_value() on_command/> }.into_any(),
        }
    };
    let remove = format!("Remove “{title}”");
    view! {
        <tr class="track-row" role="row">
            <td class="track-row-order" role="cell"></td>
            <td class="track-row-title" role="cell">{title}</td>
            <td class="track-row-audio" role="cell">{audio}</td>
            <td class="track-row-length" role="cell"></td>
            <td class="track-row-actions" role="cell">
                <Show when=move || refusal.with(Option::is_some)>
                    <button
                        type="button"
                        class="btn-icon"
                        aria-label=remove.clone()
                        on:click=move |_| {
                            on_command.run(Command::Cancel);
                            focus::on("#step");
                        }
                    >
                        <Icon name=IconName::Trash/>
                    </button>
                </Show>
            </td>
        </tr>
    }
}

/// A file that was refused and has no track. Its row is removed, or gets another file.
#[component]
fn RefusedFile(task: Task, title: String, why: String, on_files: Callback<Files>) -> impl IntoView {
    view! {
        <div class="upload upload-note upload-bad">
            <p class="upload-line">
                <Icon name=IconName::Warning/>
                {format!("{} was not accepted. {why}", task.file_name)}
            </p>
            <div class="upload-actions">
                <FileButton
                    id=format!("new-track-{}-again", task.id)
                    name=format!("Choose another file for “{title}”")
                    label="Choose another"
                    accept=ACCEPT_AUDIO
                    target=task.target
                    on_files
                />
            </div>
        </div>
    }
}
