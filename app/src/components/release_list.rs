//! Releases as an artist sees them: cards to go on with, and rows to look through.

use leptos::prelude::*;
use vwaza::domain::release::{ReleaseStatus, ReleaseSummary};

use super::{
    cover::Cover,
    icon::{Icon, IconName},
    status::{AttentionBadge, StatusBadge},
    time_ago::{TimeAgo, date_words},
};

/// What to go on with: a few, large, each with what is to be done.
#[component]
pub fn ContinueCards(releases: Vec<ReleaseSummary>) -> impl IntoView {
    let cards = releases.into_iter().map(|release| view! { <ContinueCard release=release/> }).collect_view();
    view! { <ul class="continue-cards">{cards}</ul> }
}

#[component]
fn ContinueCard(release: ReleaseSummary) -> impl IntoView {
    let (address, action) = match release.status {
        ReleaseStatus::Draft => (format!("/releases/{}/details", release.id), "Continue editing"),
        ReleaseStatus::Rejected => (format!("/releases/{}", release.id), "Read why and revise"),
        _ => (format!("/releases/{}", release.id), "Open"),
    };
    let attention = release.needs_attention && release.status != ReleaseStatus::Rejected;
    view! {
        <li class="continue-card">
            <Cover object=release.cover edge=640 alt="" class="continue-cover"/>
            <div class="continue-words">
                {if attention { view! { <AttentionBadge/> }.into_any() } else { view! { <StatusBadge status=release.status/> }.into_any() }}
                <h3 class="continue-title">
                    <a class="card-link" href=address>{release.display_title()}</a>
                </h3>
                <p class="meta">{tracks_words(release.track_count)} " · "<TimeAgo at=release.updated_at/></p>
                <p class="continue-action">{action}<Icon name=IconName::Forward/></p>
            </div>
        </li>
    }
}

/// All of them, one row each; the whole row leads to the release.
#[component]
pub fn ReleaseRows(releases: Vec<ReleaseSummary>) -> impl IntoView {
    let rows = releases.into_iter().map(|release| view! { <ReleaseRow release=release/> }).collect_view();
    view! { <ul class="release-rows">{rows}</ul> }
}

#[component]
fn ReleaseRow(release: ReleaseSummary) -> impl IntoView {
    let attention = release.needs_attention && release.status != ReleaseStatus::Rejected;
    view! {
        <li class="release-row">
            <Cover object=release.cover edge=160 alt="" class="release-row-cover"/>
            <div class="release-row-words">
                <h3 class="release-row-title">
                    <a class="card-link" href=format!("/releases/{}", release.id)>{release.display_title()}</a>
                </h3>
                <p class="meta">
                    {tracks_words(release.track_count)}
                    {release.release_date.map(|date| format!(" · out {}", date_words(date)))}
                    " · changed "
                    <TimeAgo at=release.updated_at/>
                </p>
            </div>
            <div class="release-row-badges">
                {attention.then(|| view! { <AttentionBadge/> })}
                <StatusBadge status=release.status/>
            </div>
        </li>
    }
}

pub fn tracks_words(tracks: i64) -> String {
    match tracks {
        0 => "No tracks yet".into(),
        1 => "1 track".into(),
        tracks => format!("{tracks} tracks"),
    }
}
