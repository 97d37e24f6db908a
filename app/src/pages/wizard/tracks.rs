//! The third step: audio files become tracks, in the order in which they play.

use leptos::{prelude::*, server_fn::ServerFn, task::spawn_local};
use vwaza::domain::{
    ids::TrackId,
    media::ACCEPT_AUDIO,
    release::{ReleaseView, Step},
    track::TrackView,
    upload::{UploadState, UploadTarget},
};

use super::{
    Announcer, StepHead,
    latest::Latest,
    order::{TrackOrder, track_of},
    track::TrackEditor,
};
use crate::{
    api::tracks::{MoveTrack, RemoveTrack, SaveTrack, remove_track},
    components::{
        dialog::Dialog,
        error_note::ErrorNote,
        focus,
        track_list::play_queue,
        uploads::{
            drop_zone::{Amount, DropZone},
            new_track_row::NewTrackRow,
            track_row::{TrackForms, TrackTable},
        },
    },
    state::{
        flash::form_refusal,
        limits,
        toasts::Toasts,
        uploads::{Command, Task, TaskState, Uploads},
    },
};

#[component]
pub(super) fn TracksStep(latest: Latest, order: TrackOrder) -> impl IntoView {
    let id = latest.id();
    let uploads = Uploads::get();
    let address = format!("/releases/{id}/{}", Step::Tracks.slug());
    announce_uploads(latest);
    let next = format!("/releases/{id}/{}", Step::Submit.slug());
    view! {
        <section class="stack">
            <StepHead step=Step::Tracks text="Put the tracks in the order in which they play."/>
            <PlainFormErrors/>
            <DropZone
                id="tracks"
                invitation="Drop audio files anywhere on this page, as many as you like"
                button="Choose audio files"
                limits=limits::get().audio_sentence()
                accept=ACCEPT_AUDIO
                amount=Amount::Many
                target=UploadTarget::NewTrack(id)
                notes=Signal::derive(move || uploads.notes(id))
                on_files=Callback::new(move |files| uploads.add(latest.snapshot(), UploadTarget::NewTrack(id), files))
                on_dismiss=Callback::new(move |()| uploads.dismiss_notes())
            />
            <TrackTableView latest order address/>
            <div class="wizard-actions">
                <span></span>
                <a class="btn btn-primary" href=next>"Continue"</a>
            </div>
        </section>
    }
}

/// Says why plain forms were refused. A refused field is also marked in its row.
#[component]
fn PlainFormErrors() -> impl IntoView {
    let (save, reorder, remove) =
        (form_refusal::<SaveTrack>(), form_refusal::<MoveTrack>(), form_refusal::<RemoveTrack>());
    [save, reorder, remove]
        .into_iter()
        .flatten()
        // The fields are somewhere in the table, so their sentences are shown here, too.
        .map(|error| view! { <ErrorNote error=error.with_fields_in_message()/> })
        .collect_view()
}

#[component]
fn TrackTableView(latest: Latest, order: TrackOrder, address: String) -> impl IntoView {
    let id = latest.id();
    let uploads = Uploads::get();
    let queue = StoredValue::new(latest.with_untracked(play_queue));
    Effect::new(move || queue.set_value(latest.with(play_queue)));
    let address = StoredValue::new(address);
    let table = TrackTable {
        forms: TrackForms { save: SaveTrack::url(), reorder: MoveTrack::url(), remove: RemoveTrack::url() },
        count: Signal::derive(move || order.count()),
        queue,
        dragged: RwSignal::new(None),
        address,
    };
    let asked = RwSignal::new(None::<TrackView>);
    let is_asking = RwSignal::new(false);
    let on_remove = Callback::new(move |track| {
        asked.set(Some(track));
        is_asking.set(true);
    });
    let new = Memo::new(move |_| latest.with(|release| uploads.of_new_tracks(id, &release.tracks)));
    let is_empty = Memo::new(move |_| order.count() == 0 && new.with(Vec::is_empty));
    view! {
        <Show when=move || is_empty.get()>
            <p class="meta">"No tracks yet. Each file becomes a track; its title comes from the file."</p>
        </Show>
        <table class="track-table" role="table" aria-label="Tracks" hidden=move || is_empty.get()>
            <thead role="rowgroup">
                <tr role="row">
                    <th scope="col" role="columnheader">"Order"</th>
                    <th scope="col" role="columnheader">"Title"</th>
                    <th scope="col" role="columnheader">"Audio"</th>
                    <th scope="col" role="columnheader">"Duration"</th>
                    <th scope="col" role="columnheader"><span class="visually-hidden">"Remove"</span></th>
                </tr>
            </thead>
            <tbody role="rowgroup">
                <For
                    each=move || order.shown()
                    key=|id| *id
                    children=move |id| track_of(latest, id).map(|track| view! { <TrackEditor latest track table order on_remove/> })
                />
                <For
                    each=move || new.get()
                    key=|task| task.id
                    children=move |task| view! { <NewTrack latest task address=address.get_value()/> }
                />
            </tbody>
        </table>
        <RemoveDialog latest asked open=is_asking then="#tracks"/>
    }
}

/// The row of a file whose track the server has not created yet.
#[component]
fn NewTrack(latest: Latest, task: Task, address: String) -> impl IntoView {
    let uploads = Uploads::get();
    let (task_id, target) = (task.id, UploadTarget::NewTrack(latest.id()));
    let on_command = Callback::new(move |command| uploads.command(task_id, command));
    let on_files = Callback::new(move |files| {
        uploads.command(task_id, Command::Cancel);
        uploads.add(latest.snapshot(), target, files);
    });
    view! { <NewTrackRow task address on_command on_files/> }
}

/// Asks before a track is removed, because its audio goes with it.
#[component]
pub(super) fn RemoveDialog(
    latest: Latest,
    asked: RwSignal<Option<TrackView>>,
    open: RwSignal<bool>,
    /// CSS selector of the element that gets the focus once the track is removed.
    then: &'static str,
) -> impl IntoView {
    let (uploads, toasts, announcer) = (Uploads::get(), Toasts::get(), Announcer::get());
    let remove = move |id: TrackId, title: String| {
        if let Some(task) = untrack(|| uploads.of_track(id)) {
            uploads.dismiss(&task);
        }
        spawn_local(async move {
            match remove_track(id).await {
                Ok(release) => {
                    latest.accept(release);
                    announcer.say(format!("“{title}” is removed"));
                    focus::on(then);
                }
                Err(error) => toasts.error(&error),
            }
        });
    };
    let title = move || asked.with(|track| track.as_ref().map(TrackView::display_title).unwrap_or_default());
    view! {
        <Dialog open=open title="Remove this track">
            <div class="stack">
                <p>{move || format!("“{}” and its audio are removed from this release.", title())}</p>
                <div class="dialog-actions">
                    <button type="button" class="btn" on:click=move |_| open.set(false)>
                        "Keep it"
                    </button>
                    <button
                        type="button"
                        class="btn btn-danger"
                        on:click=move |_| {
                            if let Some(track) = asked.get_untracked() {
                                remove(track.id, track.display_title());
                            }
                            open.set(false);
                        }
                    >
                        "Remove the track"
                    </button>
                </div>
            </div>
        </Dialog>
    }
}

/// Announces each change of an upload's state once, without percentages.
pub(super) fn announce_uploads(latest: Latest) {
    let (uploads, announcer) = (Uploads::get(), Announcer::get());
    Effect::new(move |last: Option<Vec<String>>| {
        let last = last.unwrap_or_default();
        let of_tasks = uploads.of_release(latest.id()).into_iter().filter_map(|task| {
            let state = task.state();
            (state != TaskState::Queued).then(|| format!("{}: {}", task.file_name, state.announcement()))
        });
        let now: Vec<String> = of_tasks.chain(latest.with(failures)).collect();
        let news: Vec<&str> = now.iter().filter(|words| !last.contains(words)).map(String::as_str).collect();
        if !news.is_empty() {
            announcer.say(news.join(". "));
        }
        now
    });
}

/// Sentences about files that the server has received and could not use. They are no uploads of this tab any more.
fn failures(release: &ReleaseView) -> Vec<String> {
    let pending = release.tracks.iter().map(|track| &track.pending).chain([&release.cover.pending]).flatten();
    let failed = pending.filter(|upload| matches!(upload.state, UploadState::Failed | UploadState::Discarded));
    failed
        .map(|upload| format!("{}: {}", upload.file_name, upload.message.as_deref().unwrap_or("the upload failed")))
        .collect()
}
