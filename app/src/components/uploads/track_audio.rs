//! A track's audio in the wizard's table: its waveform and what was found in it, or how it gets here.

use leptos::prelude::*;
use vwaza::domain::{
    files::{AudioFile, Examination, FileState, PendingUpload},
    media::{ACCEPT_AUDIO, audio_warnings},
    track::TrackView,
    upload::{UploadState, UploadTarget},
};

use super::{file_button::FileButton, progress::UploadProgress, resume_note::ResumeNote, track_event::TrackEvent};
use crate::{
    components::{
        icon::{Icon, IconName},
        status::FileStatus,
        track_list::PlayButton,
        waveform::Waveform,
    },
    state::{
        player::{PlayItem, Player},
        uploads::{Task, TaskState},
    },
};

#[component]
pub fn TrackAudio(
    track: Memo<TrackView>,
    task: Memo<Option<Task>>,
    queue: StoredValue<Vec<PlayItem>>,
    address: StoredValue<String>,
    on_event: Callback<TrackEvent>,
) -> impl IntoView {
    let id = track.with_untracked(|track| track.id);
    let target = UploadTarget::Audio(id);
    let on_files = Callback::new(move |files| on_event.run(TrackEvent::Files(files)));
    let on_command = Callback::new(move |command| on_event.run(TrackEvent::Upload(command)));
    // Memos, so that progress elsewhere does not build this anew under somebody's hands.
    let local = Memo::new(move |_| {
        let is_told = |task: &Task| track.with(|track| task.is_refusal_shown_by(track.pending.as_ref()));
        task.get().filter(|task| task.state() != TaskState::Done && !is_told(task))
    });
    let is_ahead =
        Memo::new(move |_| task.get().is_some_and(|task| track.with(|track| task.is_ahead_of(track.pending.as_ref()))));
    let pending =
        Memo::new(move |_| if local.get().is_some() { None } else { track.with(|track| track.pending.clone()) });
    let audio = Memo::new(move |_| track.with(|track| track.audio.clone()));
    let state = Memo::new(move |_| {
        if local.get().is_some() {
            return None;
        }
        Some(match track.with(TrackView::state) {
            // This tab knows more than the page has heard.
            FileState::Receiving | FileState::Missing if is_ahead.get() => FileState::Storing,
            state => state,
        })
    });

    // What the note below says is not said twice.
    let told = Memo::new(move |_| pending.get().filter(|pending| is_note_enough(pending) && !is_ahead.get()));

    let under_way = move || {
        local.get().map(|task| {
            view! { <UploadProgress task=task address=address.get_value() on_command=on_command/> }
        })
    };
    let note = move || {
        told.get().map(|pending| {
            let upload = pending.id;
            let on_cancel = Callback::new(move |()| on_event.run(TrackEvent::CancelUpload(upload)));
            let file_id = format!("track-{id}-again");
            view! { <ResumeNote pending target accept=ACCEPT_AUDIO id=file_id on_files on_cancel/> }
        })
    };
    let file_status = move || {
        let state = state.get().filter(|state| *state != FileState::Ready && told.with(Option::is_none));
        let of_audio = move || audio.with(|audio| audio.as_ref().and_then(failure));
        let of_upload = move || pending.with(|pending| pending.as_ref().and_then(|pending| pending.message.clone()));
        state.map(|state| view! { <FileStatus state=state message=of_upload().or_else(of_audio)/> })
    };
    let audio_preview = move || {
        let file = audio.get().filter(|file| file.examination == Examination::Passed)?;
        Some(view! { <AudioPreview track=track file=file queue=queue/> })
    };
    let may_choose = Memo::new(move |_| match local.get() {
        // What is bad can be replaced at once.
        Some(task) => task.has_error(),
        None => told.with(Option::is_none) && state.get() != Some(FileState::Storing),
    });
    view! {
        {audio_preview}
        {under_way}
        {note}
        {file_status}
        <Show when=move || may_choose.get()>
            <FileButton
                id=format!("track-{id}-file")
                name=Signal::derive(move || {
                    let verb = if audio.with(Option::is_some) { "Replace" } else { "Choose" };
                    format!("{verb} the audio of “{}”", track.with(TrackView::display_title))
                })
                label=Signal::derive(move || if audio.with(Option::is_some) { "Replace" } else { "Choose audio" })
                accept=ACCEPT_AUDIO
                target=target
                on_files=on_files
            />
        </Show>
    }
}

/// Whether the note about a pending upload says all that there is to say.
fn is_note_enough(pending: &PendingUpload) -> bool {
    matches!(
        pending.state,
        UploadState::Receiving | UploadState::Refused | UploadState::Failed | UploadState::Discarded
    )
}

fn failure(file: &AudioFile) -> Option<String> {
    match &file.examination {
        Examination::Failed(reason) => Some(reason.clone()),
        Examination::Pending | Examination::Passed => None,
    }
}

#[component]
fn AudioPreview(track: Memo<TrackView>, file: AudioFile, queue: StoredValue<Vec<PlayItem>>) -> impl IntoView {
    let player = Player::get();
    let object = file.object;
    let (title, peaks) = track.with_untracked(|track| (track.display_title(), track.peaks.clone().unwrap_or_default()));
    let warnings = file.facts.as_ref().map(audio_warnings).unwrap_or_default();
    let warnings = (!warnings.is_empty()).then(|| {
        let items = warnings
            .into_iter()
            .map(|warning| view! { <li><Icon name=IconName::Warning/><span>{warning.sentence()}</span></li> })
            .collect_view();
        view! { <ul class="warnings">{items}</ul> }
    });
    let summary = file.facts.as_ref().map(|facts| facts.summary());
    let label = format!("Waveform of {title}");
    view! {
        <div class="track-sound">
            <PlayButton object=object title=title queue=queue/>
            <Waveform peaks=peaks label=label progress=Signal::derive(move || player.position_of(object))/>
        </div>
        <p class="meta">{summary}</p>
        {warnings}
    }
}
