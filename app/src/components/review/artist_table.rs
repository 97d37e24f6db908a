//! Every account and what it has released.

use leptos::prelude::*;
use vwaza::domain::{
    account::Role,
    ids::UserId,
    release::{ReleaseFilter, ReleaseStatus},
    review::ArtistSummary,
};

use super::table::{ABOVE_ROW_LINK, Column, LONG_WORDS, Table, count};
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
        <tr role="row" class="relative max-md:flex max-md:flex-wrap max-md:items-baseline max-md:gap-x-4 max-md:border-t max-md:border-line max-md:px-2 max-md:py-3">
            <td role="cell" class="max-md:w-full">
                <a href=releases_of(releases_path, row.id, None) class=format!("card-link font-medium {LONG_WORDS}")>
                    <span class="line-clamp-3">{row.artist_name.clone()}</span>
                </a>
                {(row.role == Role::Admin).then(|| view! { " " <span class="badge ms-1.5">"Admin"</span> })}
                {row.is_disabled.then(|| view! { " " <span class="badge badge-bad ms-1.5">"Disabled"</span> })}
                " "
                <a
                    href=format!("/admin/users/{}", row.id)
                    class=format!("{ABOVE_ROW_LINK} link text-small ms-1.5")
                    aria-label=format!("Account of {}", row.artist_name)
                >
                    "Account"
                </a>
                <span class="block text-small text-muted [overflow-wrap:anywhere]">{row.email.clone()}</span>
            </td>
            {counts}
            {(row.releases.all() == 0).then(|| view! { <td role="cell" class="md:hidden text-muted">"No releases"</td> })}
            <td role="cell" class="text-end max-md:hidden">
                {row.releases.all()}
            </td>
            <td role="cell" class="whitespace-nowrap max-md:ml-auto">
                <span class="md:hidden text-muted">"Joined "</span>
                <TimeAgo at=row.created_at/>
            </td>
        </tr>
    }
}

/// How many releases have one status, as a link to them unless there are none.
#[component]
fn StatusCount(status: ReleaseStatus, number: i64, address: String) -> impl IntoView {
    let class = if number == 0 { "md:text-end max-md:hidden" } else { "md:text-end" };
    let shown = if number == 0 {
        view! { <span class="text-muted">"0"</span> }.into_any()
    } else {
        let name = format!("{} {}", count(number, "release", "releases"), status.label().to_lowercase());
        view! {
            <a href=address class=format!("{ABOVE_ROW_LINK} md:text-end") aria-label=name>
                {number}
                <span class="md:hidden">{format!(" {}", status.label().to_lowercase())}</span>
            </a>
        }
        .into_any()
    };
    view! { <td role="cell" class=class>{shown}</td> }
}

fn releases_of(path: &str, artist: UserId, status: Option<ReleaseStatus>) -> String {
    filter_address(path, &ReleaseFilter { artist: Some(artist), status, page: 1, ..Default::default() })
}
