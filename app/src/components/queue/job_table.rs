//! How much waits and runs, by kind of job.

use leptos::prelude::*;
use vwaza::domain::{
    queue::JobKind,
    queue_page::{JobCounts, format_wait},
};

/// What a kind of job does, in a word.
pub fn kind_words(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Store => "Store",
        JobKind::Examine => "Examine",
    }
}

/// Narrow enough to stay a table on a phone.
#[component]
pub fn JobTable(jobs: Signal<Vec<JobCounts>>, oldest_due_seconds: Signal<Option<i64>>) -> impl IntoView {
    let rows = move || jobs.get().into_iter().map(|counts| view! { <JobRow counts=counts/> }).collect_view();
    let oldest = move || match oldest_due_seconds.get() {
        Some(seconds) => format!("The oldest job that is due has waited {}.", format_wait(seconds)),
        None => "No jobs are waiting.".to_owned(),
    };
    view! {
        <table class="table max-w-[42rem] max-md:[&_td]:px-2 max-md:[&_th]:px-2">
            <caption class="visually-hidden">"Unfinished jobs by kind"</caption>
            <thead>
                <tr>
                    <th scope="col">"Job"</th>
                    <th scope="col" class="text-end">"Due"</th>
                    <th scope="col" class="text-end">"Later"</th>
                    <th scope="col" class="text-end">"Running"</th>
                    <th scope="col" class="text-end">"Failed"</th>
                </tr>
            </thead>
            <tbody>{rows}</tbody>
        </table>
        <p class="meta mt-2">{oldest}</p>
    }
}

#[component]
fn JobRow(counts: JobCounts) -> impl IntoView {
    let numbers = [counts.due, counts.later, counts.running, counts.failed]
        .into_iter()
        .map(|number| {
            let class = if number == 0 { "text-end text-muted" } else { "text-end" };
            view! { <td class=class>{number}</td> }
        })
        .collect_view();
    view! {
        <tr>
            <th scope="row" class="border-t border-line">{kind_words(counts.kind)}</th>
            {numbers}
        </tr>
    }
}
