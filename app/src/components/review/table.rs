//! The admins' tables: tight rows on a desktop, one card for each row on a phone, never a horizontal scroll bar.

use leptos::prelude::*;
use vwaza::domain::page::Count;

/// A column's heading.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub label: &'static str,
    pub kind: ColumnKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    Text,
    /// Numbers, aligned at the right.
    Number,
    /// Covers and buttons explain themselves, so only screen readers read the heading.
    Picture,
}

impl Column {
    pub const fn text(label: &'static str) -> Self {
        Self { label, kind: ColumnKind::Text }
    }

    pub const fn number(label: &'static str) -> Self {
        Self { label, kind: ColumnKind::Number }
    }

    pub const fn picture(label: &'static str) -> Self {
        Self { label, kind: ColumnKind::Picture }
    }
}

/// A table whose rows are `children`. Its roles are explicit, because browsers no longer treat a table as one when its
/// rows are laid out as cards.
#[component]
pub fn Table(caption: &'static str, columns: Vec<Column>, children: Children) -> impl IntoView {
    let headings = columns
        .into_iter()
        .map(|column| {
            let class = if column.kind == ColumnKind::Number { "cell-number" } else { "" };
            let hidden = if column.kind == ColumnKind::Picture { "visually-hidden" } else { "" };
            view! {
                <th scope="col" role="columnheader" class=class>
                    <span class=hidden>{column.label}</span>
                </th>
            }
        })
        .collect_view();
    view! {
        <table class="table table-cards" role="table">
            <caption class="visually-hidden">{caption}</caption>
            <thead role="rowgroup">
                <tr role="row">{headings}</tr>
            </thead>
            <tbody role="rowgroup">
                {children()}
            </tbody>
        </table>
    }
}

/// "1 track", "9 tracks", "1,000+ tracks".
pub fn count(number: Count, one: &str, many: &str) -> String {
    format!("{number} {}", if number == Count::of(1) { one } else { many })
}
