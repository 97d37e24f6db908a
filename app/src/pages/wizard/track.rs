//! One track of the tracks step: its form, its moves and its file.

use leptos::{
    html,
    prelude::*,
    task::{spawn_local, tick},
    wasm_bindgen::JsCast,
    web_sys::HtmlElement,
};
use uuid::Uuid;
use vwaza::domain::{
    codes::Isrc,
    ids::TrackId,
    problem::{FieldErrors, Problem},
    track::{RawTrack, TrackView},
    upload::UploadTarget,
};

use super::{
    Announcer,
    latest::Latest,
    order::TrackOrder,
    saved_form::{SavedFields, SavedForm, Start},
};
use crate::{
    api::tracks::SaveTrack,
    components::uploads::{
        track_event::TrackEvent,
        track_row::{TrackRow, TrackTable},
    },
    state::{flash, toasts::Toasts, uploads::Uploads},
};

#[component]
pub(super) fn TrackEditor(
    latest: Latest,
    track: Memo<TrackView>,
    table: TrackTable,
    order: TrackOrder,
    /// Called to ask whether the track is to be removed.
    on_remove: Callback<TrackView>,
) -> impl IntoView {
    let id = track.with_untracked(|track| track.id);
    let uploads = Uploads::get();
    let refused = flash::form_refusal_of::<SaveTrack>(&id.to_string());
    let typed = refused.as_ref().and_then(|_| flash::typed_group::<SaveTrack, RawTrack>("track"));
    let errors = refused.map(|error| error.fields).unwrap_or_default();
    let saved = Signal::derive(move || track.with(raw_track));
    let form = SavedForm::new(id.0, latest, saved, Start { errors, typed });
    // The form must not send its old title after the server has read another one from the file's tags.
    Effect::new(move || form.resync());
    let shown = Memo::new(move |_| match form.left() {
        Some(left) => with_raw(track.get(), left),
        None => track.get(),
    });
    let editor = EditedTrack {
        id,
        track,
        latest,
        table,
        order,
        form,
        uploads,
        toasts: Toasts::get(),
        announcer: Announcer::get(),
        on_remove,
    };
    let on_event = Callback::new(move |event| editor.handle(event));
    let task = Memo::new(move |_| uploads.of_track(id));
    let number = Memo::new(move |_| order.number(id));
    let saved = Signal::derive(move || form.status_text().unwrap_or_default());
    view! { <TrackRow track=shown table number task form=form.node errors=form.errors saved on_event/> }
}

/// The state that the events of a row change.
#[derive(Clone, Copy)]
struct EditedTrack {
    id: TrackId,
    track: Memo<TrackView>,
    latest: Latest,
    table: TrackTable,
    order: TrackOrder,
    form: SavedForm<RawTrack>,
    uploads: Uploads,
    toasts: Toasts,
    announcer: Announcer,
    on_remove: Callback<TrackView>,
}

impl EditedTrack {
    fn handle(self, event: TrackEvent) {
        let Self { id, latest, table, order, uploads, toasts, .. } = self;
        let task = || untrack(|| uploads.of_track(id));
        match event {
            TrackEvent::Typed => self.form.on_input(),
            TrackEvent::Changed => self.form.on_change(),
            TrackEvent::MoveTo { number, control } => {
                self.move_to(number);
                keep_focus(format!("track-{id}-{control}"));
            }
            TrackEvent::DroppedOn(half) => {
                if let Some(dragged) = table.dragged.get_untracked() {
                    let number = order.number_on(dragged, id, half);
                    order.move_to(dragged, number, toasts);
                }
            }
            TrackEvent::Files(files) => uploads.add(latest.snapshot(), UploadTarget::Audio(id), files),
            TrackEvent::Upload(command) => {
                if let Some(task) = task() {
                    uploads.command(task.id, command);
                }
            }
            TrackEvent::CancelUpload(upload) => latest.cancel_upload(upload, task(), toasts),
            TrackEvent::Remove => self.on_remove.run(self.track.get_untracked()),
        }
    }

    fn move_to(self, number: i32) {
        let Self { id, order, .. } = self;
        if order.move_to(id, number, self.toasts) {
            let title = self.track.with_untracked(TrackView::display_title);
            self.announcer.say(format!("“{title}” is now track {number} of {}", untrack(|| order.count())));
        }
    }
}

impl SavedFields for RawTrack {
    type Save = SaveTrack;

    fn into_save(self, subject: Uuid) -> SaveTrack {
        SaveTrack { id: TrackId(subject), track: self }
    }

    fn of_save(save: SaveTrack) -> Self {
        save.track
    }

    fn mistakes(&self, _: NodeRef<html::Form>) -> FieldErrors {
        match self.parse() {
            Err(Problem::Invalid(refused)) => refused,
            _ => FieldErrors::default(),
        }
    }
}

/// Gives the focus back to an element before the next key can be pressed, because moving a row in the page takes it
/// away.
fn keep_focus(id: String) {
    spawn_local(async move {
        tick().await;
        let element = document().get_element_by_id(&id).and_then(|element| element.dyn_into::<HtmlElement>().ok());
        if let Some(element) = element {
            // `focus` fails only for an element that is no longer in the page.
            let _ = element.focus();
        }
    });
}

/// The fields of the form with the server's values.
fn raw_track(track: &TrackView) -> RawTrack {
    RawTrack {
        title: track.title.clone(),
        title_version: track.title_version.clone().unwrap_or_default(),
        isrc: track.isrc.as_ref().map(ToString::to_string).unwrap_or_default(),
        explicit: track.explicit.then(|| "on".to_owned()),
    }
}

/// The track with the input that its form had when it was left.
fn with_raw(track: TrackView, left: RawTrack) -> TrackView {
    TrackView {
        title: left.title,
        title_version: Some(left.title_version).filter(|version| !version.is_empty()),
        isrc: Isrc::parse(&left.isrc).ok(),
        explicit: left.explicit.is_some(),
        ..track
    }
}
