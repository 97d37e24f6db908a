//! Search, status and order of a list of releases. All are in the address: links and one GET form.

use leptos::prelude::*;
use vwaza::domain::{
    page::PageStart,
    release::{ReleaseCounts, ReleaseFilter, ReleaseSort, ReleaseStatus},
};

use super::{list_address::filter_address, search::Search};

#[component]
pub fn ReleaseFilters(
    path: &'static str,
    #[prop(into)] filter: Signal<ReleaseFilter>,
    /// The numbers beside the statuses, if they are known.
    #[prop(into)]
    counts: Signal<Option<ReleaseCounts>>,
    #[prop(default = "Search title, label, code")] search_label: &'static str,
) -> impl IntoView {
    view! {
        <div class="filters">
            {move || view! { <StatusLinks path=path filter=filter.get() counts=counts.get()/> }}
            <div class="filters-row">
                <Search path=path filter=filter label=search_label/>
                {move || view! { <SortLinks path=path filter=filter.get()/> }}
            </div>
        </div>
    }
}

#[component]
fn StatusLinks(path: &'static str, filter: ReleaseFilter, counts: Option<ReleaseCounts>) -> impl IntoView {
    let link = move |status: Option<ReleaseStatus>| {
        let address = filter_address(path, &ReleaseFilter { status, start: PageStart::First, ..filter.clone() });
        let label = status.map_or("All", ReleaseStatus::label);
        let count = counts.map(|counts| status.map_or_else(|| counts.all(), |status| counts.of(status)));
        view! {
            <li>
                <a class="tab" href=address aria-current=(filter.status == status).then_some("true")>
                    {label}
                    {count.map(|count| view! { " "<span>{count.to_string()}</span> })}
                </a>
            </li>
        }
    };
    let statuses = std::iter::once(None).chain(ReleaseStatus::ALL.map(Some));
    let links = statuses.map(link).collect_view();
    view! { <nav aria-label="Status"><ul class="tabs">{links}</ul></nav> }
}

#[component]
fn SortLinks(path: &'static str, filter: ReleaseFilter) -> impl IntoView {
    let links = ReleaseSort::ALL
        .into_iter()
        .map(|sort| {
            let address = filter_address(path, &ReleaseFilter { sort, start: PageStart::First, ..filter.clone() });
            view! {
                <li>
                    <a class="sort-link" href=address aria-current=(filter.sort == sort).then_some("true")>{sort.label()}</a>
                </li>
            }
        })
        .collect_view();
    view! {
        <nav class="sort" aria-label="Order">
            <span class="sort-words" aria-hidden="true">"Sort by"</span>
            <ul class="sort-links">{links}</ul>
        </nav>
    }
}
