//! `/admin/operations`: the health of the product, and figures of uploads, queue, storage and processes.

use std::time::Duration;

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use vwaza::domain::{
    operations::{LastBackup, OperationsOverview, OperationsRange},
    page::Count,
};

use crate::{
    api::operations::{CHECK_STARTED, CheckIntegrity, operations},
    components::{
        focus,
        operations::{
            charts::{Charts, RangeLinks, bytes_words},
            circuit::CircuitHistory,
            health::HealthLine,
            integrity::IntegrityCheck,
            processes::ProcessTable,
            tabs::OperationsTabs,
            totals::UploadTotalsTable,
        },
        queue::job_table::JobTable,
        require::RequireAdmin,
        review::{list::ListPage, table::count},
        skeleton::Shape,
        time_ago::TimeAgo,
    },
    error::ApiResult,
    state::{
        flash::form_action,
        live::{self, Live},
        toasts::Toasts,
    },
};

const PATH: &str = "/admin/operations";
/// The page fetches this often, because time passes and processes write new samples.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

#[component]
pub fn Operations() -> impl IntoView {
    let query = use_query_map();
    let range = Memo::new(move |_| {
        let range = query.with(|query| query.get("range").and_then(|slug| OperationsRange::from_slug(&slug)));
        range.unwrap_or_default()
    });
    let check = form_action::<CheckIntegrity>();
    let (changes, poll_ticks) = (Live::get().any_release(), live::poll_ticks(POLL_INTERVAL));
    // A refusal counts, too: it means that the page shows something old.
    let overview = Resource::new(
        move || (range.get(), changes.get(), poll_ticks.get(), check.version().get()),
        |(range, ..)| operations(range),
    );
    Effect::new(move || {
        let Some(answer) = check.value().get() else { return };
        if answer.is_ok() {
            Toasts::get().show(CHECK_STARTED);
        }
        focus::on("#integrity-title");
    });
    view! {
        <RequireAdmin shape=Shape::List awaits=move || live::await_first(overview)>
            <Overview overview=overview range=range check=check/>
        </RequireAdmin>
    }
}

#[component]
fn Overview(
    overview: Resource<ApiResult<OperationsOverview>>,
    range: Memo<OperationsRange>,
    check: ServerAction<CheckIntegrity>,
) -> impl IntoView {
    let last = live::last_good(move || range.get(), overview);
    // The last good figures stay while the server or its database is away, and must not look like new ones.
    let is_old = Memo::new(move |_| overview.get().is_some_and(|answer| answer.is_err()));
    let error = Signal::derive(move || last.get().and_then(Result::err));
    let overview = Signal::derive(move || last.get().and_then(Result::ok));
    let health = Signal::derive(move || overview.with(|overview| overview.as_ref().map(|overview| overview.health)));
    let fetched_at = Signal::derive(move || overview.with(|overview| overview.as_ref().map(|overview| overview.now)));
    view! {
        <ListPage title="Operations" error=error>
            <OperationsTabs/>
            <HealthLine health=health is_old=is_old fetched_at=fetched_at/>
            <Uploads overview=overview/>
            <Jobs overview=overview/>
            <section class="section" aria-labelledby="charts-title">
                <h2 class="section-title" id="charts-title">"Over time"</h2>
                <RangeLinks path=PATH range=range/>
                <Charts overview=overview/>
            </section>
            <ProcessTable overview=overview/>
            <CircuitHistory overview=overview/>
            <IntegrityCheck overview=overview check=check/>
            <Backup overview=overview/>
        </ListPage>
    }
}

#[component]
fn Uploads(overview: Signal<Option<OperationsOverview>>) -> impl IntoView {
    let totals = Signal::derive(move || {
        overview.with(|overview| {
            let overview = overview.as_ref();
            overview.map(|overview| [overview.last_hour, overview.last_day, overview.last_week]).unwrap_or_default()
        })
    });
    view! {
        <section aria-labelledby="uploads-section-title">
            <h2 class="section-title" id="uploads-section-title">"Uploads"</h2>
            <UploadTotalsTable totals=totals/>
        </section>
    }
}

/// The counts of jobs, and a link to the page with those that need an admin.
#[component]
fn Jobs(overview: Signal<Option<OperationsOverview>>) -> impl IntoView {
    let jobs = Signal::derive(move || {
        overview.with(|overview| overview.as_ref().map(|overview| overview.jobs.clone()).unwrap_or_default())
    });
    let oldest = Signal::derive(move || {
        overview.with(|overview| overview.as_ref().and_then(|overview| overview.oldest_due_seconds))
    });
    let words = move || {
        let failed = jobs.with(|jobs| jobs.iter().map(|counts| counts.failed).sum());
        let changed = overview.with(|overview| overview.as_ref().map_or(0, |overview| overview.changed_files));
        let (letters, files) = (Count::of(failed), Count::of(changed));
        format!("{}, {}", count(letters, "dead letter", "dead letters"), count(files, "changed file", "changed files"))
    };
    view! {
        <section class="section" aria-labelledby="jobs-title">
            <h2 class="section-title" id="jobs-title">"Jobs"</h2>
            <JobTable jobs=jobs oldest_due_seconds=oldest/>
            <p class="job-table-foot"><a class="link" href="/admin/queue">{words}</a></p>
        </section>
    }
}

#[component]
fn Backup(overview: Signal<Option<OperationsOverview>>) -> impl IntoView {
    let backup = Memo::new(move |_| overview.with(|overview| overview.as_ref().and_then(|overview| overview.backup)));
    let line = move || match backup.get() {
        None => view! { <p>"No backup has been made."</p> }.into_any(),
        Some(LastBackup { ended_at, bytes, missing }) => {
            let lacks = match missing {
                0 => "It lacks nothing.".to_owned(),
                1 => "It lacks 1 file.".to_owned(),
                missing => format!("It lacks {missing} files."),
            };
            view! { <p>{format!("The last backup has {}. {lacks} It ended ", bytes_words(bytes))}<TimeAgo at=ended_at/></p> }
                .into_any()
        }
    };
    view! {
        <section class="section" aria-labelledby="backup-title">
            <h2 class="section-title" id="backup-title">"Backup"</h2>
            {line}
        </section>
    }
}
