//! The table of all releases of all artists.

use leptos::prelude::*;
use vwaza::domain::{
    page::PageStart,
    release::{ReleaseFilter, ReleaseSummary},
};

use super::table::{Column, Table};
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
            let of_artist = filter_address(
                path,
                &ReleaseFilter { artist: Some(row.artist_id), start: PageStart::First, ..filter.clone() },
            );
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
        <tr role="row" class="cover-row">
            <td role="cell" class="cover-row-cover">
                <Cover object=row.cover edge=160 alt=""/>
            </td>
            <td role="cell">
                <a href=format!("/review/{}", row.id) class="card-link cell-title cell-words">
                    <span class="truncate-lines">{row.display_title()}</span>
                </a>
            </td>
            <td role="cell" class="cover-row-artist">
                <a href=of_artist class="link cell-link cell-words" title="Show only this artist">
                    <span class="truncate-lines">{row.artist_name.clone()}</span>
                </a>
            </td>
            <td role="cell" class="cover-row-state">
                <StatusBadge status=row.status/>
            </td>
            <td role="cell" class="cell-number columns-only">
                <span aria-hidden="true">{row.track_count}</span>
                <span class="visually-hidden">{tracks_words(row.track_count)}</span>
            </td>
            <td role="cell" class="cell-time columns-only">
                {row.release_date.map(date_words)}
            </td>
            <td role="cell" class="cover-row-time">
                <TimeAgo at=row.updated_at/>
            </td>
        </tr>
    }
}
