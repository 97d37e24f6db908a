//! The player at the bottom of every page. It appears when something is played.

use leptos::prelude::*;
use vwaza::domain::{files::original_url, ids::ObjectId, media::format_duration};

use super::{
    cover::Cover,
    focus,
    icon::{Icon, IconName},
    keyboard::on_key,
};
use crate::state::player::{PlayItem, PlaybackError, Player};

const ARROW_SECONDS: f64 = 5.0;

#[component]
pub fn PlayerBar() -> impl IntoView {
    let player = Player::get();
    on_key(move |key| {
        if player.current().is_none() {
            return false;
        }
        match key {
            " " => player.toggle(),
            "ArrowLeft" => player.seek_by(-ARROW_SECONDS),
            "ArrowRight" => player.seek_by(ARROW_SECONDS),
            _ => return false,
        }
        true
    });
    // A new track builds the controls anew. Time and state change inside them.
    let current = Memo::new(move |_| player.current());
    view! {
        <audio
            node_ref=player.audio()
            preload="auto"
            on:play=move |_| player.on_playing_change(true)
            on:pause=move |_| player.on_playing_change(false)
            on:timeupdate=move |_| player.on_time_update()
            on:loadedmetadata=move |_| player.on_loaded()
            on:ended=move |_| player.on_ended()
            on:error=move |_| player.on_error()
        ></audio>
        {move || current.get().map(|item| view! { <PlayerControls player=player item=item/> })}
    }
}

#[component]
fn PlayerControls(player: Player, item: PlayItem) -> impl IntoView {
    let total = format_duration(item.duration_ms);
    view! {
        <section class="player-bar" aria-label="Player">
            <SeekSlider player total=total.clone()/>
            <div class="player-inner">
                <NowPlaying player item/>
                <TransportButtons player/>
                <p class="player-time">
                    <span class="visually-hidden">"Played "</span>
                    {move || format_duration(player.elapsed_ms())}
                    <span>" / "{total}</span>
                </p>
                <button type="button" class="btn-icon" aria-label="Close the player" on:click=move |_| {
                    player.close();
                    focus::on("#main");
                }>
                    <Icon name=IconName::Close/>
                </button>
            </div>
        </section>
    }
}

#[component]
fn SeekSlider(player: Player, total: String) -> impl IntoView {
    view! {
        <input
            class="player-seek"
            type="range"
            min="0"
            max="1"
            step="any"
            value="0"
            aria-label="Position"
            aria-valuetext=move || format!("{} of {total}", format_duration(player.elapsed_ms()))
            prop:value=move || player.position().to_string()
            style=("--played", move || format!("{:.2}%", player.position() * 100.0))
            on:input=move |event| {
                if let Ok(fraction) = event_target_value(&event).parse() {
                    player.seek_to(fraction);
                }
            }
        />
    }
}

#[component]
fn NowPlaying(player: Player, item: PlayItem) -> impl IntoView {
    let object = item.object;
    let subtitle = move || match player.playback_error() {
        Some(PlaybackError::Unplayable) => view! { <Unplayable object/> }.into_any(),
        Some(PlaybackError::Unreachable) => "We can't load the track right now. Press play to try again.".into_any(),
        None => item.subtitle.clone().into_any(),
    };
    view! {
        <Cover object=item.cover edge=160 alt="" class="player-cover"/>
        <div>
            <p class="player-title truncate">{item.title}</p>
            <p class="player-subtitle truncate" role="status">{subtitle}</p>
        </div>
    }
}

#[component]
fn Unplayable(object: ObjectId) -> impl IntoView {
    view! {
        "This browser cannot play this file. "
        <a class="link" href=original_url(object) rel="external">"Open the file"</a>
    }
}

#[component]
fn TransportButtons(player: Player) -> impl IntoView {
    view! {
        <div class="player-controls">
            <button type="button" class="btn-icon" aria-label="Previous track" on:click=move |_| player.previous()>
                <Icon name=IconName::Previous/>
            </button>
            <PlayToggle player=player/>
            <button
                type="button"
                class="btn-icon"
                aria-label="Next track"
                aria-disabled=move || (!player.has_next()).then_some("true")
                on:click=move |_| player.next()
            >
                <Icon name=IconName::Next/>
            </button>
        </div>
    }
}

#[component]
fn PlayToggle(player: Player) -> impl IntoView {
    view! {
        <button
            type="button"
            class="btn-play"
            aria-label=move || if player.playing() { "Pause" } else { "Play" }
            on:click=move |_| player.toggle()
        >
            {move || view! { <Icon name=if player.playing() { IconName::Pause } else { IconName::Play }/> }}
        </button>
    }
}
