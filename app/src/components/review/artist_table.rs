//! The table of all accounts, with what each has released.

use leptos::prelude::*;
use vwaza::domain::{
    account::Role,
    ids::UserId,
    page::Count,
    release::{ReleaseFilter, ReleaseStatus},
    review::ArtistSummary,
};

use super::table::{Column, Table, count};
use crate::components::{keyboard::list_keys, list_address::filter_address, time_ago::TimeAgo};

fn columns() -> Vec<Column> {
    let statuses = ReleaseStatus::ALL.map(|status| Column::number(status.label()));
    [Column::text("Artist")]
        .into_iter()
        .chain(statuses)
        .chain([Column::number("All"), Column::text("Joined")])
        .collect()
}

/// `releases_path` is where an artist's releases are listed.
#[component]
pub fn ArtistTable(rows: Vec<ArtistSummary>, releases_path: &'static str) -> impl IntoView {
    list_keys();
    let rows = rows.into_iter().map(|row| view! { <ArtistRow row releases_path/> }).collect_view();
    view! {
        <Table caption="All artists" columns=columns()>
            {rows}
        </Table>
    }
}

#[component]
fn ArtistRow(row: ArtistSummary, releases_path: &'static str) -> impl IntoView {
    let counts = ReleaseStatus::ALL
        .into_iter()
        .map(|status| {
            let address = releases_of(releases_path, row.id, Some(status));
            view! { <StatusCount status=status number=row.releases.of(status) address=address/> }
        })
        .collect_view();
    view! {
        <tr role="row" class="artist-row">
            <td role="cell" class="artist-row-name">
                <a href=releases_of(releases_path, row.id, None) class="card-link cell-title cell-words">
                    <span class="truncate-lines">{row.artist_name.clone()}</span>
                </a>
                {(row.role == Role::Admin).then(|| view! { " " <span class="badge">"Admin"</span> })}
                {row.is_disabled.then(|| view! { " " <span class="badge badge-bad">"Disabled"</span> })}
                " "
                <a
                    href=format!("/admin/users/{}", row.id)
                    class="link cell-link"
                    aria-label=format!("Account of {}", row.artist_name)
                >
                    "Account"
                </a>
                <span class="cell-more">{row.email.clone()}</span>
            </td>
            {counts}
            {row.releases.all().is_zero().then(|| view! { <td role="cell" class="cards-only cell-quiet">"No releases"</td> })}
            <td role="cell" class="cell-number columns-only">
                {row.releases.all().to_string()}
            </td>
            <td role="cell" class="cell-time">
                <span class="cards-only cell-quiet">"Joined "</span>
                <TimeAgo at=row.created_at/>
            </td>
        </tr>
    }
}

/// The number of releases with one status. It is a link to them unless there are none.
#[component]
fn StatusCount(status: ReleaseStatus, number: Count, address: String) -> impl IntoView {
    let class = if number.is_zero() { "cell-number columns-only" } else { "cell-number" };
    let shown = if number.is_zero() {
        view! { <span class="cell-quiet">"0"</span> }.into_any()
    } else {
        let name = format!("{}: {}", count(number, "release", "releases"), status.label().to_lowercase());
        view! {
            <a href=address class="link cell-link" aria-label=name>
                {number.to_string()}
                <span class="cards-only">{format!(" {}", status.label().to_lowercase())}</span>
            </a>
        }
        .into_any()
    };
    view! { <td role="cell" class=class>{shown}</td> }
}

fn releases_of(path: &str, artist: UserId, status: Option<ReleaseStatus>) -> String {
    filter_address(path, &ReleaseFilter { artist: Some(artist), status, ..Default::default() })
}
