//! The last step: the whole release on one page, the missing items, and the button that submits it.

use leptos::{prelude::*, server_fn::ServerFn};
use vwaza::domain::{
    files::FileState,
    ids::{ReleaseId, TrackId},
    release::{Missing, ReleaseView, Step},
    track::TrackView,
    upload::UploadTarget,
};

use super::{StepHead, latest::Latest, tracks::RemoveDialog};
use crate::{
    api::{releases::SubmitRelease, tracks::RemoveTrack},
    components::{
        checklist::MissingLinks,
        cover::{Cover, shown_cover},
        focus,
        form::{FormErrors, FormNote},
        icon::{Icon, IconName},
        release_facts::ReleaseFacts,
        track_list::TrackList,
    },
    state::{
        flash::form_action,
        session::Session,
        uploads::{Task, Uploads},
    },
};

#[component]
pub(super) fn SubmitStep(latest: Latest) -> impl IntoView {
    let id = latest.id();
    let action = form_action::<SubmitRelease>();
    let errors = FormErrors::of(move || action.value().get().and_then(Result::err)).in_note();
    // Files that the server does not know yet are missing, too.
    let uploads = Uploads::get();
    let unsent = Memo::new(move |_| latest.with(|release| uploads.not_in_submission(release)));
    let missing = Memo::new(move |_| latest.with(ReleaseView::missing));
    let session = Session::get();
    let must_verify = Memo::new(move |_| session.actor().is_some_and(|actor| actor.must_verify_email));
    let is_complete =
        Memo::new(move |_| missing.with(Vec::is_empty) && unsent.with(Vec::is_empty) && !must_verify.get());
    let asked = RwSignal::new(None::<TrackView>);
    let is_asking = RwSignal::new(false);
    let on_remove = Callback::new(move |id: TrackId| {
        asked.set(latest.with_untracked(|release| release.tracks.iter().find(|track| track.id == id).cloned()));
        is_asking.set(true);
    });
    view! {
        <section class="stack">
            <StepHead step=Step::Submit text="Check the release before you submit it. You can withdraw it while it waits for review."/>
            {move || view! { <Overview release=latest.get()/> }}
            <div class="card stack">
                <FormNote errors/>
                <Show when=move || !is_complete.get() fallback=move || view! { <ReadyToSubmit latest/> }>
                    <MissingItems id missing unsent must_verify on_remove/>
                </Show>
                <ActionForm action=action>
                    <input type="hidden" name="id" value=id.to_string()/>
                    <button
                        type="submit"
                        class="btn btn-primary btn-large"
                        disabled=move || !is_complete.get()
                        aria-disabled=move || action.pending().get().then_some("true")
                        aria-describedby="submit-state"
                        on:click=move |event| {
                            if action.pending().get_untracked() {
                                event.prevent_default();
                            }
                        }
                    >
                        "Submit for review"
                    </button>
                </ActionForm>
            </div>
            <RemoveDialog latest asked open=is_asking then="#submit-state"/>
        </section>
    }
}

/// Lists the missing items. Each is a link to the field where it is fixed. A track without a file can also be removed.
#[component]
fn MissingItems(
    id: ReleaseId,
    missing: Memo<Vec<Missing>>,
    unsent: Memo<Vec<Task>>,
    must_verify: Memo<bool>,
    on_remove: Callback<TrackId>,
) -> impl IntoView {
    let items = move || {
        let others = missing.get().into_iter().filter(|item| item.track.is_none()).collect();
        view! { <MissingLinks id missing=others/> }
    };
    let files = move || missing.get().into_iter().filter_map(|item| Some((item.track?, item))).collect::<Vec<_>>();
    let unsent = move || {
        let files = unsent.with(Vec::len);
        let covers = unsent.with(|tasks| tasks.iter().filter(|task| task.target == UploadTarget::Cover(id)).count());
        let cover = (covers > 0).then(|| (Step::Cover, "The new cover is not uploaded yet".to_owned()));
        let tracks = match files - covers {
            0 => None,
            1 => Some((Step::Tracks, "1 audio file is not uploaded yet".to_owned())),
            files => Some((Step::Tracks, format!("{files} audio files are not uploaded yet"))),
        };
        let link = |(step, words): (Step, String)| {
            view! { <li><a class="link" href=format!("/releases/{id}/{}", step.slug())>{words}</a></li> }
        };
        [cover, tracks].into_iter().flatten().map(link).collect_view()
    };
    let address = move || {
        must_verify.get().then(|| {
            view! { <li><a class="link" href="/account#email">"Your e-mail address is not confirmed yet"</a></li> }
        })
    };
    view! {
        <div id="submit-state" class="stack-tight" tabindex="-1">
            <h3 class="submit-state-title"><Icon name=IconName::Circle/>"Before you can submit"</h3>
            <ul class="submit-missing">
                {items}
                <For
                    each=files
                    key=|(track, item)| (*track, item.message.clone())
                    children=move |(track, item)| view! { <MissingFile id track item on_remove/> }
                />
                {unsent}
                {address}
            </ul>
        </div>
    }
}

/// A track whose file has not arrived. The artist continues the upload in the track's row, or removes the track.
#[component]
fn MissingFile(id: ReleaseId, track: TrackId, item: Missing, on_remove: Callback<TrackId>) -> impl IntoView {
    let words = item.sentence();
    let address = format!("/releases/{id}/{}#{}", item.step.slug(), item.field);
    let (go_on, remove) = (format!("Continue: {words}"), format!("Remove: {words}"));
    let again = move |_| focus::anchor(&item.field);
    view! {
        <li class="submit-file">
            <span>{words}</span>
            <span class="submit-file-actions">
                <a class="btn btn-small" href=address aria-label=go_on on:click=again>
                    "Continue"
                </a>
                <form
                    method="post"
                    action=RemoveTrack::url()
                    on:submit=move |event| {
                        event.prevent_default();
                        on_remove.run(track);
                    }
                >
                    <input type="hidden" name="id" value=track.to_string()/>
                    <button type="submit" class="btn btn-quiet btn-small" aria-label=remove>
                        "Remove"
                    </button>
                </form>
            </span>
        </li>
    }
}

/// Says that nothing is missing. The artist can submit while files are still being stored and examined.
#[component]
fn ReadyToSubmit(latest: Latest) -> impl IntoView {
    let pending = Memo::new(move |_| {
        latest.with(|release| {
            let files = release.tracks.iter().map(TrackView::state).chain([release.cover.state()]);
            files.filter(|state| matches!(state, FileState::Storing | FileState::Examining)).count()
        })
    });
    view! {
        <div id="submit-state" class="stack-tight" tabindex="-1">
            <h3 class="submit-state-title"><Icon name=IconName::Done/>"Everything is here"</h3>
            <p class="meta">
                {move || match pending.get() {
                    0 => "Every file is stored and examined.".to_owned(),
                    1 => "1 file is still being stored and examined. You can submit now: the review begins when it is ready.".to_owned(),
                    files => {
                        format!("{files} files are still being stored and examined. You can submit now: the review begins when they are ready.")
                    }
                }}
            </p>
        </div>
    }
}

#[component]
fn Overview(release: ReleaseView) -> impl IntoView {
    let id = release.id;
    let title = release.display_title();
    let edit = move |step: Step| {
        let label = format!("Edit {}", step.label().to_lowercase());
        view! {
            <a class="btn btn-quiet btn-small" href=format!("/releases/{id}/{}", step.slug()) aria-label=label>
                <Icon name=IconName::Edit/>
                "Edit"
            </a>
        }
    };
    let lead = vec![
        ("Title", (!release.details.title.is_empty()).then(|| title.clone())),
        ("Artist", Some(release.artist_name.clone())),
        ("Release type", Some(release.kind().to_string())),
    ];
    let cover = shown_cover(&release.cover);
    let tracks = if release.tracks.is_empty() {
        view! { <p class="meta">"No tracks yet"</p> }.into_any()
    } else {
        view! { <TrackList release=release.clone()/> }.into_any()
    };
    view! {
        <div class="card overview">
            <div class="overview-cover">
                <Cover object=cover edge=640 alt=format!("Cover of {title}")/>
                {edit(Step::Cover)}
            </div>
            <div>
                <div class="overview-head"><h3>"Details"</h3>{edit(Step::Details)}</div>
                <ReleaseFacts lead=lead release/>
            </div>
        </div>
        <div class="card">
            <div class="overview-head"><h3>"Tracks"</h3>{edit(Step::Tracks)}</div>
            {tracks}
        </div>
    }
}
