//! The admins' tables: tight rows on a desktop, one card for each row on a phone, never a horizontal scroll bar.

use leptos::prelude::*;

/// A column's heading.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub label: &'static str,
    pub kind: ColumnKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    Text,
    /// Figures stand under one another, at the right.
    Number,
    /// Covers speak for themselves: the heading is for screen readers.
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

/// A row of a cover and words: on a phone the cover stands at the left of two lines.
pub const COVER_ROW: &str = "relative aria-[current=true]:bg-accent-soft aria-[current=true]:shadow-[inset_3px_0_var(--color-accent)] \
     max-md:grid max-md:grid-cols-[3rem_minmax(0,1fr)_auto] max-md:gap-x-3 max-md:border-t max-md:border-line \
     max-md:px-2 max-md:py-3";
/// Beside the link that takes the whole row (`card-link`), others have to stand above it.
pub const ABOVE_ROW_LINK: &str = "link relative z-10 inline-block min-h-6 min-w-6 leading-6";

/// What people name is as long as they like: in a table it takes its share of the width at most, breaks, and what
/// stands in it as `line-clamp-3` ends after three lines.
pub const LONG_WORDS: &str = "inline-block max-w-80 [overflow-wrap:anywhere]";

/// `children` are rows. Browsers forget that a table is one when its rows are laid out as cards: the roles keep it so.
#[component]
pub fn Table(caption: &'static str, columns: Vec<Column>, children: Children) -> impl IntoView {
    let headings = columns
        .into_iter()
        .map(|column| {
            let class = if column.kind == ColumnKind::Number { "text-end" } else { "" };
            let hidden = if column.kind == ColumnKind::Picture { "visually-hidden" } else { "" };
            view! {
                <th scope="col" role="columnheader" class=class>
                    <span class=hidden>{column.label}</span>
                </th>
            }
        })
        .collect_view();
    view! {
        <table class="table max-md:block max-md:[&_td]:border-0 max-md:[&_td]:p-0" role="table">
            <caption class="visually-hidden">{caption}</caption>
            <thead class="max-md:sr-only" role="rowgroup">
                <tr role="row">{headings}</tr>
            </thead>
            <tbody class="max-md:block" role="rowgroup">
                {children()}
            </tbody>
        </table>
    }
}

/// "1 track", "9 tracks".
pub fn count(number: i64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
