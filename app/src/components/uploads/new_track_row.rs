//! A file on its way to become a track that the server has not made yet.

use leptos::prelude::*;
use vwaza::domain::track::title_from_file_name;

use super::progress::UploadProgress;
use crate::state::uploads::{Command, Task};

#[component]
pub fn NewTrackRow(
    task: Task,
    /// Where to come back to after signing in.
    #[prop(into)]
    address: String,
    on_command: Callback<Command>,
) -> impl IntoView {
    let title = title_from_file_name(&task.file_name);
    view! {
        <tr class="track-row" role="row">
            <td class="track-row-order" role="cell"></td>
            <td class="track-row-title" role="cell">{title}</td>
            <td class="track-row-audio" role="cell">
                <UploadProgress task=task address=address on_command=on_command/>
            </td>
            <td class="track-row-length" role="cell"></td>
            <td class="track-row-actions" role="cell"></td>
        </tr>
    }
}
