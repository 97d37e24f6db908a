//! The address of a list of releases. It holds the search, the filters, the order and the page.

use leptos_router::{location::Url, params::ParamsMap};
use vwaza::domain::release::{ReleaseFilter, ReleaseSort, ReleaseStatus};

/// The filter that an address describes. Values that do not exist are left out.
pub fn filter_of(query: &ParamsMap) -> ReleaseFilter {
    ReleaseFilter {
        search: query.get("q").unwrap_or_default(),
        status: query.get("status").and_then(|slug| ReleaseStatus::from_slug(&slug)),
        artist: query.get("artist").and_then(|id| id.parse().ok()),
        sort: query.get("sort").and_then(|slug| ReleaseSort::from_slug(&slug)).unwrap_or_default(),
        page: page_in(query, "page"),
    }
}

/// The page number that an address holds under `name`, or 1.
pub fn page_in(query: &ParamsMap, name: &str) -> u32 {
    query.get(name).map_or(1, |page| page_number(&page))
}

/// Parses a page number. Every number is accepted, because a list that has fewer pages shows its last one.
fn page_number(text: &str) -> u32 {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().unwrap_or(u32::MAX).max(1) } else { 1 }
}

/// The address of `path` with the filter in its query.
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
