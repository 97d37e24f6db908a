//! The processes that run, with their memory and the room on their disks.

use leptos::prelude::*;
use vwaza::domain::{
    ids::SpoolId,
    operations::{OperationsOverview, ProcessFigures},
};

use super::charts::bytes_words;

/// A short name for the process that has this spool. The end of the id differs, its begin is a time.
pub fn process_name(spool: SpoolId) -> String {
    let id = spool.to_string();
    id[id.len() - 6..].to_owned()
}

#[component]
pub fn ProcessTable(overview: Signal<Option<OperationsOverview>>) -> impl IntoView {
    let processes = Memo::new(move |_| {
        overview.with(|overview| overview.as_ref().map(|overview| overview.processes.clone()).unwrap_or_default())
    });
    let rows =
        move || processes.get().into_iter().map(|process| view! { <ProcessRow process=process/> }).collect_view();
    view! {
        <section class="section" aria-labelledby="processes-title">
            <h2 class="section-title" id="processes-title">"Processes"</h2>
            <table class="table job-table">
                <caption class="visually-hidden">"Processes that run"</caption>
                <thead>
                    <tr>
                        <th scope="col">"Process"</th>
                        <th scope="col" class="cell-number">"Memory"</th>
                        <th scope="col" class="cell-number">"Spool"</th>
                        <th scope="col" class="cell-number">"Storage"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
            <p class="meta job-table-foot">"Spool and storage show how much room is left on their disks. A bucket has no disk of ours."</p>
        </section>
    }
}

#[component]
fn ProcessRow(process: ProcessFigures) -> impl IntoView {
    let cells = [process.memory_bytes, process.spool_free_bytes, process.storage_free_bytes]
        .map(|bytes| match bytes {
            Some(bytes) => view! { <td class="cell-number">{bytes_words(bytes)}</td> }.into_any(),
            None => view! { <td class="cell-number cell-quiet">"–"</td> }.into_any(),
        })
        .collect_view();
    view! { <tr><th scope="row">{process_name(process.spool)}</th>{cells}</tr> }
}
