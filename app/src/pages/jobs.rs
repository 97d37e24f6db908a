//! `/admin/jobs`: all jobs, and the search in them.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use vwaza::domain::job::{FoundJobs, JobFilter, SEARCHED_ARTISTS_MAX, SEARCHED_FILES_MAX, SEARCHED_RELEASES_MAX};

use super::queue::POLL_INTERVAL;
use crate::{
    api::queue::find_jobs,
    components::{
        empty_state::EmptyState,
        icon::IconName,
        list_address::{JOBS_PATH, jobs_address, start_in},
        operations::tabs::OperationsTabs,
        pager::Pager,
        queue::job_search::{FoundJobTable, JobSearchForm},
        require::RequireAdmin,
        review::{list::ListPage, table::count},
        skeleton::Shape,
    },
    error::ApiResult,
    state::live::{self, Live},
};

#[component]
pub fn Jobs() -> impl IntoView {
    let query = use_query_map();
    let filter = Memo::new(move |_| {
        query.with(|query| JobFilter { start: start_in(query, ""), ..JobFilter::of_parameters(|name| query.get(name)) })
    });
    let (changes, poll_ticks) = (Live::get().any_release(), live::poll_ticks(POLL_INTERVAL));
    let found =
        Resource::new(move || (filter.get(), changes.get(), poll_ticks.get()), |(filter, ..)| find_jobs(filter));
    view! {
        <RequireAdmin shape=Shape::List awaits=move || live::await_first(found)>
            <Found found filter/>
        </RequireAdmin>
    }
}

#[component]
fn Found(found: Resource<ApiResult<FoundJobs>>, filter: Memo<JobFilter>) -> impl IntoView {
    let last = live::last_good(move || filter.get(), found);
    let error = Signal::derive(move || last.get().and_then(Result::err));
    let found = Signal::derive(move || last.get().and_then(Result::ok));
    view! {
        <ListPage title="Find a job" error=error>
            <OperationsTabs/>
            <JobSearchForm filter/>
            <FoundJobList found filter/>
        </ListPage>
    }
}

#[component]
fn FoundJobList(found: Signal<Option<FoundJobs>>, filter: Memo<JobFilter>) -> impl IntoView {
    let jobs = Signal::derive(move || found.get().map(|found| found.jobs.rows).unwrap_or_default());
    let total = move || found.get().map(|found| count(found.jobs.total, "job", "jobs"));
    let kept = move || found.with(|found| found.as_ref().map(|found| kept_words(found.kept_days)));
    let cut = move || {
        let is_cut = found.with(|found| found.as_ref().is_some_and(|found| found.is_cut));
        is_cut.then(|| {
            let words = format!(
                "Too many files, releases or artists match. It looked through {SEARCHED_FILES_MAX} files, {SEARCHED_RELEASES_MAX} releases and \
                 {SEARCHED_ARTISTS_MAX} artists. Type more of the name, or search for an id."
            );
            view! { <p class="note list-count">{words}</p> }
        })
    };
    // The memo keeps the table and the focus in it while rows come and go.
    let is_empty =
        Memo::new(move |_| found.with(|found| found.as_ref().is_some_and(|found| found.jobs.total.is_zero())));
    let table = move || match is_empty.get() {
        true => view! {
            <EmptyState title="No jobs match" text="Try another word, or show all jobs." icon=IconName::Search>
                <a class="btn" href=JOBS_PATH>"Show all jobs"</a>
            </EmptyState>
        }
        .into_any(),
        false => view! { <FoundJobTable jobs/> }.into_any(),
    };
    let links = Memo::new(move |_| found.with(|found| Some(found.as_ref()?.jobs.links.clone())));
    let pager = move || {
        let link = move |start| jobs_address(&JobFilter { start, ..filter.get_untracked() });
        Some(view! { <Pager links=links.get()? link=link/> })
    };
    view! {
        <p class="meta list-count"><span role="status">{total}</span>" · "{kept}</p>
        {cut}
        {table}
        {pager}
    }
}

fn kept_words(days: u64) -> String {
    match days {
        0 => "Jobs that are done are deleted within minutes.".to_owned(),
        1 => "Jobs that are done are kept for a day.".to_owned(),
        days => format!("Jobs that are done are kept for {days} days."),
    }
}
