//! `/admin/jobs/…`: one job, with all that happened to it, and what an admin can do.

use leptos::prelude::*;
use leptos_router::hooks::use_params_map;
use vwaza::domain::{
    audit::AuditEntry,
    ids::JobId,
    job::{JobState, JobView},
    problem::Problem,
};

use super::queue::POLL_INTERVAL;
use crate::{
    api::{audit::audit_entries_about, queue::job},
    components::{
        audit::AuditSection,
        form::FormNote,
        operations::tabs::OperationsTabs,
        page_error::PageError,
        page_head::PageHead,
        queue::{
            dead_letters::{AskedLetter, DeadLetterActions, DeadLetterButtons, DiscardDialogs},
            job_facts::{FailedAttempts, JobFacts, RelatedJobs},
            job_table::kind_words,
        },
        require::RequireAdmin,
        skeleton::Shape,
    },
    error::ApiResult,
    state::live::{self, Live},
};

#[component]
pub fn Job() -> impl IntoView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("id")?.parse::<JobId>().ok()));
    let actions = DeadLetterActions::of_page();
    let (changes, poll_ticks) = (Live::get().any_release(), live::poll_ticks(POLL_INTERVAL));
    let view = Resource::new(
        move || (id.get(), changes.get(), poll_ticks.get(), actions.answers()),
        |(id, ..)| async move {
            match id {
                Some(id) => job(id).await,
                None => Err(Problem::NotFound.into()),
            }
        },
    );
    let trail = Resource::new(
        move || (id.get(), actions.answers()),
        |(id, _)| async move {
            match id {
                Some(id) => audit_entries_about(id.0).await,
                None => Err(Problem::NotFound.into()),
            }
        },
    );
    actions.show_results("#facts-title");
    view! {
        <RequireAdmin
            shape=Shape::Form
            awaits=move || {
                live::await_first(view);
                live::await_first(trail);
            }
        >
            {
                let shown = live::last_good(move || id.get(), view);
                let trail = live::last_good(move || id.get(), trail);
                move || match shown.get() {
                    Some(Ok(job)) => view! { <ShownJob job actions trail/> }.into_any(),
                    Some(Err(error)) => view! { <PageError error/> }.into_any(),
                    None => ().into_any(),
                }
            }
            <DiscardDialogs actions/>
        </RequireAdmin>
    }
}

#[component]
fn ShownJob(
    job: JobView,
    actions: DeadLetterActions,
    trail: Signal<Option<ApiResult<Vec<AuditEntry>>>>,
) -> impl IntoView {
    let about = job.id.0;
    let buttons = (job.state == JobState::DeadLetter).then(|| {
        let letter = AskedLetter { id: job.id, file_name: job.file_name.clone(), artist_name: job.artist_name.clone() };
        view! { <DeadLetterButtons letter actions/> }
    });
    view! {
        <div class="page-narrow">
            <PageHead title=format!("{} “{}”", kind_words(job.kind), job.file_name)>{buttons}</PageHead>
            <OperationsTabs/>
            <FormNote errors=actions.errors()/>
            <JobFacts job=job.clone()/>
            <FailedAttempts attempts=job.failed_attempts/>
            <RelatedJobs jobs=job.related/>
            <AuditSection trail about/>
        </div>
    }
}
