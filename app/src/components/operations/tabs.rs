//! The links between the operations pages.

use leptos::prelude::*;
use leptos_router::hooks::use_location;

const OVERVIEW: &str = "/admin/operations";
const JOBS: &str = "/admin/queue";

/// The parts that the tabs lead to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Overview,
    /// Dead letters, the search for jobs, and the page of a job.
    Jobs,
}

impl Part {
    fn of(path: &str) -> Option<Self> {
        match path {
            OVERVIEW => Some(Self::Overview),
            JOBS => Some(Self::Jobs),
            _ if path.starts_with("/admin/jobs") => Some(Self::Jobs),
            _ => None,
        }
    }
}

#[component]
pub fn OperationsTabs() -> impl IntoView {
    let pathname = use_location().pathname;
    let tab = move |name: &'static str, address: &'static str, part: Part| {
        let current = move || pathname.with(|path| (Part::of(path) == Some(part)).then(|| current_at(path, address)));
        view! { <li><a href=address class="tab" aria-current=current>{name}</a></li> }
    };
    view! {
        <nav aria-label="Operations">
            <ul class="tabs">{tab("Overview", OVERVIEW, Part::Overview)} {tab("Jobs", JOBS, Part::Jobs)}</ul>
        </nav>
    }
}

/// The frame's link to these pages.
#[component]
pub fn OperationsLink() -> impl IntoView {
    let pathname = use_location().pathname;
    let current = move || pathname.with(|path| Part::of(path).map(|_| current_at(path, OVERVIEW)));
    view! { <a href=OVERVIEW class="nav-link" aria-current=current>"Operations"</a> }
}

/// The value of `aria-current` of a link to `address`, whose part the shown page belongs to.
fn current_at(path: &str, address: &str) -> &'static str {
    if path == address { "page" } else { "true" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_belongs_to_a_tab() {
        for (path, part) in [
            ("/admin/operations", Some(Part::Overview)),
            ("/admin/queue", Some(Part::Jobs)),
            ("/admin/jobs", Some(Part::Jobs)),
            ("/admin/jobs/01a23294-4402-73a7-b2fc-9dd043d8890f", Some(Part::Jobs)),
            ("/admin/audit", None),
        ] {
            assert!(Part::of(path) == part, "{path}");
        }
    }
}
