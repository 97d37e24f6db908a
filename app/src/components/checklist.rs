//! Lists of what a release lacks before it can be submitted.

use leptos::prelude::*;
use vwaza::domain::{
    ids::ReleaseId,
    release::{Missing, ReleaseView, Step},
};

use super::{
    focus,
    icon::{Icon, IconName},
};

/// Lists the missing items. Each is a link to the field where it is fixed.
#[component]
pub fn MissingLinks(id: ReleaseId, missing: Vec<Missing>) -> impl IntoView {
    let items = missing.into_iter().map(|item| {
        let address = format!("/releases/{id}/{}#{}", item.step.slug(), item.field);
        let words = item.sentence();
        let again = move |_| focus::anchor(&item.field);
        view! { <li><a class="link" href=address on:click=again>{words}</a></li> }
    });
    items.collect_view()
}

/// Lists every step with its missing items. Each is a link to the field where it is fixed.
#[component]
pub fn Checklist(release: ReleaseView) -> impl IntoView {
    let missing = release.missing();
    let complete = missing.is_empty();
    let steps = [Step::Details, Step::Cover, Step::Tracks]
        .into_iter()
        .map(|step| {
            let lacking: Vec<Missing> = missing.iter().filter(|item| item.step == step).cloned().collect();
            view! { <ChecklistStep release=release.id.to_string() step=step lacking=lacking/> }
        })
        .collect_view();
    view! {
        <section class="checklist" aria-labelledby="checklist-title">
            <h2 class="checklist-title" id="checklist-title">
                {if complete { "Everything is here" } else { "What is missing" }}
            </h2>
            <ul class="checklist-steps">{steps}</ul>
        </section>
    }
}

#[component]
fn ChecklistStep(release: String, step: Step, lacking: Vec<Missing>) -> impl IntoView {
    let done = lacking.is_empty();
    let items = lacking
        .into_iter()
        .map(|item| {
            let address = format!("/releases/{release}/{}#{}", item.step.slug(), item.field);
            let words = item.sentence();
            // The link changes nothing if the address names the field already, so the click moves the focus.
            let again = move |_| focus::anchor(&item.field);
            view! { <li><a class="checklist-item" href=address on:click=again>{words}</a></li> }
        })
        .collect_view();
    view! {
        <li class=done.then_some("checklist-step-done")>
            <span class="checklist-head">
                <Icon name=if done { IconName::Done } else { IconName::Circle }/>
                {step.label()}
                {done.then(|| view! { <span class="visually-hidden">" complete"</span> })}
            </span>
            {(!done).then(|| view! { <ul class="checklist-items">{items}</ul> })}
        </li>
    }
}
