//! `/admin/releases`: every release of every artist.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use vwaza::domain::{
    page::Page,
    release::{ReleaseFilter, ReleaseSummary},
};

use crate::{
    api::review::all_releases,
    components::{
        list_address::{filter_address, filter_of},
        pager::Pager,
        release_filters::ReleaseFilters,
        require::RequireAdmin,
        review::{
            list::{ListPage, NoRows, OnlyArtist},
            release_table::ReleaseTable,
            table::count,
        },
        search::SimilarNote,
        skeleton::Shape,
    },
    error::ApiResult,
    state::live::{self, Live},
};

const PATH: &str = "/admin/releases";

#[component]
pub fn AllReleases() -> impl IntoView {
    let query = use_query_map();
    let filter = Memo::new(move |_| query.with(filter_of));
    let changes = Live::get().any_release();
    let releases = Resource::new(move || (filter.get(), changes.get()), |(filter, _)| all_releases(filter));
    view! {
        <RequireAdmin shape=Shape::List awaits=move || live::await_first(releases)>
            <Releases releases=releases filter=filter/>
        </RequireAdmin>
    }
}

#[component]
fn Releases(releases: Resource<ApiResult<Page<ReleaseSummary>>>, filter: Memo<ReleaseFilter>) -> impl IntoView {
    let shown = live::last_good(move || filter.get(), releases);
    let error = Signal::derive(move || shown.get().and_then(Result::err));
    let found = move || {
        let page = shown.get().and_then(Result::ok)?;
        Some(view! { <ReleaseResults page=page filter=filter.get_untracked()/> })
    };
    view! {
        <ListPage title="All releases" error=error>
            <ReleaseFilters path=PATH filter=filter counts=Signal::stored(None) search_label="Search title, artist, label, code"/>
            {found}
        </ListPage>
    }
}

#[component]
fn ReleaseResults(page: Page<ReleaseSummary>, filter: ReleaseFilter) -> impl IntoView {
    let artist_name = page.rows.first().map(|row| row.artist_name.clone());
    let similar = page.is_similar.then(|| view! { <SimilarNote search=filter.search.clone()/> });
    let link = {
        let filter = filter.clone();
        move |start| filter_address(PATH, &ReleaseFilter { start, ..filter.clone() })
    };
    let table = if page.rows.is_empty() {
        view! {
            <NoRows
                path=PATH
                filter=filter.clone()
                title="No releases yet"
                text="Every release appears here as soon as an artist starts a draft."
            />
        }
        .into_any()
    } else {
        view! { <ReleaseTable rows=page.rows filter=filter.clone() path=PATH/> }.into_any()
    };
    view! {
        <OnlyArtist path=PATH filter=filter name=artist_name/>
        <p class="meta list-count" role="status">
            {count(page.total, "release", "releases")}
        </p>
        {similar}
        {table}
        <Pager links=page.links link=link/>
    }
}
