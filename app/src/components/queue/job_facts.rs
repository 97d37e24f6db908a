//! One job: its facts, the attempts that failed, and the other jobs of its file.

use leptos::prelude::*;
use time::OffsetDateTime;
use vwaza::domain::{
    job::{FailedAttempt, JobState, JobView, RelatedJob},
    queue::JobKind,
};

use super::{JobStateBadge, dead_letters::ReleaseLink, job_address, job_table::kind_words};
use crate::components::time_ago::{TimeAgo, TimeStyle};

/// The words for how a job that is done has ended.
fn outcome_words(outcome: Option<&str>) -> Option<&'static str> {
    match outcome? {
        "discarded" => Some("An admin discarded the file."),
        "superseded" => Some("No release needed the file any more."),
        _ => None,
    }
}

fn what_it_does(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Store => "Moves the received file into the storage.",
        JobKind::Examine => "Decodes and measures the stored file.",
    }
}

#[component]
pub fn JobFacts(job: JobView) -> impl IntoView {
    let lease = job.lease.map(|lease| {
        view! {
            <Fact name="Process"><code>{lease.worker.to_string()}</code></Fact>
            <Fact name="Lease ends"><TimeAgo at=lease.expires_at style=TimeStyle::In/></Fact>
        }
    });
    let next = job.run_after.map(|at| match job.state {
        JobState::Later => view! { <Fact name="Next attempt"><TimeAgo at style=TimeStyle::In/></Fact> }.into_any(),
        _ => view! { <Fact name="Due since"><TimeAgo at/></Fact> }.into_any(),
    });
    let id = |name, id: Option<String>| id.map(|id| view! { <Fact name=name><code>{id}</code></Fact> });
    let when = |name, at: Option<OffsetDateTime>| at.map(|at| view! { <Fact name=name><TimeAgo at/></Fact> });
    view! {
        <section class="card" aria-labelledby="facts-title">
            <h2 class="section-title" id="facts-title" tabindex="-1">"The job"</h2>
            <dl class="facts">
                <Fact name="State">
                    <JobStateBadge state=job.state/>
                    {outcome_words(job.outcome.as_deref()).map(|words| format!(" {words}"))}
                </Fact>
                <Fact name="Kind">{format!("{}. {}", kind_words(job.kind), what_it_does(job.kind))}</Fact>
                <Fact name="Artist"><a class="link" href=format!("/admin/users/{}", job.artist)>{job.artist_name}</a></Fact>
                <Fact name="Release"><ReleaseLink release=job.release/></Fact>
                <Fact name="Attempts">{job.attempts}</Fact>
                <Fact name="Failures">{job.failures}</Fact>
                {next}
                {lease}
                {when("File received", job.received_at)}
                {when("Job created", Some(job.created_at))}
                {when("Last change", Some(job.updated_at))}
                {job.is_background.then(|| view! { <Fact name="Background">"It runs only while nothing else is due."</Fact> })}
                {id("Job's id", Some(job.id.to_string()))}
                {id("Upload's id", job.upload.map(|id| id.to_string()))}
                {id("Spool", job.spool.map(|id| id.to_string()))}
                {id("Request's id", job.request_id)}
            </dl>
        </section>
    }
}

#[component]
fn Fact(name: &'static str, children: Children) -> impl IntoView {
    view! {
        <dt>{name}</dt>
        <dd class="cell-words">{children()}</dd>
    }
}

#[component]
pub fn FailedAttempts(attempts: Vec<FailedAttempt>) -> impl IntoView {
    let list = if attempts.is_empty() {
        view! { <p class="meta">"No attempt has failed."</p> }.into_any()
    } else {
        let items = attempts
            .into_iter()
            .map(|failed| {
                view! {
                    <li class="token">
                        <div class="token-words">
                            <p class="token-what">
                                <span class="cell-words">{failed.error}</span>
                            </p>
                            <p class="meta meta-pair">
                                <span>{format!("Attempt {}", failed.attempt)}</span>
                                <span><TimeAgo at=failed.at/></span>
                            </p>
                        </div>
                    </li>
                }
            })
            .collect_view();
        view! { <ol>{items}</ol> }.into_any()
    };
    view! {
        <section class="card section" aria-labelledby="attempts-title">
            <h2 class="section-title" id="attempts-title">"Failed attempts"</h2>
            {list}
        </section>
    }
}

/// The other jobs of the file.
#[component]
pub fn RelatedJobs(jobs: Vec<RelatedJob>) -> impl IntoView {
    let items = jobs
        .iter()
        .map(|job| {
            view! {
                <li>
                    <a class="link" href=job_address(job.id)>{kind_words(job.kind)}</a>
                    " "
                    <JobStateBadge state=job.state/>
                </li>
            }
        })
        .collect_view();
    let list = match jobs.is_empty() {
        true => view! { <p class="meta">"This file has no other jobs."</p> }.into_any(),
        false => view! { <ul class="stack">{items}</ul> }.into_any(),
    };
    view! {
        <section class="card section" aria-labelledby="related-title">
            <h2 class="section-title" id="related-title">"Other jobs of this file"</h2>
            {list}
        </section>
    }
}
