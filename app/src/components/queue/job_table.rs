//! The table of jobs that wait and run, by kind.

use leptos::prelude::*;
use vwaza::domain::{
    queue::JobKind,
    queue_page::{JobCounts, format_wait},
};

/// The word for what a kind of job does.
pub fn kind_words(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Store => "Store",
        JobKind::Examine => "Examine",
    }
}

/// Shows the counts in a table that is narrow enough to stay a table on a phone.
#[component]
pub fn JobTable(jobs: Signal<Vec<JobCounts>>, oldest_due_seconds: Signal<Option<i64>>) -> impl IntoView {
    let rows = move || jobs.get().into_iter().map(|counts| view! { <JobRow counts=counts/> }).collect_view();
    let oldest = move || match oldest_due_seconds.get() {
        Some(seconds) => format!("The oldest job that is due has waited {}.", format_wait(seconds)),
        None => "No jobs are waiting.".to_owned(),
    };
    view! {
        <table class="table job-table">
            <caption class="visually-hidden">"Unfinished jobs by kind"</caption>
            <thead>
                <tr>
                    <th scope="col">"Job"</th>
                    <th scope="col" class="cell-number">"Due"</th>
                    <th scope="col" class="cell-number">"Later"</th>
                    <th scope="col" class="cell-number">"Running"</th>
                    <th scope="col" class="cell-number">"Failed"</th>
                </tr>
            </thead>
            <tbody>{rows}</tbody>
        </table>
        <p class="meta job-table-foot">{oldest}</p>
    }
}

#[component]
fn JobRow(counts: JobCounts) -> impl IntoView {
    let numbers = [counts.due, counts.later, counts.running, counts.failed]
        .into_iter()
        .map(|number| {
            let class = if number == 0 { "cell-number cell-quiet" } else { "cell-number" };
            view! { <td class=class>{number}</td> }
        })
        .collect_view();
    view! {
        <tr>
            <th scope="row">{kind_words(counts.kind)}</th>
            {numbers}
        </tr>
    }
}
