//! Search, status, order and page of a list of releases, all of them in the address: links and one GET form.

use leptos::prelude::*;
use leptos_router::{location::Url, params::ParamsMap};
use vwaza::domain::release::{ReleaseCounts, ReleaseFilter, ReleaseSort, ReleaseStatus};

use super::search::Search;

/// What an address asks for; what it asks for in vain is left out.
pub fn filter_of(query: &ParamsMap) -> ReleaseFilter {
    ReleaseFilter {
        search: query.get("q").unwrap_or_default(),
        status: query.get("status").and_then(|slug| ReleaseStatus::from_slug(&slug)),
        artist: query.get("artist").and_then(|id| id.parse().ok()),
        sort: query.get("sort").and_then(|slug| ReleaseSort::from_slug(&slug)).unwrap_or_default(),
        page: query.get("page").map_or(1, |page| page_number(&page)),
    }
}

/// Any number is a page: a list that is shorter shows its last one.
fn page_number(text: &str) -> u32 {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().unwrap_or(u32::MAX).max(1) } else { 1 }
}

/// The address under which `path` shows what the filter describes.
pub fn filter_address(path: &str, filter: &ReleaseFilter) -> String {
    let pairs = [
        ("q", (!filter.search.is_empty()).then(|| Url::escape(&filter.search))),
        ("status", filter.status.map(|status| status.slug().to_owned())),
        ("artist", filter.artist.map(|id| id.to_string())),
        ("sort", (filter.sort != ReleaseSort::default()).then(|| filter.sort.slug().to_owned())),
        ("page", (filter.page > 1).then(|| filter.page.to_string())),
    ];
    let query: Vec<String> = pairs.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?))).collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

#[component]
pub fn ReleaseFilters(
    path: &'static str,
    #[prop(into)] filter: Signal<ReleaseFilter>,
    /// Shown beside each status where they are known.
    #[prop(into)]
    counts: Signal<Option<ReleaseCounts>>,
    #[prop(default = "Search by title")] search_label: &'static str,
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
        let address = filter_address(path, &ReleaseFilter { status, page: 1, ..filter.clone() });
        let label = status.map_or("All", ReleaseStatus::label);
        let count = counts.map(|counts| status.map_or_else(|| counts.all(), |status| counts.of(status)));
        view! {
            <li>
                <a class="tab" href=address aria-current=(filter.status == status).then_some("true")>
                    {label}
                    {count.map(|count| view! { " "<span class="tab-count">{count}</span> })}
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
            let address = filter_address(path, &ReleaseFilter { sort, page: 1, ..filter.clone() });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_survives_the_way_through_an_address() {
        let mut query = ParamsMap::new();
        for (name, value) in [("q", "rain & sun"), ("status", "in-review"), ("sort", "title"), ("page", "3")] {
            query.insert(name, value.to_owned());
        }
        let filter = filter_of(&query);
        assert_eq!(filter.status, Some(ReleaseStatus::PendingReview));
        assert_eq!(filter_address("/", &filter), "/?q=rain%20%26%20sun&status=in-review&sort=title&page=3");
    }

    #[test]
    fn any_page_of_an_address_is_a_page() {
        for (text, page) in
            [("2", 2), ("0", 1), ("-1", 1), ("", 1), ("1.5", 1), ("\u{663}", 1), ("99999999999", u32::MAX)]
        {
            assert_eq!(page_number(text), page, "{text}");
        }
    }

    #[test]
    fn an_address_that_asks_for_nonsense_asks_for_nothing() {
        let mut query = ParamsMap::new();
        for (name, value) in [("status", "gone"), ("artist", "1"), ("sort", "-"), ("page", "many")] {
            query.insert(name, value.to_owned());
        }
        assert_eq!(filter_address("/", &filter_of(&query)), "/");
    }
}
