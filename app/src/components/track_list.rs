//! A release's tracks to listen to.

use leptos::prelude::*;
use vwaza::domain::{files::FileState, ids::ObjectId, media::format_duration, release::ReleaseView, track::TrackView};

use super::{
    cover::shown_cover,
    icon::{Icon, IconName},
    keyboard::on_key,
    status::FileStatus,
    waveform::Waveform,
};
use crate::state::player::{PlayItem, Player};

/// The queue for the player: the examined tracks of a release, in order.
pub fn play_queue(release: &ReleaseView) -> Vec<PlayItem> {
    let cover = shown_cover(&release.cover);
    let playable = release.tracks.iter().filter_map(|track| {
        let file = track.audio.as_ref()?;
        let facts = file.facts.as_ref()?;
        Some(PlayItem {
            object: file.object,
            title: track.display_title(),
            subtitle: format!("{} · {}", release.artist_name, release.display_title()),
            duration_ms: facts.duration_ms,
            content_type: facts.played_as(),
            cover,
        })
    });
    playable.collect()
}

#[component]
pub fn TrackList(release: ReleaseView) -> impl IntoView {
    let queue = StoredValue::new(play_queue(&release));
    playback_keys(Player::get(), queue);
    let tracks = release.tracks.into_iter().map(|track| view! { <TrackItem track=track queue=queue/> }).collect_view();
    view! { <ol class="track-list">{tracks}</ol> }
}

#[component]
fn TrackItem(track: TrackView, queue: StoredValue<Vec<PlayItem>>) -> impl IntoView {
    let title = track.display_title();
    let state = track.state();
    let object = track.audio.as_ref().filter(|file| file.facts.is_some()).map(|file| file.object);
    let message = track.why_failed().map(str::to_owned);
    let facts = track.audio.as_ref().and_then(|file| file.facts.as_ref().map(|facts| facts.summary()));
    let duration = track.duration_ms().map(format_duration);
    let peaks = track.peaks.filter(|_| object.is_some());
    view! {
        <li class="track">
            <span class="track-number">{track.number}</span>
            {match object {
                Some(object) => view! { <PlayButton object=object title=title.clone() queue=queue/> }.into_any(),
                None => view! { <span class="track-no-play"><Icon name=IconName::Music/></span> }.into_any(),
            }}
            <div class="track-words">
                <p class="track-title">
                    {title.clone()}
                    {track.explicit.then(|| view! { " "<span class="explicit" role="img" aria-label="Explicit" title="Explicit">"E"</span> })}
                </p>
                {match state {
                    FileState::Ready => facts.map(|facts| view! { <p class="meta">{facts}</p> }).into_any(),
                    _ => view! { <p class="meta"><FileStatus state=state message=message/></p> }.into_any(),
                }}
            </div>
            <div class="track-wave">
                {peaks.zip(object).map(|(peaks, object)| view! { <TrackWave peaks=peaks object=object title=title queue=queue/> })}
            </div>
            <span class="track-duration">{duration}</span>
        </li>
    }
}

#[component]
fn TrackWave(peaks: Vec<u8>, object: ObjectId, title: String, queue: StoredValue<Vec<PlayItem>>) -> impl IntoView {
    let player = Player::get();
    let seek = Callback::new(move |fraction| {
        if !untrack(|| player.is_current(object)) {
            play(player, queue, object);
        }
        player.seek_to(fraction);
    });
    view! {
        <Waveform
            id=format!("wave-{object}")
            peaks=peaks
            label=format!("Position in {title}")
            progress=Signal::derive(move || player.position_of(object))
            on_seek=seek
        />
    }
}

/// Plays or pauses one track of a queue.
#[component]
pub fn PlayButton(object: ObjectId, title: String, queue: StoredValue<Vec<PlayItem>>) -> impl IntoView {
    let player = Player::get();
    let is_on = move || player.is_current(object) && player.playing();
    view! {
        <button
            type="button"
            class="btn-icon track-play"
            aria-label=move || if is_on() { format!("Pause {title}") } else { format!("Play {title}") }
            on:click=move |_| if untrack(is_on) { player.pause() } else { play(player, queue, object) }
        >
            {move || view! { <Icon name=if is_on() { IconName::Pause } else { IconName::Play }/> }}
        </button>
    }
}

fn play(player: Player, queue: StoredValue<Vec<PlayItem>>, object: ObjectId) {
    if let Some(index) = index_of(queue, object) {
        player.play(queue.get_value(), index);
    }
}

pub fn index_of(queue: StoredValue<Vec<PlayItem>>, object: ObjectId) -> Option<usize> {
    queue.with_value(|queue| queue.iter().position(|item| item.object == object))
}

/// The track of this queue that is in the player.
pub fn current_index(player: Player, queue: StoredValue<Vec<PlayItem>>) -> Option<usize> {
    untrack(|| player.current()).and_then(|item| index_of(queue, item.object))
}

/// Lets J and K play the next and the previous track. Space or J begins with the first track if the player has no track
/// of this queue.
pub fn playback_keys(player: Player, queue: StoredValue<Vec<PlayItem>>) {
    let play = move |index: usize| {
        if index < queue.with_value(Vec::len) {
            player.play(queue.get_value(), index);
        }
    };
    on_key(move |key| {
        match (key, current_index(player, queue)) {
            (" " | "j" | "J", None) => play(0),
            ("j" | "J", Some(index)) => play(index + 1),
            ("k" | "K", Some(index)) => play(index.saturating_sub(1)),
            _ => return false,
        }
        true
    });
}
