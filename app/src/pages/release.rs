//! `/releases/:id`: a release with its status, tracks, details and history, and what to do next.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;
use time::{Date, OffsetDateTime};
use vwaza::domain::{
    account::Actor,
    files::FileState,
    ids::ReleaseId,
    release::{ReleaseStatus, ReleaseView},
};

use crate::{
    api::releases::{DeleteRelease, ReviseRelease, WithdrawRelease, release},
    components::{
        checklist::MissingLinks,
        cover::{Cover, shown_cover},
        dialog::Dialog,
        focus,
        form::{FormErrors, FormNote, SubmitButton},
        icon::{Icon, IconName},
        page_error::{NotFoundError, PageError},
        release_facts::ReleaseFacts,
        require::RequireSignIn,
        skeleton::Shape,
        status::{AttentionBadge, StatusBadge},
        time_ago::{TimeAgo, TimeStyle, date_words},
        timeline::Timeline,
        track_list::TrackList,
    },
    error::ApiResult,
    state::{
        flash::form_action,
        live::{Live, await_first, last_good},
        session::Session,
    },
};

/// The forms of this page, which only the artist has.
#[derive(Clone, Copy)]
struct ReleaseActions {
    withdraw: ServerAction<WithdrawRelease>,
    revise: ServerAction<ReviseRelease>,
    delete: ServerAction<DeleteRelease>,
    errors: FormErrors,
    delete_open: RwSignal<bool>,
}

impl ReleaseActions {
    fn new() -> Self {
        let withdraw = form_action::<WithdrawRelease>();
        let revise = form_action::<ReviseRelease>();
        let delete = form_action::<DeleteRelease>();
        let errors = FormErrors::of(move || {
            let withdrawn = withdraw.value().get().and_then(Result::err);
            let revised = revise.value().get().and_then(Result::err);
            withdrawn.or(revised).or(delete.value().get().and_then(Result::err))
        })
        .in_note();
        let delete_open = RwSignal::new(false);
        Effect::new(move || {
            // The answer is shown on the page, behind the dialog.
            if delete.value().get().is_some() {
                delete_open.set(false);
            }
        });
        Effect::new(move || {
            // The pressed button belonged to the old status and is gone, so the title gets the focus.
            if withdraw.value().get().is_some() {
                focus::on("#release-title");
            }
        });
        Self { withdraw, revise, delete, errors, delete_open }
    }

    /// Grows with every answer. A refusal counts, too: it means that the page shows something old.
    fn answers(self) -> usize {
        self.withdraw.version().get() + self.revise.version().get()
    }
}

#[component]
pub fn Release() -> impl IntoView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("id")?.parse::<ReleaseId>().ok()));
    let actions = ReleaseActions::new();
    let changes = move || id.get().map(|id| Live::get().on_release(id).get());
    let data = Resource::new(
        move || (id.get(), changes(), actions.answers()),
        |(id, ..)| async move {
            match id {
                Some(id) => release(id).await.map(Some),
                None => Ok(None),
            }
        },
    );
    view! {
        <RequireSignIn shape=Shape::Release awaits=move || await_first(data)>
            {
                let shown = last_good(move || id.get(), data);
                move || shown.get().map(|answer| view! { <ReleaseOrError answer=answer actions=actions/> })
            }
        </RequireSignIn>
    }
}

#[component]
fn ReleaseOrError(answer: ApiResult<Option<ReleaseView>>, actions: ReleaseActions) -> impl IntoView {
    match answer {
        Ok(Some(release)) => view! { <ReleasePage release=release actions=actions/> }.into_any(),
        Ok(None) => view! { <NotFoundError/> }.into_any(),
        Err(error) => view! { <PageError error=error/> }.into_any(),
    }
}

#[component]
fn ReleasePage(release: ReleaseView, actions: ReleaseActions) -> impl IntoView {
    let title = release.display_title();
    let is_own = untrack(|| Session::get().actor()).is_some_and(|actor: Actor| actor.id == release.artist_id);
    let timeline = release.timeline.clone();
    view! {
        <Title text=title.clone()/>
        <div class="page">
            <FormNote errors=actions.errors/>
            <div class="release-hero">
                <Cover object=shown_cover(&release.cover) edge=640 alt=format!("Cover of {title}") class="release-cover"/>
                <div>
                    <p class="release-kind">{release.kind().label()}</p>
                    <h1 class="release-title" id="release-title" tabindex="-1">{title}</h1>
                    <p>{release.artist_name.clone()}</p>
                    <div class="release-state">
                        <div class="release-badges">
                            {release.needs_attention().then(|| view! { <AttentionBadge/> })}
                            <div role="status"><StatusBadge status=release.status/></div>
                        </div>
                        <StatusSentence release=release.clone()/>
                        {if is_own {
                            view! { <OwnerActions release=release.clone() actions=actions/> }.into_any()
                        } else {
                            view! { <ReviewLink release=release.clone()/> }.into_any()
                        }}
                    </div>
                </div>
            </div>
            <section class="section" aria-labelledby="tracks-title">
                <h2 class="section-title" id="tracks-title">"Tracks"</h2>
                {if release.tracks.is_empty() {
                    view! { <p class="meta">"No tracks yet."</p> }.into_any()
                } else {
                    view! { <TrackList release=release.clone()/> }.into_any()
                }}
            </section>
            <div class="release-columns section">
                <section aria-labelledby="details-title">
                    <h2 class="section-title" id="details-title">"Details"</h2>
                    <ReleaseFacts release=release/>
                </section>
                <section aria-labelledby="timeline-title">
                    <h2 class="section-title" id="timeline-title">"What happened"</h2>
                    <Timeline events=timeline/>
                </section>
            </div>
        </div>
    }
}

/// The status in a sentence.
#[component]
fn StatusSentence(release: ReleaseView) -> impl IntoView {
    match release.status {
        ReleaseStatus::Draft if release.missing().is_empty() => {
            view! { <p>"Everything is here. Submit the release when you are ready."</p> }.into_any()
        }
        ReleaseStatus::Draft => view! { <IncompleteSentence release/> }.into_any(),
        ReleaseStatus::Processing => view! { <ProcessingSentence release/> }.into_any(),
        ReleaseStatus::PendingReview => view! { <PendingSentence submitted_at=release.submitted_at/> }.into_any(),
        ReleaseStatus::Published => view! { <PublishedSentence release_date=release.details.release_date/> }.into_any(),
        ReleaseStatus::Rejected => view! { <RejectedSentence reason=release.reject_reason/> }.into_any(),
    }
}

#[component]
fn IncompleteSentence(release: ReleaseView) -> impl IntoView {
    view! {
        <div>
            <p>"Before you can submit this release:"</p>
            <ul class="submit-missing"><MissingLinks id=release.id missing=release.missing()/></ul>
        </div>
    }
}

#[component]
fn ProcessingSentence(release: ReleaseView) -> impl IntoView {
    view! { <p>"Examining: all files are safe with us (" {files_ready(&release)} "). You may leave this page."</p> }
}

#[component]
fn PendingSentence(submitted_at: Option<OffsetDateTime>) -> impl IntoView {
    let since = submitted_at.map(|at| view! { <p class="meta">"Since " <TimeAgo at=at style=TimeStyle::Since/></p> });
    view! {
        <div>
            <p>"Waiting for review. Next, a reviewer listens to the release."</p>
            {since}
        </div>
    }
}

#[component]
fn PublishedSentence(release_date: Option<Date>) -> impl IntoView {
    let date = release_date.map(|date| format!(" Its release date is {}.", date_words(date)));
    view! { <p>"Approved and published." {date}</p> }
}

#[component]
fn RejectedSentence(reason: Option<String>) -> impl IntoView {
    let reason = reason.map(|reason| view! { <blockquote class="quote">{reason}</blockquote> });
    view! {
        <p>"This release needs a change before we can publish it:"</p>
        {reason}
    }
}

fn files_ready(release: &ReleaseView) -> String {
    let states = std::iter::once(release.cover.state()).chain(release.tracks.iter().map(|track| track.state()));
    let ready = states.filter(|state| *state == FileState::Ready).count();
    format!("{ready} of {} ready", release.tracks.len() + 1)
}

#[component]
fn OwnerActions(release: ReleaseView, actions: ReleaseActions) -> impl IntoView {
    let id = release.id;
    view! {
        <div class="release-actions">
            {match release.status {
                ReleaseStatus::Draft => view! { <DraftActions release=release actions=actions/> }.into_any(),
                ReleaseStatus::Processing | ReleaseStatus::PendingReview => {
                    view! { <WithdrawForm id action=actions.withdraw/> }.into_any()
                }
                ReleaseStatus::Rejected => view! { <ReviseForm id action=actions.revise/> }.into_any(),
                ReleaseStatus::Published => ().into_any(),
            }}
        </div>
    }
}

#[component]
fn WithdrawForm(id: ReleaseId, action: ServerAction<WithdrawRelease>) -> impl IntoView {
    view! {
        <ActionForm action=action>
            <input type="hidden" name="id" value=id.to_string()/>
            <SubmitButton pending=action.pending() label="Withdraw to change it" class="btn" icon=IconName::Back/>
        </ActionForm>
    }
}

#[component]
fn ReviseForm(id: ReleaseId, action: ServerAction<ReviseRelease>) -> impl IntoView {
    view! {
        <ActionForm action=action>
            <input type="hidden" name="id" value=id.to_string()/>
            <SubmitButton pending=action.pending() label="Revise" icon=IconName::Edit/>
        </ActionForm>
    }
}

#[component]
fn DraftActions(release: ReleaseView, actions: ReleaseActions) -> impl IntoView {
    let missing = release.missing();
    let step = missing.first().map_or("submit", |missing| missing.step.slug());
    let label = if missing.is_empty() { "Review and submit" } else { "Continue editing" };
    let open = actions.delete_open;
    view! {
        <a class="btn btn-primary" href=format!("/releases/{}/{step}", release.id)>{label}<Icon name=IconName::Forward/></a>
        <button type="button" class="btn-quiet btn-quiet-danger script-only" on:click=move |_| open.set(true)>
            <Icon name=IconName::Trash/>
            "Delete draft"
        </button>
        <Dialog open=open title="Delete this draft">
            <div class="stack">
                <p>{format!("“{}” and all its files are deleted permanently.", release.display_title())}</p>
                <div class="dialog-actions">
                    <button type="button" class="btn" on:click=move |_| open.set(false)>"Keep it"</button>
                    <ActionForm action=actions.delete>
                        <input type="hidden" name="id" value=release.id.to_string()/>
                        <SubmitButton pending=actions.delete.pending() label="Delete draft" class="btn btn-danger"/>
                    </ActionForm>
                </div>
            </div>
        </Dialog>
    }
}

/// Links from this page, on which an admin can listen, to the review.
#[component]
fn ReviewLink(release: ReleaseView) -> impl IntoView {
    (release.status == ReleaseStatus::PendingReview).then(|| {
        view! {
            <a class="btn btn-primary" href=format!("/review/{}", release.id)>"Review"<Icon name=IconName::Forward/></a>
        }
    })
}
