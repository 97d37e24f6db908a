//! `/review`: the releases that wait for a verdict, oldest first.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use vwaza::domain::{
    page::Page,
    release::{ReleaseFilter, ReleaseSummary},
};

use crate::{
    api::review::review_queue,
    components::{
        list_address::{filter_address, filter_of},
        pager::Pager,
        require::RequireAdmin,
        review::{
            list::{ListPage, NoRows, OnlyArtist},
            queue_table::QueueTable,
            table::count,
        },
        search::{Search, SimilarNote},
        skeleton::Shape,
    },
    error::ApiResult,
    state::live::{self, Live},
};

const PATH: &str = "/review";

#[component]
pub fn ReviewQueue() -> impl IntoView {
    let query = use_query_map();
    // The queue has one status and one order, so its filter ignores both.
    let filter = Memo::new(move |_| {
        let ReleaseFilter { search, artist, start, .. } = query.with(filter_of);
        ReleaseFilter { search, artist, start, ..Default::default() }
    });
    let changes = Live::get().any_release();
    let queue = Resource::new(
        move || (filter.get(), changes.get()),
        |(filter, _)| review_queue(filter.search, filter.artist, filter.start),
    );
    view! {
        <RequireAdmin shape=Shape::List awaits=move || live::await_first(queue)>
            <Queue queue=queue filter=filter/>
        </RequireAdmin>
    }
}

#[component]
fn Queue(queue: Resource<ApiResult<Page<ReleaseSummary>>>, filter: Memo<ReleaseFilter>) -> impl IntoView {
    let shown = live::last_good(move || filter.get(), queue);
    let page = Signal::derive(move || shown.get().and_then(Result::ok));
    let error = Signal::derive(move || shown.get().and_then(Result::err));
    view! {
        <ListPage title="Review queue" error=error>
            <Search path=PATH filter=filter label="Search title, artist, label, code"/>
            <QueueResults page=page filter=filter/>
        </ListPage>
    }
}

#[component]
fn QueueResults(page: Signal<Option<Page<ReleaseSummary>>>, filter: Memo<ReleaseFilter>) -> impl IntoView {
    let rows = Signal::derive(move || page.get().map(|page| page.rows).unwrap_or_default());
    // The memo keeps the table and the focus in it while rows come and go.
    let is_empty = Memo::new(move |_| rows.read().is_empty());
    let artist_name = move || rows.with(|rows| rows.first().map(|row| row.artist_name.clone()));
    let is_narrowed = move || filter.with(|filter| !filter.search.is_empty() || filter.artist.is_some());
    let total = move || {
        let (one, many) = if is_narrowed() {
            ("release found", "releases found")
        } else {
            ("release is waiting for review", "releases are waiting for review")
        };
        page.get().map(|page| count(page.total, one, many))
    };
    let similar = move || {
        let is_similar = page.with(|page| page.as_ref().is_some_and(|page| page.is_similar));
        is_similar.then(|| view! { <SimilarNote search=filter.with_untracked(|filter| filter.search.clone())/> })
    };
    let pager = move || {
        let link = move |start| filter_address(PATH, &ReleaseFilter { start, ..filter.get_untracked() });
        page.get().map(|page| view! { <Pager links=page.links link=link/> })
    };
    let body = move || {
        if is_empty.get() {
            view! { <EmptyQueue filter=filter/> }.into_any()
        } else {
            view! { <QueueTable rows=rows filter=filter path=PATH/> }.into_any()
        }
    };
    view! {
        {move || view! { <OnlyArtist path=PATH filter=filter.get() name=artist_name()/> }}
        <p class="meta list-count" role="status">
            {total}
        </p>
        {similar}
        {body}
        {pager}
    }
}

#[component]
fn EmptyQueue(filter: Memo<ReleaseFilter>) -> impl IntoView {
    move || {
        view! {
            <NoRows
                path=PATH
                filter=filter.get()
                title="No releases are waiting for review"
                text="Submitted releases appear here by themselves, the oldest first."
            />
        }
    }
}
