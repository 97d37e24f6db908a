//! Pages of lists: what a list reads for a page, and which pages stand beside it.

use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

use crate::domain::page::{NUMBERED_PAGES_MAX, PAGE_SIZE, PageLinks, PageStart, Place, SortKey};

/// The most rows that a statement reads for a page. The row after the page says that there is another page. Statements
/// spell the number out, because the planner trusts an index only if it knows how few rows are needed.
const READ_LIMIT: usize = 25;
const _: () = assert!(READ_LIMIT == PAGE_SIZE + 1);

/// The beginning of a list that is sorted by a time, the latest first.
pub(in crate::backend) const LATEST_FIRST: Place<OffsetDateTime> =
    Place { key: datetime!(9999-12-31 0:00 UTC), id: Uuid::max() };

/// The side of a place on which rows are read, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum Side {
    Before,
    After,
}

/// Finds the page that was asked for: says what to read, and takes the rows until they are that page.
///
/// The first page stands in for a page that the list doesn't have, or doesn't have any more.
///
/// The caller reads in a loop of its own: with an async closure instead, the compiler can't prove that the future of a
/// server function is `Send` (rust-lang/rust issue 102211, in rustc 1.96).
pub(in crate::backend) struct PageSearch<'a, T, K> {
    asked: &'a PageStart,
    /// A place before all rows.
    beginning: Place<K>,
    place_of: fn(&T) -> Place<K>,
    /// The start of the page that is read next.
    start: PageStart,
    /// How many pages follow until the one with the number that was asked for.
    pages_left: u32,
}

impl<'a, T, K: SortKey + Clone> PageSearch<'a, T, K> {
    pub(in crate::backend) fn new(asked: &'a PageStart, beginning: Place<K>, place_of: fn(&T) -> Place<K>) -> Self {
        let pages_left = match asked {
            PageStart::Numbered(number @ 1..=NUMBERED_PAGES_MAX) => number - 1,
            _ => 0,
        };
        let start = if place::<K>(asked).is_some() { asked.clone() } else { PageStart::First };
        Self { asked, beginning, place_of, start, pages_left }
    }

    /// The place beside which up to [`READ_LIMIT`] rows are to be read, and the side.
    pub(in crate::backend) fn read_at(&self) -> (Place<K>, Side) {
        let side = if matches!(self.start, PageStart::Before(_)) { Side::Before } else { Side::After };
        (place(&self.start).unwrap_or_else(|| self.beginning.clone()), side)
    }

    /// Takes the rows that were read. Returns the page, or `None` if another one is to be read.
    pub(in crate::backend) fn take(&mut self, mut rows: Vec<T>) -> Option<(Vec<T>, PageLinks)> {
        let has_more = rows.len() > PAGE_SIZE;
        rows.truncate(PAGE_SIZE);
        let is_first = self.start == PageStart::First;
        let is_backward = matches!(self.start, PageStart::Before(_));
        if is_backward {
            rows.reverse();
        }
        let cursor = |row: Option<&T>| row.map(|row| (self.place_of)(row).cursor());
        let previous = cursor(rows.first()).filter(|_| if is_backward { has_more } else { !is_first });
        let next = cursor(rows.last()).filter(|_| is_backward || has_more);
        let (previous, next) = (previous.map(PageStart::Before), next.map(PageStart::After));
        match next {
            Some(next) if self.pages_left > 0 => {
                self.pages_left -= 1;
                self.start = next;
                None
            }
            None if !is_first && (rows.is_empty() || self.pages_left > 0) => {
                self.pages_left = 0;
                self.start = PageStart::First;
                None
            }
            next => {
                let moved_to = (self.start != *self.asked).then(|| self.start.clone());
                Some((rows, PageLinks { previous, next, moved_to }))
            }
        }
    }
}

/// The place beside which a page begins. `None` if it begins beside none that this list knows.
fn place<K: SortKey>(start: &PageStart) -> Option<Place<K>> {
    match start {
        PageStart::After(cursor) | PageStart::Before(cursor) => Place::parse(cursor),
        PageStart::First | PageStart::Numbered(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    fn place_of(number: &u128) -> Place<String> {
        Place { key: "equal".into(), id: Uuid::from_u128(*number) }
    }

    /// Reads a page of a list whose rows are numbers.
    fn page_of(list: Range<u128>, start: &PageStart) -> (Vec<u128>, PageLinks) {
        let mut search = PageSearch::new(start, place_of(&0), place_of);
        loop {
            let (place, side) = search.read_at();
            let from = place.id.as_u128();
            let rows = match side {
                Side::After => list.clone().filter(|row| *row > from).take(READ_LIMIT).collect(),
                Side::Before => list.clone().rev().filter(|row| *row < from).take(READ_LIMIT).collect(),
            };
            if let Some(page) = search.take(rows) {
                return page;
            }
        }
    }

    #[test]
    fn links_lead_through_a_list_and_back() {
        let list = 1..60;
        let (first, links) = page_of(list.clone(), &PageStart::First);
        assert_eq!((first, links.previous), ((1..25).collect(), None));
        let (second, links) = page_of(list.clone(), &links.next.unwrap());
        assert_eq!(second, (25..49).collect::<Vec<_>>());
        let (third, links) = page_of(list.clone(), &links.next.unwrap());
        assert_eq!((third, links.next), ((49..60).collect(), None));
        let (second, links) = page_of(list.clone(), &links.previous.unwrap());
        assert_eq!(second, (25..49).collect::<Vec<_>>());
        let (first, links) = page_of(list.clone(), &links.previous.unwrap());
        assert_eq!((first, links.previous), ((1..25).collect(), None));
        let (second, _) = page_of(list, &links.next.unwrap());
        assert_eq!(second, (25..49).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_page_without_another_has_no_next() {
        assert_eq!(page_of(1..25, &PageStart::First).1, PageLinks::default());
        assert_eq!(page_of(1..1, &PageStart::First), (vec![], PageLinks::default()));
    }

    #[test]
    fn the_first_page_stands_in_for_a_page_that_is_gone() {
        let (first, _) = page_of(1..30, &PageStart::First);
        for start in [
            PageStart::After(place_of(&29).cursor()),
            PageStart::Before(place_of(&1).cursor()),
            PageStart::parse("after", "damaged"),
            PageStart::Numbered(0),
            PageStart::Numbered(1),
            PageStart::Numbered(3),
            PageStart::Numbered(NUMBERED_PAGES_MAX + 1),
            PageStart::Numbered(u32::MAX),
        ] {
            let (rows, links) = page_of(1..30, &start);
            assert_eq!((&rows, links.moved_to), (&first, Some(PageStart::First)), "{start:?}");
        }
    }

    #[test]
    fn a_number_leads_to_the_page_that_it_meant() {
        let (rows, links) = page_of(1..2000, &PageStart::Numbered(3));
        assert_eq!((rows[0], links.moved_to), (49, Some(PageStart::After(place_of(&48).cursor()))));
        let (rows, _) = page_of(1..2000, &PageStart::Numbered(NUMBERED_PAGES_MAX));
        assert_eq!(rows[0], 985);
    }
}
