//! The parts of the pages about jobs: `/admin/queue`, `/admin/jobs` and `/admin/jobs/…`.

pub mod changed_files;
pub mod dead_letters;
pub mod job_facts;
pub mod job_search;
pub mod job_table;

use leptos::prelude::*;
use vwaza::domain::{ids::JobId, job::JobState};

use super::{
    icon::{Icon, IconName},
    list_address::JOBS_PATH,
};

/// The address of the page of one job.
pub fn job_address(id: JobId) -> String {
    format!("{JOBS_PATH}/{id}")
}

/// The state of a job: a word, a shape and a colour.
#[component]
pub fn JobStateBadge(state: JobState) -> impl IntoView {
    let (class, icon) = match state {
        JobState::Due => ("badge badge-waiting", IconName::Clock),
        JobState::Later => ("badge", IconName::Clock),
        JobState::Running => ("badge badge-working", IconName::Working),
        JobState::Done => ("badge badge-good", IconName::Done),
        JobState::DeadLetter => ("badge badge-bad", IconName::Refused),
    };
    view! { <span class=class><Icon name=icon/>{state.label()}</span> }
}
