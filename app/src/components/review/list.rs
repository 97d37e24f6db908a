//! The pages around the tables of the admins' lists.

use leptos::prelude::*;
use vwaza::domain::{page::PageStart, release::ReleaseFilter};

use crate::{
    components::{
        empty_state::EmptyState, icon::IconName, list_address::filter_address, page_error::PageError,
        page_head::PageHead,
    },
    error::AppError,
};

/// Shows the page of a list, or the error that kept it from being fetched. The page stays while its rows change.
#[component]
pub fn ListPage(
    title: &'static str,
    #[prop(into)] error: Signal<Option<AppError>>,
    children: ChildrenFn,
) -> impl IntoView {
    let error = Memo::new(move |_| error.get());
    move || match error.get() {
        Some(error) => view! { <PageError error=error/> }.into_any(),
        None => view! {
            <div class="page">
                <PageHead title=title/>
                {children()}
            </div>
        }
        .into_any(),
    }
}

/// Replaces a list without rows. Either nothing fits the filter, or there is nothing at all. `title` and `text` say the
/// latter.
#[component]
pub fn NoRows(path: &'static str, filter: ReleaseFilter, title: &'static str, text: &'static str) -> impl IntoView {
    if filter.search.is_empty() && filter.status.is_none() && filter.artist.is_none() {
        return view! { <EmptyState title=title text=text/> }.into_any();
    }
    view! {
        <EmptyState title="Nothing matches" text="Try another word, or show everything." icon=IconName::Search>
            <a class="btn" href=path>
                "Show all"
            </a>
        </EmptyState>
    }
    .into_any()
}

/// A note above a list that shows one artist only.
#[component]
pub fn OnlyArtist(path: &'static str, filter: ReleaseFilter, name: Option<String>) -> impl IntoView {
    filter.artist.is_some().then(|| {
        let all = filter_address(path, &ReleaseFilter { artist: None, start: PageStart::First, ..filter });
        view! {
            <p class="only-artist">
                <span>"Only " <strong>{name.unwrap_or_else(|| "one artist".into())}</strong></span>
                <a class="link" href=all>
                    "Show all artists"
                </a>
            </p>
        }
    })
}
