//! All metadata of a release, with the findings beside it.

use leptos::prelude::*;
use time::Date;
use vwaza::domain::release::{ReleaseView, date_field, language_name};

use super::{
    finding_list::FindingList,
    findings::{Finding, Findings},
};
use crate::components::time_ago::date_words;

#[component]
pub fn Metadata(
    release: ReleaseView,
    findings: Findings,
    /// The address of the list of the artist's releases.
    artist_address: String,
) -> impl IntoView {
    let kind = match release.details.kind {
        Some(chosen) => chosen.to_string(),
        None => format!("{} (automatic)", release.derived_kind()),
    };
    let title = release.display_title();
    // Until the reader's clock is known, a date counts as past if it was past when the release was submitted.
    let came_in = release.submitted_at.unwrap_or(release.updated_at).date();
    let details = release.details;
    let language = details.language.as_deref().map(|code| language_name(code).unwrap_or(code).to_owned());
    view! {
        <dl class="facts review-facts">
            <Fact label="Title" value=Some(title) findings=findings.title/>
            <div>
                <dt>"Artist"</dt>
                <dd>
                    <a class="link" href=artist_address>
                        {release.artist_name}
                    </a>
                </dd>
            </div>
            <Fact label="Release type" value=Some(kind) findings=findings.kind/>
            <Fact label="Genre" value=details.genre/>
            <Fact label="Language" value=language/>
            <ReleaseDate date=details.release_date came_in/>
            <Fact label="UPC/EAN" value=details.gtin.map(String::from) findings=findings.gtin/>
            <Fact label="Label" value=details.label/>
            <Fact label="℗ line" value=details.p_line/>
            <Fact label="© line" value=details.c_line/>
        </dl>
    }
}

#[component]
pub fn Fact(label: &'static str, value: Option<String>, #[prop(optional)] findings: Vec<Finding>) -> impl IntoView {
    let value = match value {
        Some(value) => view! { <span>{value}</span> }.into_any(),
        None => view! { <span class="facts-missing">"Not given"</span> }.into_any(),
    };
    view! {
        <div>
            <dt>{label}</dt>
            <dd>{value} <FindingList findings/></dd>
        </div>
    }
}

#[component]
fn ReleaseDate(date: Option<Date>, came_in: Date) -> impl IntoView {
    let Some(date) = date else {
        return view! { <Fact label="Release date" value=None/> }.into_any();
    };
    let is_past = RwSignal::new(date < came_in);
    Effect::new(move || {
        if let Some(today) = today() {
            is_past.set(date < today);
        }
    });
    view! {
        <div>
            <dt>"Release date"</dt>
            <dd>
                <time datetime=date_field(date)>{date_words(date)}</time>
                {move || {
                    let note = is_past.get().then(|| Finding::note("This date is in the past."));
                    view! { <FindingList findings=Vec::from_iter(note)/> }
                }}
            </dd>
        </div>
    }
    .into_any()
}

/// Today's date in UTC, by the reader's clock. `None` on the server.
fn today() -> Option<Date> {
    #[cfg(feature = "hydrate")]
    {
        #[expect(clippy::cast_possible_truncation, reason = "a browser's clock counts milliseconds")]
        let seconds = (js_sys::Date::now() / 1000.0) as i64;
        time::OffsetDateTime::from_unix_timestamp(seconds).ok().map(time::OffsetDateTime::date)
    }
    #[cfg(not(feature = "hydrate"))]
    None
}
