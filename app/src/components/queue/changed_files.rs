//! The table of files that keep their facts although a newer examination differs.

use leptos::prelude::*;
use vwaza::domain::queue_page::ChangedFile;

use super::dead_letters::ReleaseLink;
use crate::components::{
    review::table::{Column, LONG_WORDS, Table},
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
        <tr role="row" class="max-md:grid max-md:gap-1 max-md:border-t max-md:border-line max-md:px-2 max-md:py-3">
            <td role="cell"><span class=format!("font-medium {LONG_WORDS}")>{file.file_name}</span></td>
            <td role="cell">
                <ReleaseLink release=Some(file.release)/>
                <span class="block"><span class=format!("text-muted {LONG_WORDS}")>{file.artist_name}</span></span>
            </td>
            <td role="cell">
                <span class="md:hidden">"Result when published: "</span>
                <span class=LONG_WORDS>{file.was}</span>
            </td>
            <td role="cell">
                <span class="md:hidden">"Result now: "</span>
                <span class=LONG_WORDS>{file.is}</span>
            </td>
            <td role="cell" class="whitespace-nowrap">
                <span class="md:hidden">"Found "</span>
                <TimeAgo at=file.found_at/>
            </td>
        </tr>
    }
}
