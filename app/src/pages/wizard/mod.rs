//! `/releases/:id/:step`: a release is made in four steps. Each has its own address and saves itself.

mod autosave;
mod cover;
mod details;
mod form_queue;
mod latest;
mod order;
mod saved_form;
mod submit;
mod track;
mod tracks;
mod unsaved_warning;

use leptos::prelude::*;
use leptos_router::{
    components::A,
    hooks::{use_location, use_params_map},
};
use vwaza::domain::{
    ids::ReleaseId,
    problem::Problem,
    release::{ReleaseView, Step},
};

use self::{latest::Latest, order::TrackOrder};
use crate::{
    api::releases::release,
    components::{
        checklist::Checklist,
        focus,
        icon::{Icon, IconName},
        page_error::PageError,
        page_head::PageHead,
        require::RequireSignIn,
        skeleton::Shape,
    },
    error::{ApiResult, AppError},
    state::live::await_first,
};

/// The id of the heading that gets the focus when a step opens.
const STEP_HEADING: &str = "step";

#[component]
pub fn Wizard() -> impl IntoView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("id")?.parse::<ReleaseId>().ok()));
    let step = Memo::new(move |_| {
        let slug = params.with(|params| params.get("step"));
        Step::ALL.into_iter().find(|step| slug.as_deref() == Some(step.slug()))
    });
    // Later changes come through `Latest`. Fetching the resource again would rebuild the forms while somebody types.
    let fetched = Resource::new(
        move || id.get(),
        async |id| match id {
            Some(id) => release(id).await,
            None => Err(Problem::NotFound.into()),
        },
    );
    view! {
        <RequireSignIn shape=Shape::Wizard awaits=move || await_first(fetched)>
            <LoadedWizard fetched step/>
        </RequireSignIn>
    }
}

#[component]
fn LoadedWizard(fetched: Resource<ApiResult<ReleaseView>>, step: Memo<Option<Step>>) -> impl IntoView {
    let is_step = Memo::new(move |_| step.get().is_some());
    // The step stays the same while the address already leads elsewhere.
    let step = Memo::new(move |last| step.get().or(last.copied()).unwrap_or(Step::Details));
    move || {
        let fetched = fetched.get()?;
        Some(match (fetched, is_step.get()) {
            (Ok(release), true) => view! { <Editor release step/> }.into_any(),
            (Ok(_), false) => view! { <PageError error=AppError::from(Problem::NotFound)/> }.into_any(),
            (Err(error), _) => view! { <PageError error/> }.into_any(),
        })
    }
}

/// Steps on the left, the form in the middle, the checklist on the right. On a phone one is below the other.
#[component]
fn Editor(release: ReleaseView, step: Memo<Step>) -> impl IntoView {
    let id = release.id;
    let latest = Latest::new(release);
    // The order does not belong to its step, because moves are sent to the server even after the step is left.
    let order = TrackOrder::new(latest);
    provide_context(Announcer(RwSignal::new(String::new())));
    let title = Memo::new(move |_| latest.with(ReleaseView::display_title));
    let is_editable = Memo::new(move |_| latest.with(|release| release.status.is_editable()));
    follow_focus(step);
    let body = move || match (is_editable.get(), step.get()) {
        (false, _) => view! { <NotEditable latest/> }.into_any(),
        (true, Step::Details) => view! { <details::DetailsStep latest/> }.into_any(),
        (true, Step::Cover) => view! { <cover::CoverStep latest/> }.into_any(),
        (true, Step::Tracks) => view! { <tracks::TracksStep latest order/> }.into_any(),
        (true, Step::Submit) => view! { <submit::SubmitStep latest/> }.into_any(),
    };
    view! {
        <div class="page">
            {move || {
                view! {
                    <PageHead title=title.get()>
                        <a class="btn btn-quiet" href=format!("/releases/{id}")>
                            "Release page"
                        </a>
                    </PageHead>
                }
            }}
            <div class="wizard">
                <Steps latest/>
                <div class="wizard-step">{body}</div>
                <aside class="wizard-aside" aria-label="Checklist">
                    {move || view! { <Checklist release=latest.get()/> }}
                </aside>
            </div>
            <p class="visually-hidden" role="status">{move || Announcer::get().0.get()}</p>
        </div>
    }
}

/// The steps as links. A complete one has a tick.
#[component]
fn Steps(latest: Latest) -> impl IntoView {
    let id = latest.id();
    let missing = Memo::new(move |_| latest.with(ReleaseView::missing));
    let link = move |each: Step| {
        let is_done = move || match each {
            Step::Submit => missing.with(Vec::is_empty),
            each => missing.with(|missing| missing.iter().all(|item| item.step != each)),
        };
        view! {
            <li>
                <A href=format!("/releases/{id}/{}", each.slug()) attr:class="wizard-link">
                    {move || view! { <Icon name=if is_done() { IconName::Done } else { IconName::Circle }/> }}
                    <span>{each.label()}</span>
                    <span class="visually-hidden">{move || if is_done() { " (complete)" } else { "" }}</span>
                </A>
            </li>
        }
    };
    view! {
        <nav class="wizard-steps" aria-label="Steps">
            <ol>{Step::ALL.map(link).collect_view()}</ol>
        </nav>
    }
}

#[component]
fn NotEditable(latest: Latest) -> impl IntoView {
    view! {
        <section class="card stack">
            <h2 class="section-title" id=STEP_HEADING tabindex="-1">"Not a draft"</h2>
            <p>{move || latest.with(|release| release.status.why_not_editable())}</p>
            <p><a class="btn" href=format!("/releases/{}", latest.id())>"To the release page"</a></p>
        </section>
    }
}

/// The heading of a step, which gets the focus when the step opens.
#[component]
fn StepHead(step: Step, #[prop(optional, into)] text: String) -> impl IntoView {
    view! {
        <div>
            <h2 class="section-title" id=STEP_HEADING tabindex="-1">{step.label()}</h2>
            {(!text.is_empty()).then(|| view! { <p class="meta">{text}</p> })}
        </div>
    }
}

/// Focuses the field that the address names, or the heading of a step that has just opened.
fn follow_focus(step: Memo<Step>) {
    let hash = use_location().hash;
    Effect::new(move |last: Option<(Step, String)>| {
        let now = (step.get(), hash.get());
        let field = now.1.trim_start_matches('#').to_owned();
        if last.as_ref() != Some(&now) {
            if !field.is_empty() {
                focus::anchor(&field);
            } else if last.is_some_and(|(before, _)| before != now.0) {
                focus::on(&format!("#{STEP_HEADING}"));
            }
        }
        now
    });
}

/// Tells screen readers of changes that are visible on the page.
#[derive(Clone, Copy)]
struct Announcer(RwSignal<String>);

impl Announcer {
    fn get() -> Self {
        expect_context()
    }

    fn say(self, text: impl Into<String>) {
        self.0.set(text.into());
    }
}
