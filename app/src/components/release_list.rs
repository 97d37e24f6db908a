//! An artist's releases: cards for the ones to continue, and rows for all.

use std::collections::HashMap;

use leptos::prelude::*;
use vwaza::domain::{
    ids::ReleaseId,
    release::{Missing, ReleaseStatus, ReleaseSummary, Step},
};

use super::{
    cover::Cover,
    icon::{Icon, IconName},
    status::{AttentionBadge, StatusBadge},
    time_ago::{TimeAgo, date_words},
};

/// Shows a few releases to continue as large cards. Each card says what to do next.
#[component]
pub fn ContinueCards(
    releases: Vec<ReleaseSummary>,
    /// The first missing item of each draft.
    missing: HashMap<ReleaseId, Missing>,
) -> impl IntoView {
    let cards = releases
        .into_iter()
        .map(|release| {
            let missing = missing.get(&release.id).cloned();
            view! { <ContinueCard release missing/> }
        })
        .collect_view();
    view! { <ul class="continue-cards">{cards}</ul> }
}

#[component]
fn ContinueCard(release: ReleaseSummary, missing: Option<Missing>) -> impl IntoView {
    let address = format!("/releases/{}", release.id);
    let (address, action) = match (release.status, missing) {
        (ReleaseStatus::Draft, Some(next)) => (format!("{address}/{}#{}", next.step.slug(), next.field), next.message),
        (ReleaseStatus::Draft, None) => (format!("{address}/{}", Step::Submit.slug()), "Review and submit".into()),
        (ReleaseStatus::Rejected, _) => (address, "Read why and revise".into()),
        _ => (address, "Open".into()),
    };
    let attention = release.needs_attention && release.status != ReleaseStatus::Rejected;
    view! {
        <li class="continue-card">
            <Cover object=release.cover edge=640 alt=""/>
            <div class="continue-words">
                {if attention { view! { <AttentionBadge/> }.into_any() } else { view! { <StatusBadge status=release.status/> }.into_any() }}
                <h3 class="continue-title">
                    <a class="card-link" href=address>
                        <span class="truncate-lines">{release.display_title()}</span>
                    </a>
                </h3>
                <p class="meta meta-facts">
                    <span>{tracks_words(release.track_count)}</span>
                    <span><TimeAgo at=release.updated_at/></span>
                </p>
                <p class="continue-action"><span class="truncate-lines">{action}</span><Icon name=IconName::Forward/></p>
            </div>
        </li>
    }
}

/// Lists all releases, one row each. The whole row is a link to the release.
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
            <div>
                <h3 class="release-row-title">
                    <a class="card-link" href=format!("/releases/{}", release.id)>
                        <span class="truncate-lines">{release.display_title()}</span>
                    </a>
                </h3>
                <p class="meta meta-facts">
                    <span>{tracks_words(release.track_count)}</span>
                    {release.release_date.map(|date| view! { <span>{format!("release date {}", date_words(date))}</span> })}
                    <span>"changed " <TimeAgo at=release.updated_at/></span>
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
