//! One release: where it stands, what it is made of, what happened to it, and the one thing to do next.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;
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
        live::{Live, last_good},
        session::Session,
    },
};

/// What its artist can do with a release on this page.
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
            // What was answered stands in the page, behind the question.
            if delete.value().get().is_some() {
                delete_open.set(false);
            }
        });
        Effect::new(move || {
            // The button that was pressed has gone with the status that it was for.
            if withdraw.value().get().is_some() {
                focus::on("#release-title");
            }
        });
        Self { withdraw, revise, delete, errors, delete_open }
    }

    /// Grows with every answer: also a refusal says that the page shows something old.
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
        <RequireSignIn shape=Shape::Release>
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

/// Where it stands, in a sentence.
#[component]
fn StatusSentence(release: ReleaseView) -> impl IntoView {
    match release.status {
        ReleaseStatus::Draft => {
            let missing = release.missing();
            if missing.is_empty() {
                view! { <p>"Everything is here. Submit it when you are ready."</p> }.into_any()
            } else {
                view! {
                    <div>
                        <p>"Before you can submit it:"</p>
                        <ul class="submit-missing"><MissingLinks id=release.id missing=missing/></ul>
                    </div>
                }
                .into_any()
            }
        }
        ReleaseStatus::Processing => {
            view! { <p>"All files are safe with us and are being examined (" {files_ready(&release)} "). You may leave this page."</p> }
                .into_any()
        }
        ReleaseStatus::PendingReview => {
            let since = release.submitted_at.map(|at| view! { <p class="meta">"Since " <TimeAgo at=at style=TimeStyle::Since/></p> });
            view! {
                <div>
                    <p>"Waiting for review. A reviewer listens to it next."</p>
                    {since}
                </div>
            }
            .into_any()
        }
        ReleaseStatus::Published => {
            let out = release.details.release_date.map(|date| format!(" Its release date is {}.", date_words(date)));
            view! { <p>"Approved and published." {out}</p> }.into_any()
        }
        ReleaseStatus::Rejected => {
            let reason = release.reject_reason.map(|reason| view! { <blockquote class="quote">{reason}</blockquote> });
            view! {
                <p>"This release needs a change before we can publish it:"</p>
                {reason}
            }
            .into_any()
        }
    }
}

fn files_ready(release: &ReleaseView) -> String {
    let states = std::iter::once(release.cover.state()).chain(release.tracks.iter().map(|track| track.state()));
    let ready = states.filter(|state| *state == FileState::Ready).count();
    format!("{ready} of {} ready", release.tracks.len() + 1)
}

#[component]
fn OwnerActions(release: ReleaseView, actions: ReleaseActions) -> impl IntoView {
    let id = release.id.to_string();
    let status = release.status;
    view! {
        <div class="release-actions">
            {match status {
                ReleaseStatus::Draft => view! { <DraftActions release=release actions=actions/> }.into_any(),
                ReleaseStatus::Processing | ReleaseStatus::PendingReview => {
                    view! {
                        <ActionForm action=actions.withdraw>
                            <input type="hidden" name="id" value=id/>
                            <SubmitButton pending=actions.withdraw.pending() label="Withdraw to change it" class="btn" icon=IconName::Back/>
                        </ActionForm>
                    }
                        .into_any()
                }
                ReleaseStatus::Rejected => {
                    view! {
                        <ActionForm action=actions.revise>
                            <input type="hidden" name="id" value=id/>
                            <SubmitButton pending=actions.revise.pending() label="Revise" icon=IconName::Edit/>
                        </ActionForm>
                    }
                        .into_any()
                }
                ReleaseStatus::Published => ().into_any(),
            }}
        </div>
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
        <button type="button" class="btn-quiet btn-quiet-danger noscript:hidden" on:click=move |_| open.set(true)>
            <Icon name=IconName::Trash/>
            "Delete draft"
        </button>
        <Dialog open=open title="Delete this draft">
            <div class="stack">
                <p>{format!("“{}” and all its files are deleted for good.", release.display_title())}</p>
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

/// An admin listens here and judges in the review.
#[component]
fn ReviewLink(release: ReleaseView) -> impl IntoView {
    (release.status == ReleaseStatus::PendingReview).then(|| {
        view! {
            <a class="btn btn-primary" href=format!("/review/{}", release.id)>"Review"<Icon name=IconName::Forward/></a>
        }
    })
}
