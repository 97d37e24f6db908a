//! The tracks under review. J and K play the next and the previous one. Space and the arrow keys belong to the player
//! once it has a track.

use leptos::prelude::*;
use vwaza::domain::{ids::ObjectId, release::ReleaseView};

use super::{findings::Finding, track::ReviewTrack};
use crate::{
    components::track_list::{current_index, index_of, play_queue, playback_keys},
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
    close_other_player(player, queue);
    playback_keys(player, queue);
    let on_seek = Callback::new(move |(object, fraction): (ObjectId, f64)| {
        if !untrack(|| player.is_current(object))
            && let Some(index) = index_of(queue, object)
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
    view! { <ol class="review-tracks">{tracks}</ol> }
}

/// Closes the player if it holds a paused track of another release, so that space begins with this release.
fn close_other_player(player: Player, queue: StoredValue<Vec<PlayItem>>) {
    Effect::new(move || {
        let has_other = untrack(|| player.current()).is_some() && current_index(player, queue).is_none();
        if has_other && !untrack(|| player.playing()) {
            player.close();
        }
    });
}
