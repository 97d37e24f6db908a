//! The review queue with its current row. Keys move the current row, and changes by others leave it in place.

use leptos::{prelude::*, wasm_bindgen::JsCast, web_sys::HtmlElement};
use leptos_router::hooks::use_navigate;
use vwaza::domain::{
    ids::ReleaseId,
    page::PageStart,
    release::{ReleaseFilter, ReleaseSummary},
};

use super::table::{Column, Table};
use crate::components::{
    cover::Cover,
    keyboard,
    list_address::filter_address,
    release_list::tracks_words,
    time_ago::{TimeAgo, TimeStyle},
};

const COLUMNS: [Column; 5] = [
    Column::picture("Cover"),
    Column::text("Title"),
    Column::text("Artist"),
    Column::number("Tracks"),
    Column::text("Waiting since"),
];

/// The current row. Its index matters once its release has left the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    id: ReleaseId,
    index: usize,
}

/// The cursor in `rows`: on its release, or at its index if that release has left. Without a cursor: on the first row.
fn restore_cursor(rows: &[ReleaseId], cursor: Option<Cursor>) -> Option<Cursor> {
    let index = match cursor {
        None => 0,
        Some(cursor) => rows.iter().position(|id| *id == cursor.id).unwrap_or(cursor.index),
    };
    let index = index.min(rows.len().checked_sub(1)?);
    Some(Cursor { id: rows[index], index })
}

#[component]
pub fn QueueTable(
    #[prop(into)] rows: Signal<Vec<ReleaseSummary>>,
    #[prop(into)] filter: Signal<ReleaseFilter>,
    /// The page's path. Links to an artist's releases stay on that page.
    path: &'static str,
) -> impl IntoView {
    let cursor = QueueCursor::new(rows);
    cursor.follow_keys();
    cursor.keep_focus();
    focus_current_row(cursor.current);
    view! {
        <Table caption="Releases that wait for review, oldest first" columns=COLUMNS.to_vec()>
            <For
                each=move || rows.get()
                key=|row| (row.id, row.updated_at)
                children=move |row| {
                    let id = row.id;
                    let is_current = Signal::derive(move || cursor.current.get().is_some_and(|cursor| cursor.id == id));
                    let on_focus = Callback::new(move |()| cursor.on_focus(id));
                    let on_leave = Callback::new(move |()| cursor.had_focus.set_value(false));
                    view! { <QueueRow row is_current on_focus on_leave filter path/> }
                }
            />
        </Table>
    }
}

/// The state that says which row is the current one.
#[derive(Clone, Copy)]
struct QueueCursor {
    rows: Signal<Vec<ReleaseSummary>>,
    /// The row that somebody went to last.
    chosen: RwSignal<Option<Cursor>>,
    current: Memo<Option<Cursor>>,
    /// Whether the focus was in the table. Only then does it return to the table after the focused row is removed.
    had_focus: StoredValue<bool>,
}

impl QueueCursor {
    fn new(rows: Signal<Vec<ReleaseSummary>>) -> Self {
        let chosen = RwSignal::new(None);
        let current = Memo::new(move |_| restore_cursor(&rows.with(|rows| ids_of(rows)), chosen.get()));
        Self { rows, chosen, current, had_focus: StoredValue::new(false) }
    }

    fn ids(self) -> Vec<ReleaseId> {
        self.rows.with_untracked(|rows| ids_of(rows))
    }

    fn choose(self, index: usize) {
        if let Some(id) = self.ids().get(index) {
            self.chosen.set(Some(Cursor { id: *id, index }));
            focus_row(*id);
        }
    }

    fn on_focus(self, id: ReleaseId) {
        if let Some(index) = self.ids().iter().position(|other| *other == id) {
            self.chosen.set(Some(Cursor { id, index }));
        }
        self.had_focus.set_value(true);
    }

    fn follow_keys(self) {
        let navigate = use_navigate();
        keyboard::on_key(move |key| {
            let Some(cursor) = self.current.get_untracked() else { return false };
            match key {
                "j" | "J" | "ArrowDown" => self.choose(cursor.index + 1),
                "k" | "K" | "ArrowUp" => self.choose(cursor.index.saturating_sub(1)),
                "Enter" => navigate(&format!("/review/{}", cursor.id), Default::default()),
                _ => return false,
            }
            true
        });
    }

    /// Moves the focus to the current row after the focused one has gone.
    fn keep_focus(self) {
        Effect::new(move |before: Option<Option<ReleaseId>>| {
            let now = self.current.get();
            if self.chosen.get_untracked().is_some() && self.chosen.get_untracked() != now {
                self.chosen.set(now);
            }
            let id = now.map(|cursor| cursor.id);
            if let (Some(before), Some(id)) = (before, id)
                && before != Some(id)
                && self.had_focus.get_value()
            {
                // The row is out of the page in the next frame.
                request_animation_frame(move || {
                    if nothing_is_focused() {
                        focus_row(id);
                    }
                });
            }
            id
        });
    }
}

fn ids_of(rows: &[ReleaseSummary]) -> Vec<ReleaseId> {
    rows.iter().map(|row| row.id).collect()
}

/// Focuses the current row after a navigation, unless the focus is somewhere else by then.
fn focus_current_row(current: Memo<Option<Cursor>>) {
    Effect::new(move |opened: Option<()>| {
        let is_navigation = document().document_element().is_some_and(|root| root.has_attribute("data-alive"));
        if opened.is_none()
            && is_navigation
            && let Some(cursor) = current.get_untracked()
        {
            // Waits until after the frame in which a new page gets the focus as a whole.
            request_animation_frame(move || {
                request_animation_frame(move || {
                    if nothing_is_focused() {
                        focus_row(cursor.id);
                    }
                });
            });
        }
    });
}

fn focus_row(id: ReleaseId) {
    let row = document().get_element_by_id(&format!("row-{id}"));
    if let Some(row) = row.and_then(|row| row.dyn_into::<HtmlElement>().ok()) {
        // `focus` fails only for an element that is not in the page.
        let _ = row.focus();
    }
}

fn nothing_is_focused() -> bool {
    document().active_element().is_none_or(|element| matches!(element.tag_name().as_str(), "BODY" | "MAIN"))
}

#[component]
fn QueueRow(
    row: ReleaseSummary,
    is_current: Signal<bool>,
    on_focus: Callback<()>,
    /// Called when the focus goes elsewhere, but not when the row is removed.
    on_leave: Callback<()>,
    filter: Signal<ReleaseFilter>,
    path: &'static str,
) -> impl IntoView {
    let artist = row.artist_id;
    let of_artist = move || {
        filter.with(|filter| {
            filter_address(path, &ReleaseFilter { artist: Some(artist), start: PageStart::First, ..filter.clone() })
        })
    };
    view! {
        <tr
            role="row"
            aria-current=move || is_current.get().then_some("true")
            on:focusin=move |_| on_focus.run(())
            on:focusout=move |event| {
                if event.related_target().is_some() {
                    on_leave.run(());
                }
            }
            class="cover-row"
        >
            <td role="cell" class="cover-row-cover">
                <Cover object=row.cover edge=160 alt=""/>
            </td>
            <td role="cell">
                <a id=format!("row-{}", row.id) href=format!("/review/{}", row.id) class="card-link cell-title cell-words">
                    <span class="truncate-lines">{row.display_title()}</span>
                </a>
            </td>
            <td role="cell" class="cover-row-artist">
                <a href=of_artist class="link cell-link cell-words" title="Show only this artist">
                    <span class="truncate-lines">{row.artist_name.clone()}</span>
                </a>
            </td>
            <td role="cell" class="cell-number cover-row-state">
                <span class="columns-only">{row.track_count}</span>
                <span class="cards-only">{tracks_words(row.track_count)}</span>
            </td>
            <td role="cell" class="cover-row-time">
                <TimeAgo at=row.submitted_at.unwrap_or(row.updated_at) style=TimeStyle::Since/>
            </td>
        </tr>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids<const N: usize>(numbers: [u128; N]) -> Vec<ReleaseId> {
        numbers.into_iter().map(|number| ReleaseId(uuid::Uuid::from_u128(number))).collect()
    }

    #[test]
    fn the_cursor_starts_on_the_oldest_release() {
        let rows = ids([1, 2]);
        assert_eq!(restore_cursor(&rows, None), Some(Cursor { id: rows[0], index: 0 }));
        assert_eq!(restore_cursor(&[], None), None);
    }

    #[test]
    fn the_cursor_follows_its_release_and_outlives_it() {
        let cursor = Cursor { id: ids([2])[0], index: 1 };
        assert_eq!(restore_cursor(&ids([2, 3]), Some(cursor)), Some(Cursor { index: 0, ..cursor }));
        assert_eq!(restore_cursor(&ids([1, 3, 4]), Some(cursor)), Some(Cursor { id: ids([3])[0], index: 1 }));
        assert_eq!(restore_cursor(&ids([1]), Some(cursor)), Some(Cursor { id: ids([1])[0], index: 0 }));
        assert_eq!(restore_cursor(&[], Some(cursor)), None);
    }
}
