//! The integrity check: its last result, the run that goes on, and the button that starts one.

use leptos::prelude::*;
use vwaza::domain::{
    integrity::{DamagedObject, IntegrityRun},
    operations::OperationsOverview,
    queue_page::ReleaseRef,
};

use super::charts::bytes_words;
use crate::{
    api::operations::CheckIntegrity,
    components::{
        form::{FormErrors, FormNote, SubmitButton},
        time_ago::TimeAgo,
    },
};

/// The number of damaged files that the section names.
const NAMED_MAX: usize = 50;

/// The content of the section.
#[derive(Clone, PartialEq)]
struct Shown {
    is_on: bool,
    last: Option<IntegrityRun>,
    running: Option<IntegrityRun>,
    releases: Vec<(String, ReleaseRef)>,
}

#[component]
pub fn IntegrityCheck(
    overview: Signal<Option<OperationsOverview>>,
    check: ServerAction<CheckIntegrity>,
) -> impl IntoView {
    let shown = Memo::new(move |_| {
        let overview = overview.get()?;
        Some(Shown {
            is_on: overview.integrity_is_on,
            last: overview.integrity.last,
            running: overview.integrity.running,
            releases: overview.damaged_releases,
        })
    });
    let errors = FormErrors::of(move || check.value().get().and_then(Result::err));
    let can_start = Memo::new(move |_| shown.with(|shown| shown.as_ref().is_some_and(|shown| shown.is_on)));
    let form = move || {
        can_start.get().then(|| {
            view! {
                <ActionForm action=check>
                    <SubmitButton pending=check.pending() label="Check now" class="btn btn-small"/>
                </ActionForm>
            }
        })
    };
    view! {
        <section class="section" aria-labelledby="integrity-title">
            <h2 class="section-title" id="integrity-title" tabindex="-1">"Integrity check"</h2>
            <p class="intro">"Once a day, a part of all stored files is read and compared with what was received."</p>
            <FormNote errors=errors/>
            {move || shown.get().map(|shown| view! { <LatestResult shown=shown/> })}
            {form}
        </section>
    }
}

#[component]
fn LatestResult(shown: Shown) -> impl IntoView {
    let running = shown.running.map(|run| {
        view! {
            <p>{format!("A check is running and has read {}. It began ", read_words(&run))}<TimeAgo at=run.started_at/></p>
        }
    });
    let last = match (shown.last, shown.is_on) {
        (Some(run), _) => view! { <LastRun run=run releases=shown.releases/> }.into_any(),
        (None, true) => view! { <p>"No check has ended yet."</p> }.into_any(),
        (None, false) => view! { <p>"The integrity check is turned off."</p> }.into_any(),
    };
    view! { {last} {running} }
}

#[component]
fn LastRun(run: IntegrityRun, releases: Vec<(String, ReleaseRef)>) -> impl IntoView {
    let result = match run.findings.len() {
        0 => "No damage was found.".to_owned(),
        1 => "1 file is damaged.".to_owned(),
        damaged => format!("{damaged} files are damaged."),
    };
    let read = format!(" The last check read {}. It ended ", read_words(&run));
    let others = run.findings.len().saturating_sub(NAMED_MAX);
    let others = (others > 0).then(|| view! { <li>{format!("And {others} more. The log names all of them.")}</li> });
    let damaged = run
        .findings
        .into_iter()
        .take(NAMED_MAX)
        .map(|finding| {
            let release = releases.iter().find(|(key, _)| *key == finding.key).map(|(_, release)| release.clone());
            view! { <DamagedRow finding=finding release=release/> }
        })
        .collect_view();
    view! {
        <p>
            <strong>{result}</strong>
            {read}
            {run.ended_at.map(|at| view! { <TimeAgo at=at/> })}
        </p>
        <ul class="plain-rows">{damaged}{others}</ul>
    }
}

#[component]
fn DamagedRow(finding: DamagedObject, release: Option<ReleaseRef>) -> impl IntoView {
    let release = release.map(|release| {
        let address = format!("/review/{}", release.id);
        view! { " It belongs to "<a class="link" href=address>{release.display_title()}</a>"." }
    });
    view! { <li><span class="cell-words">{format!("{}: {}.", finding.key, finding.detail)}</span>{release}</li> }
}

/// "412 files, 18 GB".
fn read_words(run: &IntegrityRun) -> String {
    let files = if run.objects == 1 { "1 file".to_owned() } else { format!("{} files", run.objects) };
    format!("{files}, {}", bytes_words(run.bytes))
}
