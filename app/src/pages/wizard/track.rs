//! One track of the tracks step: its form, its moves and its file.

use leptos::{
    html,
    prelude::*,
    task::{spawn_local, tick},
    wasm_bindgen::JsCast,
    web_sys::HtmlElement,
};
use vwaza::domain::{
    codes::Isrc,
    problem::{FieldErrors, Problem},
    track::{RawTrack, TrackView},
    upload::UploadTarget,
};

use super::{
    Announcer,
    autosave::{self, Autosave, SaveTrigger, read_form, shown_errors, without_refused},
    form_queue::FormQueue,
    latest::Latest,
    order::TrackOrder,
};
use crate::{
    api::{tracks::SaveTrack, uploads::cancel_upload},
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
    /// Asks whether it is to be removed.
    on_remove: Callback<TrackView>,
) -> impl IntoView {
    let id = track.with_untracked(|track| track.id);
    let (uploads, toasts, announcer) = (Uploads::get(), Toasts::get(), Announcer::get());
    let action = Action::new_unsync(move |form: &SaveTrack| FormQueue::of(id.0).send(form.clone()));
    let form = NodeRef::<html::Form>::new();
    // Without scripts the answer to the last form comes with the page.
    let refused = flash::form_refusal_of::<SaveTrack>(&id.to_string());
    let typed = refused.as_ref().and_then(|_| flash::typed_group::<SaveTrack, RawTrack>("track"));
    let errors = RwSignal::new(refused.map(|error| error.fields).unwrap_or_default());
    let left = RwSignal::new(FormQueue::restore(id.0).map(|form: SaveTrack| form.track).or(typed));
    let shown = Memo::new(move |_| match left.get() {
        Some(left) => with_raw(track.get(), left),
        None => track.get(),
    });
    let sent = StoredValue::new(track.with_untracked(raw_track));

    // What the form holds, without what is refused.
    let read = move || {
        let SaveTrack { track: filled, .. } = read_form(form)?;
        let refused = match filled.parse() {
            Err(Problem::Invalid(refused)) => refused,
            _ => FieldErrors::default(),
        };
        Some((without_refused(&filled, &track.with_untracked(raw_track), &refused)?, refused))
    };
    let check = move |trigger| {
        let (kept, refused) = read()?;
        errors.update(|shown| *shown = shown_errors(refused, shown, trigger));
        Some(kept)
    };
    let save = move |trigger| {
        let kept = check(trigger);
        if let Some(kept) = kept.filter(|kept| sent.with_value(|sent| sent != kept)) {
            sent.set_value(kept.clone());
            action.dispatch_local(SaveTrack { id, track: kept });
        }
    };
    let unsaved_form = move || {
        let (kept, _) = read()?;
        // What was sent last may be on its way yet: typed back, it is news as well.
        let is_new = track.with_untracked(raw_track) != kept || sent.with_value(|sent| *sent != kept);
        is_new.then_some(SaveTrack { id, track: kept })
    };
    let autosave = Autosave::new(id.0, latest, action.pending(), save, unsaved_form);
    // What was typed before the page came alive, or before the form was left.
    form.on_load(move |_| {
        if unsaved_form().is_some() {
            autosave.changed();
        }
    });
    Effect::new(move || match action.value().get() {
        Some(Ok(release)) => {
            latest.accept(release);
            left.set(None);
        }
        Some(Err(error)) => {
            sent.set_value(track.with_untracked(raw_track));
            errors.update(|shown| shown.0.extend(error.fields.0.clone()));
            autosave.retry_after(&error);
        }
        None => {}
    });
    // A title that the server read from the file's tags is not typed back over them.
    Effect::new(move || {
        let now = track.with(raw_track);
        if untrack(|| !autosave.is_busy()) {
            sent.set_value(now);
        }
    });

    let move_to = move |number: i32| {
        if order.move_to(id, number, toasts) {
            let title = track.with_untracked(TrackView::display_title);
            announcer.say(format!("“{title}” is now track {number} of {}", untrack(|| order.count())));
        }
    };
    let on_event = Callback::new(move |event| match event {
        TrackEvent::Typed => {
            check(SaveTrigger::Typing);
            autosave.typed();
        }
        TrackEvent::Changed => autosave.changed(),
        TrackEvent::MoveTo { number, control } => {
            move_to(number);
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
            if let Some(task) = untrack(|| uploads.of_track(id)) {
                uploads.command(task.id, command);
            }
        }
        TrackEvent::CancelUpload(upload) => {
            if let Some(task) = untrack(|| uploads.of_track(id)) {
                uploads.dismiss(&task);
            }
            spawn_local(async move {
                match cancel_upload(upload).await {
                    Ok(()) => latest.refetch(),
                    Err(error) => toasts.error(&error),
                }
            });
        }
        TrackEvent::Remove => on_remove.run(track.get_untracked()),
    });
    let task = Memo::new(move |_| uploads.of_track(id));
    let number = Memo::new(move |_| order.number(id));
    let saved = Signal::derive(move || {
        let answer = action.value().get().map(|answer| answer.map(drop));
        autosave::status_text(autosave, errors, answer).unwrap_or_default()
    });
    view! { <TrackRow track=shown table number task form errors saved on_event/> }
}

/// Moving a row in the page takes the focus from what is in it: it is back before the next key can be pressed.
fn keep_focus(id: String) {
    spawn_local(async move {
        tick().await;
        let element = document().get_element_by_id(&id).and_then(|element| element.dyn_into::<HtmlElement>().ok());
        if let Some(element) = element {
            // What cannot be focused is not in the page any more.
            let _ = element.focus();
        }
    });
}

/// The form as the server would fill it.
fn raw_track(track: &TrackView) -> RawTrack {
    RawTrack {
        title: track.title.clone(),
        title_version: track.title_version.clone().unwrap_or_default(),
        isrc: track.isrc.as_ref().map(ToString::to_string).unwrap_or_default(),
        explicit: track.explicit.then(|| "on".to_owned()),
    }
}

/// The track as its form was left.
fn with_raw(track: TrackView, left: RawTrack) -> TrackView {
    TrackView {
        title: left.title,
        title_version: Some(left.title_version).filter(|version| !version.is_empty()),
        isrc: Isrc::parse(&left.isrc).ok(),
        explicit: left.explicit.is_some(),
        ..track
    }
}
