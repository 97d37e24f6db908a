//! The tracks under review, and the keys to hear one after the other: J and K. Space and the arrows are the player's own, once
//! something is in it.

use leptos::prelude::*;
use vwaza::domain::{ids::ObjectId, release::ReleaseView};

use super::{findings::Finding, track::ReviewTrack};
use crate::{
    components::{keyboard, track_list::play_queue},
    state::player::{PlayItem, Player},
};

#[component]
pub fn ReviewTracks(
    release: ReleaseView,
    /// One list for each track.
    findings: Vec<Vec<Finding>>,
) -> impl IntoView {
    let queue = StoredValue::new(play_queue(&release));
    let player = Player::get();
    put_away_what_is_over(player, queue);
    playback_keys(player, queue);
    let on_seek = Callback::new(move |(object, fraction): (ObjectId, f64)| {
        if !untrack(|| player.is_current(object))
            && let Some(index) = place_of(queue, object)
        {
            player.play(queue.get_value(), index);
        }
        player.seek_to(fraction);
    });
    let tracks = release
        .tracks
        .into_iter()
        .zip(findings)
        .map(|(track, findings)| view! { <ReviewTrack track findings queue on_seek/> })
        .collect_view();
    view! { <ol class="grid gap-6">{tracks}</ol> }
}

fn place_of(queue: StoredValue<Vec<PlayItem>>, object: ObjectId) -> Option<usize> {
    queue.with_value(|queue| queue.iter().position(|item| item.object == object))
}

/// The track of this queue that is in the player.
fn heard(player: Player, queue: StoredValue<Vec<PlayItem>>) -> Option<usize> {
    untrack(|| player.current()).and_then(|item| place_of(queue, item.object))
}

/// A track of another release that has been paused: space is to begin with this one.
fn put_away_what_is_over(player: Player, queue: StoredValue<Vec<PlayItem>>) {
    Effect::new(move || {
        let has_other = untrack(|| player.current()).is_some() && heard(player, queue).is_none();
        if has_other && !untrack(|| player.playing()) {
            player.close();
        }
    });
}

fn playback_keys(player: Player, queue: StoredValue<Vec<PlayItem>>) {
    let play = move |index: usize| {
        if index < queue.with_value(Vec::len) {
            player.play(queue.get_value(), index);
        }
    };
    keyboard::on_key(move |key| {
        match (key, heard(player, queue)) {
            (" " | "j" | "J", None) => play(0),
            ("j" | "J", Some(index)) => play(index + 1),
            ("k" | "K", Some(index)) => play(index.saturating_sub(1)),
            _ => return false,
        }
        true
    });
}
