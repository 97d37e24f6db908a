//! `/admin/queue`: how many jobs wait and run, and the dead letters.

use std::time::Duration;

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use vwaza::domain::{queue_page::QueueOverview, release::ReleaseFilter};

use crate::{
    api::queue::{DiscardJob, RETRIED, RetryJob, discarded_words, queue},
    components::{
        focus,
        form::{FormErrors, FormNote},
        list_address::{filter_address, filter_of},
        pager::Pager,
        queue::{
            changed_files::ChangedFileTable,
            dead_letters::{DeadLetterActions, DeadLetterTable, DiscardDialog},
            job_table::JobTable,
        },
        require::RequireAdmin,
        review::{
            list::{ListPage, NoRows},
            table::count,
        },
        skeleton::Shape,
    },
    error::ApiResult,
    state::{
        flash::form_action,
        live::{self, Live},
        toasts::Toasts,
    },
};

const PATH: &str = "/admin/queue";
/// The page fetches this often, because not every step of a job is an event and waiting jobs grow older.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

#[component]
pub fn Queue() -> impl IntoView {
    let query = use_query_map();
    // Only the filter's page number matters here.
    let filter = Memo::new(move |_| ReleaseFilter { page: query.with(filter_of).page, ..Default::default() });
    let actions = DeadLetterActions {
        retry: form_action::<RetryJob>(),
        discard: form_action::<DiscardJob>(),
        asked: RwSignal::new(None),
        is_asking: RwSignal::new(false),
    };
    let (changes, poll_ticks) = (Live::get().any_release(), poll_ticks());
    // A refusal counts, too: it means that the page shows something old.
    let answers = move || actions.retry.version().get() + actions.discard.version().get();
    let overview = Resource::new(
        move || (filter.get(), changes.get(), poll_ticks.get(), answers()),
        |(filter, ..)| queue(filter.page),
    );
    show_action_results(actions);
    view! {
        <RequireAdmin shape=Shape::List>
            <Overview overview=overview filter=filter actions=actions/>
        </RequireAdmin>
    }
}

/// Grows every few seconds in a browser.
fn poll_ticks() -> RwSignal<u64> {
    let poll_ticks = RwSignal::new(0_u64);
    Effect::new(move || {
        if let Ok(interval) =
            set_interval_with_handle(move || poll_ticks.update(|poll_ticks| *poll_ticks += 1), POLL_INTERVAL)
        {
            on_cleanup(move || interval.clear());
        }
    });
    poll_ticks
}

/// Says what a retry or discard has led to, and moves the focus: the job's row goes, even if the server refused.
fn show_action_results(actions: DeadLetterActions) {
    let DeadLetterActions { retry, discard, is_asking, .. } = actions;
    // The answer of one form replaces the answer of the other.
    Effect::new(move || {
        let Some(answer) = retry.value().get() else { return };
        discard.value().set(None);
        if answer.is_ok() {
            Toasts::get().show(RETRIED);
        }
        focus::on("#dead-letters-title");
    });
    Effect::new(move || {
        let Some(answer) = discard.value().get() else { return };
        retry.value().set(None);
        is_asking.set(false);
        if let Ok(is_told) = answer {
            Toasts::get().show(discarded_words(is_told));
        }
        focus::on("#dead-letters-title");
    });
}

#[component]
fn Overview(
    overview: Resource<ApiResult<QueueOverview>>,
    filter: Memo<ReleaseFilter>,
    actions: DeadLetterActions,
) -> impl IntoView {
    let shown = live::last_good(move || filter.get(), overview);
    let error = Signal::derive(move || shown.get().and_then(Result::err));
    let overview = Signal::derive(move || shown.get().and_then(Result::ok));
    view! {
        <ListPage title="Operations" error=error>
            <Jobs overview=overview/>
            <DeadLetters overview=overview filter=filter actions=actions/>
            <ChangedFiles overview=overview/>
        </ListPage>
    }
}

#[component]
fn Jobs(overview: Signal<Option<QueueOverview>>) -> impl IntoView {
    let jobs = Signal::derive(move || overview.get().map(|overview| overview.jobs).unwrap_or_default());
    let oldest = Signal::derive(move || overview.get().and_then(|overview| overview.oldest_due_seconds));
    view! {
        <section aria-labelledby="jobs-title">
            <h2 class="section-title" id="jobs-title">"Jobs"</h2>
            <JobTable jobs=jobs oldest_due_seconds=oldest/>
        </section>
    }
}

#[component]
fn DeadLetters(
    overview: Signal<Option<QueueOverview>>,
    filter: Memo<ReleaseFilter>,
    actions: DeadLetterActions,
) -> impl IntoView {
    let errors = FormErrors::of(move || {
        let retried = actions.retry.value().get().and_then(Result::err);
        retried.or(actions.discard.value().get().and_then(Result::err))
    });
    let page = move || overview.get().map(|overview| overview.dead_letters);
    let letters = Signal::derive(move || page().map(|page| page.rows).unwrap_or_default());
    // A memo, so that the table and the focus in it stay while rows come and go.
    let is_empty = Memo::new(move |_| letters.read().is_empty());
    let total = move || page().map(|page| count(page.total, "dead letter", "dead letters"));
    let body = move || {
        if is_empty.get() {
            view! {
                <NoRows
                    path=PATH
                    filter=filter.get()
                    title="No failed jobs"
                    text="A job that fails on every attempt appears here."
                />
            }
            .into_any()
        } else {
            view! {
                <p class="intro">"Retry a job after the cause of its failure is fixed. Discard a job to ask its artist for the file again."</p>
                <DeadLetterTable letters=letters actions=actions/>
            }
            .into_any()
        }
    };
    let pager = move || {
        let link = move |number| filter_address(PATH, &ReleaseFilter { page: number, ..Default::default() });
        page().map(|page| view! { <Pager page=page.page pages=page.pages link=link/> })
    };
    view! {
        <section class="section" aria-labelledby="dead-letters-title">
            <h2 class="section-title" id="dead-letters-title" tabindex="-1">"Dead letters"</h2>
            <FormNote errors=errors/>
            <p class="meta list-count" role="status">{total}</p>
            {body}
            {pager}
            <DiscardDialog actions=actions/>
        </section>
    }
}

/// The files whose newer examination differs. The section is absent if there are none.
#[component]
fn ChangedFiles(overview: Signal<Option<QueueOverview>>) -> impl IntoView {
    let files = Signal::derive(move || overview.get().map(|overview| overview.changed_files).unwrap_or_default());
    let is_empty = Memo::new(move |_| files.read().is_empty());
    let total = move || overview.get().map(|overview| count(overview.changed_files_total, "file", "files"));
    move || {
        (!is_empty.get()).then(|| {
            view! {
                <section class="section" aria-labelledby="changed-files-title">
                    <h2 class="section-title" id="changed-files-title">"Examined again"</h2>
                    <p class="meta list-count" role="status">{total}</p>
                    <p class="intro">
                        "We improved our checks and examined these published files again. Their results are different now. The files \
                         and their releases have not changed. If a difference matters, tell the artist."
                    </p>
                    <ChangedFileTable files=files/>
                </section>
            }
        })
    }
}
