//! The table of files that keep their facts although a newer examination differs. An admin dismisses what they have
//! read.

use leptos::prelude::*;
use vwaza::domain::queue_page::ChangedFile;

use super::dead_letters::ReleaseLink;
use crate::{
    api::queue::DismissChangedFile,
    components::{
        form::SubmitButton,
        icon::IconName,
        review::table::{Column, Table},
        time_ago::TimeAgo,
    },
};

const COLUMNS: [Column; 6] = [
    Column::text("File"),
    Column::text("Release"),
    Column::text("Result before"),
    Column::text("Result now"),
    Column::text("Found"),
    Column::picture("Actions"),
];

#[component]
pub fn ChangedFileTable(files: Signal<Vec<ChangedFile>>, dismiss: ServerAction<DismissChangedFile>) -> impl IntoView {
    view! {
        <Table caption="Changed files, the latest first" columns=COLUMNS.to_vec()>
            <For each=move || files.get() key=|file| (file.object, file.revision) let:file>
                <FileRow file=file dismiss=dismiss/>
            </For>
        </Table>
    }
}

#[component]
fn FileRow(file: ChangedFile, dismiss: ServerAction<DismissChangedFile>) -> impl IntoView {
    let label = format!("Dismiss “{}”", file.file_name);
    view! {
        <tr role="row" class="file-row">
            <td role="cell"><span class="cell-title cell-words">{file.file_name}</span></td>
            <td role="cell">
                <ReleaseLink release=Some(file.release)/>
                <span class="cell-more">{file.artist_name}</span>
            </td>
            <td role="cell">
                <span class="cards-only">"Result before: "</span>
                <span class="cell-words">{file.was}</span>
            </td>
            <td role="cell">
                <span class="cards-only">"Result now: "</span>
                <span class="cell-words">{file.is}</span>
            </td>
            <td role="cell" class="cell-time">
                <span class="cards-only">"Found "</span>
                <TimeAgo at=file.found_at/>
            </td>
            <td role="cell">
                <div class="cell-actions">
                    <ActionForm action=dismiss>
                        <input type="hidden" name="id" value=file.object.to_string()/>
                        <input type="hidden" name="revision" value=file.revision.to_string()/>
                        <SubmitButton
                            pending=dismiss.pending()
                            label="Dismiss"
                            class="btn btn-small"
                            icon=IconName::Check
                            attr:aria-label=label
                            attr:data-row=""
                        />
                    </ActionForm>
                </div>
            </td>
        </tr>
    }
}
