//! The search for jobs: its fields, and the table of what it finds.

use leptos::prelude::*;
use leptos_router::components::Form;
use vwaza::domain::{
    job::{FoundJob, JobFilter, JobState},
    queue::JobKind,
    queue_page::JOB_KINDS,
};

use super::{JobStateBadge, dead_letters::ReleaseLink, job_address, job_table::kind_words};
use crate::components::{
    audit::{options_of, reset_filters},
    field::{SelectField, TextField},
    keyboard::list_keys,
    list_address::JOBS_PATH,
    review::table::{Column, Table},
    time_ago::{TimeAgo, TimeStyle},
};

const COLUMNS: [Column; 6] = [
    Column::text("File"),
    Column::text("Release"),
    Column::text("Job"),
    Column::text("State"),
    Column::number("Attempts"),
    Column::text("When"),
];

/// The fields of the search. A plain form: they end up in the address, with and without JavaScript.
#[component]
pub fn JobSearchForm(#[prop(into)] filter: Signal<JobFilter>) -> impl IntoView {
    // Another address, such as that of "Show all jobs", replaces what the fields hold.
    Effect::new(move |last: Option<JobFilter>| {
        let now = filter.get();
        if last.is_some_and(|last| last != now) {
            request_animation_frame(reset_filters);
        }
        now
    });
    let of = move |field: fn(&JobFilter) -> String| Signal::derive(move || filter.with(field));
    let kinds = options_of("Any kind", JOB_KINDS.into_iter().map(|kind| (kind.as_str(), kind_words(kind))));
    let states = options_of("Any state", JobState::ALL.into_iter().map(|state| (state.slug(), state.label())));
    // No field can be wrong: what means nothing is left out.
    let none = Signal::stored(None::<String>);
    view! {
        <search>
            <Form method="GET" action=JOBS_PATH attr:class="filter-form">
                <TextField
                    name="q"
                    label="File name's beginning, artist, release or id"
                    kind="search"
                    value=of(|filter| filter.search.clone())
                    error=none
                    autocomplete="off"
                />
                <SelectField
                    name="kind"
                    label="Kind"
                    value=of(|filter| filter.kind.map_or("", JobKind::as_str).to_owned())
                    error=none
                    options=kinds
                />
                <SelectField
                    name="state"
                    label="State"
                    value=of(|filter| filter.state.map_or("", JobState::slug).to_owned())
                    error=none
                    options=states
                />
                <button type="submit" class="btn">"Find jobs"</button>
            </Form>
        </search>
    }
}

#[component]
pub fn FoundJobTable(jobs: Signal<Vec<FoundJob>>) -> impl IntoView {
    list_keys();
    view! {
        <Table caption="Jobs, the latest first" columns=COLUMNS.to_vec()>
            <For each=move || jobs.get() key=|job| (job.id, job.state.slug(), job.at, job.attempts) let:job>
                <JobRow job/>
            </For>
        </Table>
    }
}

#[component]
fn JobRow(job: FoundJob) -> impl IntoView {
    let (before, style) = match job.state {
        JobState::Due => ("Due since ", TimeStyle::Since),
        JobState::Later => ("Due ", TimeStyle::In),
        JobState::Running => ("Began ", TimeStyle::Ago),
        JobState::Done => ("Ended ", TimeStyle::Ago),
        JobState::DeadLetter => ("Failed ", TimeStyle::Ago),
    };
    view! {
        <tr role="row" class="file-row">
            <td role="cell">
                <a class="link cell-title cell-words" href=job_address(job.id) data-row="">{job.file_name}</a>
            </td>
            <td role="cell">
                <ReleaseLink release=job.release/>
                <span class="cell-more">{job.artist_name}</span>
            </td>
            <td role="cell">{kind_words(job.kind)}</td>
            <td role="cell"><JobStateBadge state=job.state/></td>
            <td role="cell" class="cell-number">
                <span class="cards-only">"Attempts: "</span>
                {job.attempts}
            </td>
            <td role="cell" class="cell-time">
                {before}
                <TimeAgo at=job.at style/>
            </td>
        </tr>
    }
}
