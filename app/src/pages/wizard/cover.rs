//! The second step: the cover.

use leptos::prelude::*;
use vwaza::domain::{
    files::{CoverFile, Examination, FileState},
    media::{ACCEPT_COVER, cover_warnings},
    release::Step,
    upload::{UploadState, UploadTarget},
};

use super::{StepHead, latest::Latest, tracks::announce_uploads};
use crate::{
    components::{
        cover::{Cover as CoverImage, shown_cover},
        icon::{Icon, IconName},
        status::FileStatus,
        uploads::{
            drop_zone::{Amount, DropZone},
            progress::UploadProgress,
            resume_note::ResumeNote,
        },
    },
    state::{
        limits,
        toasts::Toasts,
        uploads::{Files, TaskState, Uploads},
    },
};

#[component]
pub(super) fn CoverStep(latest: Latest) -> impl IntoView {
    let id = latest.id();
    let uploads = Uploads::get();
    announce_uploads(latest);
    let preview = preview(latest);
    let on_files = Callback::new(move |files| uploads.add(latest.snapshot(), UploadTarget::Cover(id), files));
    view! {
        <section class="card stack">
            <StepHead step=Step::Cover/>
            <div class="cover-step">
                <CoverPreview latest preview/>
                <div class="stack">
                    <DropZone
                        id="cover"
                        invitation="Drop the cover anywhere on this page"
                        button="Choose a cover"
                        limits=limits::get().cover_sentence()
                        accept=ACCEPT_COVER
                        amount=Amount::One
                        target=UploadTarget::Cover(id)
                        notes=Signal::derive(move || uploads.notes(id))
                        on_files=on_files
                        on_dismiss=Callback::new(move |()| uploads.dismiss_notes())
                    />
                    <CoverProgress latest on_files/>
                    <CoverFacts latest preview/>
                </div>
            </div>
            <div class="wizard-actions">
                <span></span>
                <a class="btn btn-primary" href=format!("/releases/{id}/{}", Step::Tracks.slug())>"Continue"</a>
            </div>
        </section>
    }
}

/// The address of a cover on this computer that the server has not examined yet.
fn preview(latest: Latest) -> Memo<Option<String>> {
    let (id, uploads) = (latest.id(), Uploads::get());
    let is_ready = Memo::new(move |_| latest.with(|release| release.cover.state() == FileState::Ready));
    Memo::new(move |_| {
        let task = uploads.of_cover(id)?;
        match task.state() {
            TaskState::Refused(_) => None,
            TaskState::Done if is_ready.get() => None,
            _ => task.preview,
        }
    })
}

/// The newest cover: from this computer until the server has examined it.
#[component]
fn CoverPreview(latest: Latest, preview: Memo<Option<String>>) -> impl IntoView {
    let stored = Memo::new(move |_| latest.with(|release| shown_cover(&release.cover)));
    let alt = move || format!("Cover of {}", latest.with(|release| release.display_title()));
    move || match preview.get() {
        Some(address) => {
            view! { <img class="cover cover-large" src=address alt=untrack(alt) width="640" height="640"/> }.into_any()
        }
        None => view! { <CoverImage object=stored.get() edge=640 alt=untrack(alt) class="cover-large"/> }.into_any(),
    }
}

/// The upload of this tab, or the server's note about one.
#[component]
fn CoverProgress(latest: Latest, on_files: Callback<Files>) -> impl IntoView {
    let id = latest.id();
    let (uploads, toasts) = (Uploads::get(), Toasts::get());
    let task = Memo::new(move |_| uploads.of_cover(id));
    let local = Memo::new(move |_| task.get().filter(|task| task.state() != TaskState::Done));
    let pending = Memo::new(move |_| {
        let pending = latest.with(|release| release.cover.pending.clone())?;
        // Only the server's note shows a refusal, so that it is shown once.
        let is_said_here = pending.state == UploadState::Receiving
            && task.get().is_some_and(|task| task.state() != TaskState::Done || task.is_ahead_of(Some(&pending)));
        (!is_said_here).then_some(pending)
    });
    let state = Memo::new(move |_| latest.with(|release| release.cover.state()));
    let under_way = move || {
        local.get().filter(|task| !task.is_refusal_shown_by(pending.get().as_ref())).map(|task| {
            let task_id = task.id;
            let on_command = Callback::new(move |command| uploads.command(task_id, command));
            let address = format!("/releases/{id}/{}", Step::Cover.slug());
            view! { <UploadProgress task address on_command/> }
        })
    };
    let note = move || {
        pending.get().map(|pending| {
            let upload = pending.id;
            let on_cancel = Callback::new(move |()| {
                latest.cancel_upload(upload, untrack(|| uploads.of_cover(id)), toasts);
            });
            view! {
                <ResumeNote pending target=UploadTarget::Cover(id) accept=ACCEPT_COVER id="cover-again" on_files on_cancel/>
            }
        })
    };
    let file_status = move || {
        let is_told =
            local.get().is_some() || pending.get().is_some_and(|pending| pending.state != UploadState::Received);
        let state = match (state.get(), task.with(Option::is_some)) {
            // The upload of this tab is done, and the page does not show that yet.
            (FileState::Receiving | FileState::Missing, true) => FileState::Storing,
            (state, _) => state,
        };
        (!is_told && state != FileState::Missing).then(|| {
            let waits_for = pending.get().filter(|_| state == FileState::Storing).and_then(|upload| upload.message);
            let message = waits_for.or_else(|| latest.with(|release| release.cover.current.as_ref().and_then(failure)));
            view! { <p><FileStatus state=state message=message/></p> }
        })
    };
    view! {
        {under_way}
        {note}
        {file_status}
    }
}

fn failure(file: &CoverFile) -> Option<String> {
    match &file.examination {
        Examination::Failed(reason) => Some(reason.clone()),
        Examination::Pending | Examination::Passed => None,
    }
}

/// The facts and warnings of the cover that is shown. A cover that is still on this computer has none.
#[component]
fn CoverFacts(latest: Latest, preview: Memo<Option<String>>) -> impl IntoView {
    let facts = Memo::new(move |_| {
        let is_stored = preview.with(Option::is_none);
        latest.with(|release| release.cover.current.as_ref().filter(|_| is_stored)?.facts.clone())
    });
    move || {
        facts.get().map(|facts| {
            let warnings = cover_warnings(&facts)
                .into_iter()
                .map(|warning| view! { <li><Icon name=IconName::Warning/><span>{warning.sentence()}</span></li> })
                .collect::<Vec<_>>();
            let warnings = (!warnings.is_empty()).then(|| view! { <ul class="warnings">{warnings}</ul> });
            view! {
                <p class="meta">{facts.summary()}</p>
                {warnings}
            }
        })
    }
}
