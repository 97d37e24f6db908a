//! A track's form in its row. Without scripts it has a button.

use leptos::{html, prelude::*};
use vwaza::domain::{
    ids::TrackId,
    problem::FieldErrors,
    release::title_hints,
    track::{RawTrack, TrackView},
};

use super::track_event::TrackEvent;
use crate::{
    api::tracks::SaveTrack,
    components::icon::{Icon, IconName},
    state::flash,
};

#[component]
pub fn TrackFields(
    id: TrackId,
    track: Memo<TrackView>,
    address: &'static str,
    form: NodeRef<html::Form>,
    errors: Signal<FieldErrors>,
    saved: Signal<String>,
    on_event: Callback<TrackEvent>,
) -> impl IntoView {
    let title = Memo::new(move |_| track.with(|track| track.title.clone()));
    let hints =
        move || title_hints(&title.get()).into_iter().map(|hint| view! { <p class="hint">{hint}</p> }).collect_view();
    view! {
        <form
            class="track-fields"
            method="post"
            action=address
            node_ref=form
            on:input=move |_| on_event.run(TrackEvent::Typed)
            on:change=move |_| on_event.run(TrackEvent::Changed)
            on:submit=move |event| {
                event.prevent_default();
                on_event.run(TrackEvent::Changed);
            }
        >
            <input type="hidden" name="id" value=id.to_string()/>
            <TextCell
                id=format!("track-{id}-title")
                name="track[title]"
                label="Title"
                placeholder="Title"
                value=title
                error=move || error_of(errors, "title")
            />
            {hints}
            <div class="track-foot">
                <MoreFields id track errors/>
                <p class="track-saved" role="status">{move || saved.get()}</p>
            </div>
            <button type="submit" class="btn no-script-only">"Save"</button>
        </form>
    }
}

/// The fields that few tracks need.
#[component]
fn MoreFields(id: TrackId, track: Memo<TrackView>, errors: Signal<FieldErrors>) -> impl IntoView {
    let more = Memo::new(move |_| track.with(summary));
    // A track holds only valid ISRCs, so a refused one comes from the form.
    let refused = flash::form_refusal_of::<SaveTrack>(&id.to_string());
    let typed_isrc = refused.and_then(|_| flash::typed_group::<SaveTrack, RawTrack>("track")).map(|typed| typed.isrc);
    let isrc = move || {
        let stored = || track.with(|track| track.isrc.as_ref().map(ToString::to_string).unwrap_or_default());
        typed_isrc.clone().unwrap_or_else(stored)
    };
    // The fields are open from the start if one has an error, because nothing else opens them without scripts.
    let is_open = errors.with_untracked(|errors| errors.get("title_version").or(errors.get("isrc")).is_some());
    view! {
        <details class="track-more" open=is_open>
            <summary>
                <span class="visually-hidden">{move || format!("Track {}: ", track.with(|track| track.number))}</span>
                {more}
            </summary>
            <TextCell
                id=format!("track-{id}-version")
                name="track[title_version]"
                label="Version"
                placeholder="Live, Radio edit, …"
                value=move || track.with(|track| track.title_version.clone().unwrap_or_default())
                error=move || error_of(errors, "title_version")
            />
            <TextCell
                id=format!("track-{id}-isrc")
                name="track[isrc]"
                label="ISRC"
                placeholder="GB-AYE-06-01498"
                value=isrc
                error=move || error_of(errors, "isrc")
            />
            <label class="track-explicit">
                <input
                    class="checkbox"
                    type="checkbox"
                    name="track[explicit]"
                    value="on"
                    checked=move || track.with(|track| track.explicit)
                />
                "Explicit lyrics"
            </label>
        </details>
    }
}

fn error_of(errors: Signal<FieldErrors>, name: &str) -> Option<String> {
    errors.with(|errors| errors.get(name).map(str::to_owned))
}

/// The summary of the closed fields: their values, or their names.
fn summary(track: &TrackView) -> String {
    let isrc = track.isrc.as_ref().map(ToString::to_string);
    let explicit = track.explicit.then(|| "Explicit".to_owned());
    let set: Vec<String> = [track.title_version.clone(), isrc, explicit].into_iter().flatten().collect();
    if set.is_empty() { "Version, ISRC, explicit".into() } else { format!("More: {}", set.join(" · ")) }
}

/// The value is an attribute, not a property: the server's value fills only a field that nobody has typed into.
#[component]
fn TextCell(
    id: String,
    name: &'static str,
    label: &'static str,
    placeholder: &'static str,
    #[prop(into)] value: Signal<String>,
    #[prop(into)] error: Signal<Option<String>>,
) -> impl IntoView {
    let error_id = format!("{id}-error");
    let described_by = error_id.clone();
    view! {
        <label class=if label == "Title" { "visually-hidden" } else { "label" } for=id.clone()>{label}</label>
        <input
            class="input"
            type="text"
            id=id
            name=name
            placeholder=placeholder
            autocomplete="off"
            value=move || value.get()
            aria-invalid=move || error.get().map(|_| "true")
            aria-describedby=move || error.get().map(|_| described_by.clone())
        />
        {move || {
            error
                .get()
                .map(|message| {
                    view! {
                        <p class="field-error" id=error_id.clone()>
                            <Icon name=IconName::Warning/>
                            <span>{message}</span>
                        </p>
                    }
                })
        }}
    }
}
