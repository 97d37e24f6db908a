//! `/admin/artists`: every account, and what it has released.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use vwaza::domain::{page::Page, release::ReleaseFilter, review::ArtistSummary};

use crate::{
    api::review::all_artists,
    components::{
        list_address::{filter_address, filter_of},
        pager::Pager,
        require::RequireAdmin,
        review::{
            artist_table::ArtistTable,
            list::{ListPage, NoRows},
            table::count,
        },
        search::Search,
        skeleton::Shape,
    },
    error::ApiResult,
    state::live::await_first,
};

const PATH: &str = "/admin/artists";
const RELEASES_PATH: &str = "/admin/releases";

#[component]
pub fn AllArtists() -> impl IntoView {
    let query = use_query_map();
    // Only the filter's search and page matter here.
    let filter = Memo::new(move |_| {
        let ReleaseFilter { search, start, .. } = query.with(filter_of);
        ReleaseFilter { search, start, ..Default::default() }
    });
    let artists = Resource::new(move || filter.get(), |filter| all_artists(filter.search, filter.start));
    view! {
        <RequireAdmin shape=Shape::List awaits=move || await_first(artists)>
            <Artists artists=artists filter=filter/>
        </RequireAdmin>
    }
}

#[component]
fn Artists(artists: Resource<ApiResult<Page<ArtistSummary>>>, filter: Memo<ReleaseFilter>) -> impl IntoView {
    let error = Signal::derive(move || artists.get().and_then(Result::err));
    let found = move || {
        let page = artists.get().and_then(Result::ok)?;
        Some(view! { <ArtistResults page=page filter=filter.get_untracked()/> })
    };
    view! {
        <ListPage title="All artists" error=error>
            <Search path=PATH filter=filter label="Search by name or e-mail"/>
            {found}
        </ListPage>
    }
}

#[component]
fn ArtistResults(page: Page<ArtistSummary>, filter: ReleaseFilter) -> impl IntoView {
    let link = {
        let filter = filter.clone();
        move |start| filter_address(PATH, &ReleaseFilter { start, ..filter.clone() })
    };
    let table = if page.rows.is_empty() {
        view! { <NoRows path=PATH filter=filter title="No accounts yet" text="Artists appear here as soon as they sign up."/> }
            .into_any()
    } else {
        view! { <ArtistTable rows=page.rows releases_path=RELEASES_PATH/> }.into_any()
    };
    view! {
        <p class="meta list-count" role="status">
            {count(page.total, "account", "accounts")}
        </p>
        {table}
        <Pager links=page.links link=link/>
    }
}
