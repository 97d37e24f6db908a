//! One track in the wizard's table: its number, its form and its audio.

use leptos::{ev, html, prelude::*};
use vwaza::domain::{ids::TrackId, media::format_duration, problem::FieldErrors, track::TrackView};

use super::{
    drag,
    track_audio::TrackAudio,
    track_event::{RowHalf, TrackEvent},
    track_fields::TrackFields,
};
use crate::{
    components::icon::{Icon, IconName},
    state::{player::PlayItem, uploads::Task},
};

/// The addresses of the forms, for browsers without scripts.
#[derive(Clone, Copy)]
pub struct TrackForms {
    pub save: &'static str,
    pub reorder: &'static str,
    pub remove: &'static str,
}

/// The state that all rows of the table share.
#[derive(Clone, Copy)]
pub struct TrackTable {
    pub forms: TrackForms,
    pub count: Signal<usize>,
    pub queue: StoredValue<Vec<PlayItem>>,
    pub dragged: RwSignal<Option<TrackId>>,
    /// The address that the browser comes back to after a sign-in.
    pub address: StoredValue<String>,
}

#[component]
pub fn TrackRow(
    track: Memo<TrackView>,
    table: TrackTable,
    /// The number of the row from 1, in the order that is shown. The server may have another order while a move is on
    /// its way.
    number: Memo<i32>,
    task: Memo<Option<Task>>,
    form: NodeRef<html::Form>,
    #[prop(into)] errors: Signal<FieldErrors>,
    /// Whether the form is saved, in words.
    saved: Signal<String>,
    on_event: Callback<TrackEvent>,
) -> impl IntoView {
    let id = track.with_untracked(|track| track.id);
    let target = DropTarget { id, dragged: table.dragged, half: RwSignal::new(None) };
    view! {
        <tr
            class="track-row"
            role="row"
            id=format!("track-{id}")
            tabindex="-1"
            data-drop=move || target.marker()
            data-dragged=move || (table.dragged.get() == Some(id)).then_some("true")
            on:dragover=move |event| target.on_drag_over(&event)
            on:dragleave=move |_| target.half.set(None)
            on:drop=move |event| target.on_drop(&event, on_event)
        >
            <td class="track-row-order" role="cell">
                <div>
                    <OrderControls id=id track=track table=table number=number on_event=on_event/>
                </div>
            </td>
            <td class="track-row-title" role="cell">
                <TrackFields id=id track=track address=table.forms.save form=form errors=errors saved=saved on_event=on_event/>
            </td>
            <td class="track-row-audio" role="cell">
                <div class="track-audio">
                    <TrackAudio track=track task=task queue=table.queue address=table.address on_event=on_event/>
                </div>
            </td>
            <td class="track-row-length" role="cell">
                {move || track.with(|track| track.duration_ms().map(format_duration))}
            </td>
            <td class="track-row-actions" role="cell">
                <RemoveButton id track address=table.forms.remove on_event/>
            </td>
        </tr>
    }
}

/// A row as the place where another row is dropped.
#[derive(Clone, Copy)]
struct DropTarget {
    id: TrackId,
    dragged: RwSignal<Option<TrackId>>,
    /// The half under the pointer.
    half: RwSignal<Option<RowHalf>>,
}

impl DropTarget {
    /// Whether another row is dragged.
    fn is_possible(self) -> bool {
        self.dragged.get().is_some_and(|dragged| dragged != self.id)
    }

    fn marker(self) -> Option<&'static str> {
        match self.half.get().filter(|_| self.is_possible())? {
            RowHalf::Upper => Some("before"),
            RowHalf::Lower => Some("behind"),
        }
    }

    fn on_drag_over(self, event: &ev::DragEvent) {
        if untrack(|| self.is_possible()) {
            event.prevent_default();
            self.half.set(Some(half_under(event)));
        }
    }

    fn on_drop(self, event: &ev::DragEvent, on_event: Callback<TrackEvent>) {
        self.half.set(None);
        if untrack(|| self.is_possible()) {
            event.prevent_default();
            on_event.run(TrackEvent::DroppedOn(half_under(event)));
        }
    }
}

fn half_under(event: &ev::DragEvent) -> RowHalf {
    if drag::is_upper_half(event) { RowHalf::Upper } else { RowHalf::Lower }
}

#[component]
fn RemoveButton(
    id: TrackId,
    track: Memo<TrackView>,
    address: &'static str,
    on_event: Callback<TrackEvent>,
) -> impl IntoView {
    view! {
        <form
            method="post"
            action=address
            on:submit=move |event| {
                event.prevent_default();
                on_event.run(TrackEvent::Remove);
            }
        >
            <input type="hidden" name="id" value=id.to_string()/>
            <button
                type="submit"
                class="btn-icon"
                id=format!("track-{id}-remove")
                aria-label=move || format!("Remove “{}”", track.with(TrackView::display_title))
            >
                <Icon name=IconName::Trash/>
            </button>
        </form>
    }
}

/// The handle to drag by, the number, and two buttons for people who cannot drag.
#[component]
fn OrderControls(
    id: TrackId,
    track: Memo<TrackView>,
    table: TrackTable,
    number: Memo<i32>,
    on_event: Callback<TrackEvent>,
) -> impl IntoView {
    let title = move || track.with(TrackView::display_title);
    let is_last = move || usize::try_from(number.get_untracked()) == Ok(table.count.get_untracked());
    let on_key = move |event: ev::KeyboardEvent| {
        let by = match (event.key().as_str(), event.alt_key()) {
            ("ArrowUp", true) => -1,
            ("ArrowDown", true) => 1,
            // A press moves the track one place down, and from the last place to the first.
            (" " | "Enter", false) if is_last() => 1 - number.get_untracked(),
            (" " | "Enter", false) => 1,
            _ => return,
        };
        event.prevent_default();
        on_event.run(TrackEvent::MoveTo { number: number.get_untracked() + by, control: "handle" });
    };
    view! {
        <span
            class="track-handle script-only"
            id=format!("track-{id}-handle")
            role="button"
            tabindex="0"
            draggable="true"
            aria-label=move || format!("Move “{}”, track {} of {}", title(), number.get(), table.count.get())
            aria-keyshortcuts="Alt+ArrowUp Alt+ArrowDown"
            title="Drag, or press Alt and the arrow keys; Enter moves the track down"
            on:keydown=on_key
            on:dragstart=move |event| {
                drag::begin(&event);
                table.dragged.set(Some(id));
            }
            on:dragend=move |_| table.dragged.set(None)
        >
            <Icon name=IconName::Drag/>
        </span>
        <span class="track-row-number">{move || number.get()}</span>
        <span class="track-steps">
            <MoveButton id=id label=move || format!("Move “{}” up", title()) table=table number=number by=-1 on_event=on_event/>
            <MoveButton id=id label=move || format!("Move “{}” down", title()) table=table number=number by=1 on_event=on_event/>
        </span>
    }
}

#[component]
fn MoveButton(
    id: TrackId,
    #[prop(into)] label: Signal<String>,
    table: TrackTable,
    number: Memo<i32>,
    by: i32,
    on_event: Callback<TrackEvent>,
) -> impl IntoView {
    let (name, icon) = if by < 0 { ("up", IconName::Up) } else { ("down", IconName::Down) };
    let to = move || number.get() + by;
    let is_possible = move || to() >= 1 && usize::try_from(to()).is_ok_and(|to| to <= table.count.get());
    view! {
        <form
            method="post"
            action=table.forms.reorder
            on:submit=move |event| {
                event.prevent_default();
                on_event.run(TrackEvent::MoveTo { number: untrack(to), control: name });
            }
        >
            <input type="hidden" name="id" value=id.to_string()/>
            <input type="hidden" name="number" value=move || to().to_string()/>
            // The button is not `disabled` at either end of the list, because that would take the focus away.
            <button
                type="submit"
                class="btn-icon track-step"
                id=format!("track-{id}-{name}")
                aria-label=move || label.get()
                aria-disabled=move || (!is_possible()).then_some("true")
            >
                <Icon name=icon/>
            </button>
        </form>
    }
}
