//! The table of files that keep their facts although a newer examination differs.

use leptos::prelude::*;
use vwaza::domain::queue_page::ChangedFile;

use super::dead_letters::ReleaseLink;
use crate::components::{
    review::table::{Column, Table},
    time_ago::TimeAgo,
};

const COLUMNS: [Column; 5] = [
    Column::text("File"),
    Column::text("Release"),
    Column::text("Result when published"),
    Column::text("Result now"),
    Column::text("Found"),
];

#[component]
pub fn ChangedFileTable(files: Signal<Vec<ChangedFile>>) -> impl IntoView {
    view! {
        <Table caption="Files whose results have changed, the latest first" columns=COLUMNS.to_vec()>
            <For each=move || files.get() key=|file| (file.object, file.found_at) let:file>
                <FileRow file=file/>
            </For>
        </Table>
    }
}

#[component]
fn FileRow(file: ChangedFile) -> impl IntoView {
    view! {
        <tr role="row" class="file-row">
            <td role="cell"><span class="cell-title cell-words">{file.file_name}</span></td>
            <td role="cell">
                <ReleaseLink release=Some(file.release)/>
                <span class="cell-more">{file.artist_name}</span>
            </td>
            <td role="cell">
                <span class="cards-only">"Result when published: "</span>
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
        </tr>
    }
}
