//! A track's audio in the wizard's table: its waveform and its facts, or its upload.

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
    let status = AudioStatus::of(track, task);
    let AudioStatus { local, noted, audio, .. } = status;
    let under_way = move || {
        local.get().map(|task| {
            view! { <UploadProgress task=task address=address.get_value() on_command=on_command/> }
        })
    };
    let note = move || {
        noted.get().map(|pending| {
            let upload = pending.id;
            let on_cancel = Callback::new(move |()| on_event.run(TrackEvent::CancelUpload(upload)));
            let file_id = format!("track-{id}-again");
            view! { <ResumeNote pending target accept=ACCEPT_AUDIO id=file_id on_files on_cancel/> }
        })
    };
    let file_status =
        move || status.state_to_show().map(|state| view! { <FileStatus state=state message=status.message()/> });
    let audio_preview = move || {
        let file = audio.get().filter(|file| file.examination == Examination::Passed)?;
        Some(view! { <AudioPreview track=track file=file queue=queue/> })
    };
    let may_choose = Memo::new(move |_| status.may_choose());
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

/// The state of a track's audio, from this tab and the server. The fields are memos, so that progress elsewhere does
/// not rebuild the controls.
#[derive(Clone, Copy)]
struct AudioStatus {
    /// The upload of this tab, unless it is done or the server shows its refusal.
    local: Memo<Option<Task>>,
    /// The server's upload, unless this tab shows its own.
    pending: Memo<Option<PendingUpload>>,
    /// The pending upload that has a note. The note says everything about it.
    noted: Memo<Option<PendingUpload>>,
    audio: Memo<Option<AudioFile>>,
    /// `None` while this tab shows its own upload.
    state: Memo<Option<FileState>>,
}

impl AudioStatus {
    fn of(track: Memo<TrackView>, task: Memo<Option<Task>>) -> Self {
        let local = Memo::new(move |_| {
            let is_told = |task: &Task| track.with(|track| task.is_refusal_shown_by(track.pending.as_ref()));
            task.get().filter(|task| task.state() != TaskState::Done && !is_told(task))
        });
        let is_ahead = Memo::new(move |_| {
            task.get().is_some_and(|task| track.with(|track| task.is_ahead_of(track.pending.as_ref())))
        });
        let pending =
            Memo::new(move |_| if local.get().is_some() { None } else { track.with(|track| track.pending.clone()) });
        let audio = Memo::new(move |_| track.with(|track| track.audio.clone()));
        let state = Memo::new(move |_| {
            if local.get().is_some() {
                return None;
            }
            Some(match track.with(TrackView::state) {
                // Only this tab knows that the upload is done; the page does not show it yet.
                FileState::Receiving | FileState::Missing if is_ahead.get() => FileState::Storing,
                state => state,
            })
        });
        let noted = Memo::new(move |_| pending.get().filter(|pending| is_note_enough(pending) && !is_ahead.get()));
        Self { local, pending, noted, audio, state }
    }

    fn state_to_show(self) -> Option<FileState> {
        self.state.get().filter(|state| *state != FileState::Ready && self.noted.with(Option::is_none))
    }

    fn message(self) -> Option<String> {
        let of_upload = self.pending.with(|pending| pending.as_ref().and_then(|pending| pending.message.clone()));
        of_upload.or_else(|| self.audio.with(|audio| audio.as_ref().and_then(failure)))
    }

    fn may_choose(self) -> bool {
        match self.local.get() {
            // A bad file can be replaced at once.
            Some(task) => task.has_error(),
            None => self.noted.with(Option::is_none) && self.state.get() != Some(FileState::Storing),
        }
    }
}

/// Whether the note about a pending upload says everything.
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
            <Waveform id=format!("wave-{object}") peaks=peaks label=label progress=Signal::derive(move || player.position_of(object))/>
        </div>
        <p class="meta">{summary}</p>
        {warnings}
    }
}
