//! The history of the storage's circuit breakers.

use leptos::prelude::*;
use vwaza::domain::operations::{CircuitChange, OperationsOverview};

use super::processes::process_name;
use crate::components::time_ago::TimeAgo;

#[component]
pub fn CircuitHistory(overview: Signal<Option<OperationsOverview>>) -> impl IntoView {
    let shown = Memo::new(move |_| {
        overview.with(|overview| {
            let overview = overview.as_ref()?;
            let open = overview.processes.iter().filter(|process| process.is_circuit_open).count();
            Some((open, overview.processes.len(), overview.circuit_changes.clone()))
        })
    });
    let present = move || shown.with(|shown| shown.as_ref().map(|(open, all, _)| present_words(*open, *all)));
    let history = move || {
        shown.get().map(|(_, _, changes)| match changes.is_empty() {
            true => view! { <p class="meta">"No change is recorded. Changes are kept for 90 days."</p> }.into_any(),
            false => view! { <ChangeList changes=changes/> }.into_any(),
        })
    };
    view! {
        <section class="section" aria-labelledby="circuit-title">
            <h2 class="section-title" id="circuit-title">"Circuit breaker"</h2>
            <p>{present}</p>
            {history}
        </section>
    }
}

fn present_words(open: usize, all: usize) -> String {
    match (open, all) {
        (_, 0) => "Unknown: no process has written its state lately.".to_owned(),
        (0, _) => "Closed: reads and writes go to the storage.".to_owned(),
        (open, all) if open == all => "Open: reads or writes wait until the storage answers.".to_owned(),
        (open, all) => {
            format!("Open in {open} of {all} processes: reads or writes wait there until the storage answers.")
        }
    }
}

#[component]
fn ChangeList(changes: Vec<CircuitChange>) -> impl IntoView {
    let rows = changes
        .into_iter()
        .map(|change| {
            let what = if change.is_open { "Opened" } else { "Closed" };
            view! { <li>{format!("{what} in process {}, ", process_name(change.spool))}<TimeAgo at=change.at/></li> }
        })
        .collect_view();
    view! { <ul class="plain-rows">{rows}</ul> }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_several_processes_is_one_sentence() {
        assert!(present_words(0, 0).starts_with("Unknown"));
        assert!(present_words(0, 2).starts_with("Closed"));
        assert!(present_words(2, 2).starts_with("Open:"));
        assert!(present_words(1, 2).starts_with("Open in 1 of 2"));
    }
}
