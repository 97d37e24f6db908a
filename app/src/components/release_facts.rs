//! A release's details to read.

use leptos::prelude::*;
use vwaza::domain::release::{ReleaseView, language_name};

use super::time_ago::date_words;

/// Lists the details of a release. A missing detail reads "Not given".
#[component]
pub fn ReleaseFacts(
    release: ReleaseView,
    /// Rows before the details.
    #[prop(optional)]
    lead: Vec<(&'static str, Option<String>)>,
) -> impl IntoView {
    let cover = release.cover.current.as_ref().and_then(|file| file.facts.as_ref().map(|facts| facts.summary()));
    let details = release.details;
    let facts = [
        ("Genre", details.genre),
        ("Language", details.language.map(|code| language_name(&code).map_or(code, str::to_owned))),
        ("Release date", details.release_date.map(date_words)),
        ("Label", details.label),
        ("UPC/EAN", details.gtin.map(|gtin| gtin.to_string())),
        ("℗ line", details.p_line),
        ("© line", details.c_line),
        ("Cover", cover),
    ];
    let rows = lead
        .into_iter()
        .chain(facts)
        .map(|(name, value)| {
            let class = if value.is_some() { "" } else { "facts-missing" };
            view! {
                <dt>{name}</dt>
                <dd class=class>{value.unwrap_or_else(|| "Not given".into())}</dd>
            }
        })
        .collect_view();
    view! { <dl class="facts">{rows}</dl> }
}
