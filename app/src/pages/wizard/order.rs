//! The order of the tracks. A move is shown at once and sent to the server after the moves before it.

use leptos::{prelude::*, task::spawn_local};
use vwaza::domain::{ids::TrackId, track::TrackView};

use super::{latest::Latest, unsaved_warning::UnsavedWarning};
use crate::{api::tracks::move_track, components::uploads::track_event::RowHalf, state::toasts::Toasts};

/// A track, and the number (from 1) that it goes to.
type Move = (TrackId, i32);

#[derive(Clone, Copy)]
pub(super) struct TrackOrder {
    latest: Latest,
    /// Moves that the server has not answered yet, oldest first.
    pending_moves: RwSignal<Vec<Move>>,
    shown: Memo<Vec<TrackId>>,
}

impl TrackOrder {
    pub(super) fn new(latest: Latest) -> Self {
        let pending_moves = RwSignal::new(Vec::new());
        let shown = Memo::new(move |_| {
            let ids = latest.with(|release| release.tracks.iter().map(|track| track.id).collect());
            pending_moves.with(|moves| apply_moves(ids, moves))
        });
        Self { latest, pending_moves, shown }
    }

    /// The order with the pending moves.
    pub(super) fn shown(self) -> Vec<TrackId> {
        self.shown.get()
    }

    /// The number of a track, from 1. 0 for a track that is gone.
    pub(super) fn number(self, track: TrackId) -> i32 {
        self.shown.with(|ids| number_in(ids, track))
    }

    pub(super) fn count(self) -> usize {
        self.shown.with(Vec::len)
    }

    /// Moves a track to `number`. Returns false if there is nothing to move.
    pub(super) fn move_to(self, track: TrackId, number: i32, toasts: Toasts) -> bool {
        let is_possible = self.shown.with_untracked(|ids| {
            let now = number_in(ids, track);
            now > 0 && now != number && number >= 1 && usize::try_from(number).is_ok_and(|number| number <= ids.len())
        });
        if is_possible {
            let is_first = self.pending_moves.with_untracked(Vec::is_empty);
            self.pending_moves.update(|pending_moves| pending_moves.push((track, number)));
            if is_first {
                spawn_local(self.send_moves(ArcRwSignal::from(self.pending_moves), toasts));
            }
        }
        is_possible
    }

    /// The number that a track gets when it is dropped on another one.
    pub(super) fn number_on(self, dragged: TrackId, target: TrackId, half: RowHalf) -> i32 {
        self.shown.with_untracked(|ids| number_on(ids, dragged, target, half))
    }

    /// Sends the pending moves. Continues after the wizard is left, because this task holds `pending_moves`, too.
    async fn send_moves(self, pending_moves: ArcRwSignal<Vec<Move>>, toasts: Toasts) {
        let _warning = UnsavedWarning::new();
        while let Some((track, number)) = pending_moves.with_untracked(|pending_moves| pending_moves.first().copied()) {
            match move_track(track, number).await {
                Ok(release) => {
                    // Both changes happen together, so that the shown order stays the same.
                    self.latest.accept(release);
                    pending_moves.update(|pending_moves| {
                        pending_moves.remove(0);
                    });
                }
                Err(error) => {
                    pending_moves.update(Vec::clear);
                    toasts.error(&error);
                    self.latest.refetch();
                }
            }
        }
    }
}

/// The newest state of a track, or the last known one if the track is gone.
pub(super) fn track_of(latest: Latest, id: TrackId) -> Option<Memo<TrackView>> {
    let first = latest.with_untracked(|release| release.tracks.iter().find(|track| track.id == id).cloned())?;
    Some(Memo::new(move |last: Option<&TrackView>| {
        let now = latest.with(|release| release.tracks.iter().find(|track| track.id == id).cloned());
        now.or_else(|| last.cloned()).unwrap_or_else(|| first.clone())
    }))
}

fn apply_moves(mut ids: Vec<TrackId>, moves: &[Move]) -> Vec<TrackId> {
    for (track, number) in moves {
        if let Some(from) = ids.iter().position(|id| id == track) {
            let id = ids.remove(from);
            let to = usize::try_from(number - 1).unwrap_or(0).min(ids.len());
            ids.insert(to, id);
        }
    }
    ids
}

fn number_in(ids: &[TrackId], track: TrackId) -> i32 {
    let index = ids.iter().position(|id| *id == track);
    index.and_then(|index| i32::try_from(index + 1).ok()).unwrap_or(0)
}

fn number_on(ids: &[TrackId], dragged: TrackId, target: TrackId, half: RowHalf) -> i32 {
    let others: Vec<TrackId> = ids.iter().copied().filter(|id| *id != dragged).collect();
    let number = number_in(&others, target);
    match half {
        RowHalf::Upper => number,
        RowHalf::Lower => number + 1,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn ids(numbers: &[u128]) -> Vec<TrackId> {
        numbers.iter().map(|number| TrackId(Uuid::from_u128(*number))).collect()
    }

    #[test]
    fn moves_are_shown_before_the_server_answers() {
        let [one, three] = [TrackId(Uuid::from_u128(1)), TrackId(Uuid::from_u128(3))];
        assert_eq!(apply_moves(ids(&[1, 2, 3]), &[(three, 1)]), ids(&[3, 1, 2]));
        assert_eq!(apply_moves(ids(&[1, 2, 3]), &[(three, 1), (one, 3)]), ids(&[3, 2, 1]));
        // The server has moved it already, or the track is gone.
        assert_eq!(apply_moves(ids(&[3, 1, 2]), &[(three, 1)]), ids(&[3, 1, 2]));
        assert_eq!(apply_moves(ids(&[1, 2]), &[(three, 1)]), ids(&[1, 2]));
    }

    #[test]
    fn a_track_lands_where_it_is_dropped() {
        let [one, two, three] = [1, 2, 3].map(|number| TrackId(Uuid::from_u128(number)));
        let all = ids(&[1, 2, 3]);
        assert_eq!(number_on(&all, one, three, RowHalf::Lower), 3);
        assert_eq!(number_on(&all, one, three, RowHalf::Upper), 2);
        assert_eq!(number_on(&all, three, one, RowHalf::Upper), 1);
        assert_eq!(number_on(&all, three, one, RowHalf::Lower), 2);
        assert_eq!(number_on(&all, one, two, RowHalf::Upper), 1);
    }
}
