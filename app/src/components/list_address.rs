//! The address of a list of releases. It holds the search, the filters, the order and the start of the page.

use leptos_router::{location::Url, params::ParamsMap};
use vwaza::domain::{
    audit::AuditFilter,
    job::JobFilter,
    page::PageStart,
    release::{ReleaseFilter, ReleaseSort, ReleaseStatus},
};

pub const JOBS_PATH: &str = "/admin/jobs";

/// The filter that an address describes. Values that do not exist are left out.
pub fn filter_of(query: &ParamsMap) -> ReleaseFilter {
    ReleaseFilter {
        search: query.get("q").unwrap_or_default(),
        status: query.get("status").and_then(|slug| ReleaseStatus::from_slug(&slug)),
        artist: query.get("artist").and_then(|id| id.parse().ok()),
        sort: query.get("sort").and_then(|slug| ReleaseSort::from_slug(&slug)).unwrap_or_default(),
        start: start_in(query, ""),
    }
}

/// The page that an address asks for. `list` begins the names of the parameters, where a page has several lists.
pub fn start_in(query: &ParamsMap, list: &str) -> PageStart {
    let start = |parameter| Some(PageStart::parse(parameter, &query.get(&format!("{list}{parameter}"))?));
    ["after", "before", "page"].into_iter().find_map(start).unwrap_or_default()
}

/// The parameter of an address that asks for a page, as [`start_in`] reads it. `None` for the first page.
pub fn start_parameter(list: &str, start: &PageStart) -> Option<String> {
    let (parameter, value) = start.parameter()?;
    Some(format!("{list}{parameter}={}", Url::escape(&value)))
}

/// The address of `path` with the filter in its query.
pub fn filter_address(path: &str, filter: &ReleaseFilter) -> String {
    let pairs = [
        ("q", (!filter.search.is_empty()).then(|| Url::escape(&filter.search))),
        ("status", filter.status.map(|status| status.slug().to_owned())),
        ("artist", filter.artist.map(|id| id.to_string())),
        ("sort", (filter.sort != ReleaseSort::default()).then(|| filter.sort.slug().to_owned())),
    ];
    let pairs = pairs.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    let query: Vec<String> = pairs.chain(start_parameter("", &filter.start)).collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

/// The address of the audit trail, or of its export, with the filter in its query.
pub fn audit_address(path: &str, filter: &AuditFilter) -> String {
    address(path, filter.parameters(), &filter.start)
}

/// The address of the list of jobs, with the filter in its query.
pub fn jobs_address(filter: &JobFilter) -> String {
    address(JOBS_PATH, filter.parameters(), &filter.start)
}

fn address(path: &str, parameters: impl Iterator<Item = (&'static str, String)>, start: &PageStart) -> String {
    // The server and a browser escape dashes differently, so only what people type is escaped.
    let escaped = |name, value: String| if matches!(name, "person" | "q") { Url::escape(&value) } else { value };
    let pairs = parameters.map(|(name, value)| format!("{name}={}", escaped(name, value)));
    let query: Vec<String> = pairs.chain(start_parameter("", start)).collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_survives_the_way_through_an_address() {
        let mut query = ParamsMap::new();
        for (name, value) in [("q", "rain & sun"), ("status", "in-review"), ("sort", "title"), ("after", "xyz")] {
            query.insert(name, value.to_owned());
        }
        let filter = filter_of(&query);
        assert_eq!(filter.status, Some(ReleaseStatus::PendingReview));
        assert_eq!(filter_address("/", &filter), "/?q=rain%20%26%20sun&status=in-review&sort=title&after=xyz");
    }

    #[test]
    fn the_lists_of_a_page_have_pages_of_their_own() {
        let mut query = ParamsMap::new();
        for (name, value) in [("before", "a"), ("changed-page", "3")] {
            query.insert(name, value.to_owned());
        }
        assert_eq!(start_parameter("", &start_in(&query, "")).as_deref(), Some("before=a"));
        assert_eq!(start_parameter("changed-", &start_in(&query, "changed-")).as_deref(), Some("changed-page=3"));
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
