//! Every release of every artist.

use leptos::prelude::*;
use vwaza::domain::release::{ReleaseFilter, ReleaseSummary};

use super::table::{ABOVE_ROW_LINK, COVER_ROW, Column, LONG_WORDS, Table};
use crate::components::{
    cover::Cover,
    keyboard::list_keys,
    list_address::filter_address,
    release_list::tracks_words,
    status::StatusBadge,
    time_ago::{TimeAgo, date_words},
};

const COLUMNS: [Column; 7] = [
    Column::picture("Cover"),
    Column::text("Title"),
    Column::text("Artist"),
    Column::text("Status"),
    Column::number("Tracks"),
    Column::text("Release date"),
    Column::text("Last change"),
];

#[component]
pub fn ReleaseTable(
    rows: Vec<ReleaseSummary>,
    filter: ReleaseFilter,
    /// The page's path. Links to an artist's releases stay on that page.
    path: &'static str,
) -> impl IntoView {
    list_keys();
    let rows = rows
        .into_iter()
        .map(|row| {
            let of_artist =
                filter_address(path, &ReleaseFilter { artist: Some(row.artist_id), page: 1, ..filter.clone() });
            view! { <ReleaseRow row of_artist/> }
        })
        .collect_view();
    view! {
        <Table caption="All releases" columns=COLUMNS.to_vec()>
            {rows}
        </Table>
    }
}

#[component]
fn ReleaseRow(row: ReleaseSummary, of_artist: String) -> impl IntoView {
    view! {
        <tr
            role="row"
            class=COVER_ROW
        >
            <td role="cell" class="w-16 max-md:row-span-2">
                <Cover object=row.cover edge=160 alt="" class="min-w-10 max-w-10 max-md:min-w-12 max-md:max-w-12"/>
            </td>
            <td role="cell">
                <a href=format!("/review/{}", row.id) class=format!("card-link font-medium {LONG_WORDS}")>
                    <span class="line-clamp-3">{row.display_title()}</span>
                </a>
            </td>
            <td role="cell" class="max-md:col-start-2 max-md:row-start-2">
                <a href=of_artist class=format!("{ABOVE_ROW_LINK} {LONG_WORDS}") title="Show only this artist">
                    <span class="line-clamp-3">{row.artist_name.clone()}</span>
                </a>
            </td>
            <td role="cell" class="max-md:col-start-3 max-md:row-start-1 max-md:text-end">
                <StatusBadge status=row.status/>
            </td>
            <td role="cell" class="text-end max-md:hidden">
                <span aria-hidden="true">{row.track_count}</span>
                <span class="visually-hidden">{tracks_words(row.track_count)}</span>
            </td>
            <td role="cell" class="whitespace-nowrap max-md:hidden">
                {row.release_date.map(date_words)}
            </td>
            <td role="cell" class="md:whitespace-nowrap max-md:col-start-3 max-md:row-start-2 max-md:max-w-32 max-md:text-end">
                <TimeAgo at=row.updated_at/>
            </td>
        </tr>
    }
}
