//! Pages of lists: where a page begins, what it holds, and how many rows the list has.
//!
//! A page begins beside a row, not after a number of rows. So the database reads each page from an index, however deep
//! it is, and rows that come and go elsewhere don't shift it.

use std::{fmt, iter::Sum};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::release::{date_field, parse_date};

/// The number of rows on one page.
pub const PAGE_SIZE: usize = 24;
/// The last page that an address with a number leads to: as far as rows are counted. A later number leads to the first
/// page, and so does one beyond the end of its list.
pub const NUMBERED_PAGES_MAX: u32 = 42;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    pub rows: Vec<T>,
    pub links: PageLinks,
    /// The number of rows on all pages.
    pub total: Count,
    /// Nothing matches the search. The rows match words that are spelled similarly.
    #[serde(default)]
    pub is_similar: bool,
}

/// Where a page is in its list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageLinks {
    pub previous: Option<PageStart>,
    pub next: Option<PageStart>,
    /// The start of this page, if another one was asked for: a number, or a page that the list doesn't have (any more).
    pub moved_to: Option<PageStart>,
}

/// Says which page of a list is meant. Its text is the parameter of an address, and empty for the first page. Text that
/// means no page means the first one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum PageStart {
    #[default]
    First,
    After(Cursor),
    Before(Cursor),
    /// The page with this number, counted from 1: a page of a search, which is ranked anew each time. The addresses of all
    /// lists held numbers once.
    Numbered(u32),
}

impl PageStart {
    /// The page that a parameter of an address means.
    pub fn parse(parameter: &str, value: &str) -> Self {
        let cursor = || Cursor(value.to_owned());
        match parameter {
            "after" => Self::After(cursor()),
            "before" => Self::Before(cursor()),
            "page" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                Self::Numbered(value.parse().unwrap_or(u32::MAX))
            }
            _ => Self::First,
        }
    }

    /// The parameter of an address and its value. `None` for the first page.
    pub fn parameter(&self) -> Option<(&'static str, String)> {
        match self {
            Self::First => None,
            Self::After(cursor) => Some(("after", cursor.0.clone())),
            Self::Before(cursor) => Some(("before", cursor.0.clone())),
            Self::Numbered(number) => Some(("page", number.to_string())),
        }
    }
}

impl From<String> for PageStart {
    fn from(text: String) -> Self {
        text.split_once('=').map_or(Self::First, |(parameter, value)| Self::parse(parameter, value))
    }
}

impl From<PageStart> for String {
    fn from(start: PageStart) -> Self {
        start.parameter().map_or_else(Self::new, |(parameter, value)| format!("{parameter}={value}"))
    }
}

/// A [`Place`] as text for an address. Only the list that made it can tell what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

/// The place of a row in its list: its sort key, and its id, which orders rows with equal keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<K> {
    pub key: K,
    pub id: Uuid,
}

impl<K: SortKey> Place<K> {
    pub fn cursor(&self) -> Cursor {
        let mut bytes = self.id.as_bytes().to_vec();
        bytes.extend(self.key.to_text().bytes());
        Cursor(BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    /// `None` for a cursor that is damaged or has another kind of sort key.
    pub fn parse(cursor: &Cursor) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&cursor.0).ok()?;
        let (id, key) = bytes.split_first_chunk()?;
        Some(Self { key: K::parse(std::str::from_utf8(key).ok()?)?, id: Uuid::from_bytes(*id) })
    }
}

/// A value by which lists are sorted. [`SortKey::parse`] accepts only values that a database can compare.
pub trait SortKey: Sized {
    fn to_text(&self) -> String;
    fn parse(text: &str) -> Option<Self>;
}

impl SortKey for String {
    fn to_text(&self) -> String {
        self.clone()
    }

    fn parse(text: &str) -> Option<Self> {
        (!text.contains('\0')).then(|| text.to_owned())
    }
}

/// A time, with the microseconds that the database keeps.
impl SortKey for OffsetDateTime {
    fn to_text(&self) -> String {
        (self.unix_timestamp_nanos() / 1000).to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        let micros: u64 = text.parse().ok()?;
        Self::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok()
    }
}

/// A date that may be missing.
impl SortKey for Option<Date> {
    fn to_text(&self) -> String {
        self.map_or_else(|| "-".into(), date_field)
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "-" { Some(None) } else { parse_date(text).ok().map(Some) }
    }
}

/// A number of rows, which is exact up to 1,000 and "1,000+" beyond. So counting reads no more than 1,001 rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(sqlx::Type), sqlx(transparent))]
#[serde(transparent)]
pub struct Count(i64);

impl Count {
    pub const EXACT_MAX: i64 = 1000;

    pub fn of(rows: i64) -> Self {
        Self(rows.min(Self::EXACT_MAX + 1))
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            rows if rows > Self::EXACT_MAX => f.write_str("1,000+"),
            Self::EXACT_MAX => f.write_str("1,000"),
            rows => rows.fmt(f),
        }
    }
}

impl Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        Self::of(counts.map(|count| count.0).sum())
    }
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::*;

    fn comes_back<K: SortKey + Clone + fmt::Debug + PartialEq>(key: K) {
        let place = place(key);
        let start = PageStart::After(place.cursor());
        let address = String::from(start.clone());
        assert!(address["after=".len()..].bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(PageStart::from(address), start);
        assert_eq!(Place::parse(&place.cursor()), Some(place));
    }

    fn place<K>(key: K) -> Place<K> {
        Place { key, id: Uuid::from_u128(7) }
    }

    #[test]
    fn a_place_survives_the_way_through_an_address() {
        comes_back(datetime!(2026-03-01 12:00:00.123_456 UTC));
        comes_back(Some(date!(2026 - 03 - 01)));
        comes_back(None::<Date>);
        comes_back(String::new());
        comes_back("Été & \\u0000".to_owned());
    }

    #[test]
    fn a_cursor_means_nothing_to_a_list_with_another_order() {
        let title = place("Été".to_owned()).cursor();
        assert_eq!(Place::<OffsetDateTime>::parse(&title), None);
        assert_eq!(Place::<Option<Date>>::parse(&title), None);
    }

    #[test]
    fn a_damaged_cursor_has_no_place() {
        for damaged in ["", "many", "AAAA", "a b", "é", &"A".repeat(10_000)] {
            assert_eq!(Place::<OffsetDateTime>::parse(&Cursor(damaged.to_owned())), None, "{damaged}");
        }
        for key in ["-1", "99999999999999999999", "1e9"] {
            assert_eq!(Place::<OffsetDateTime>::parse(&place(key.to_owned()).cursor()), None, "{key}");
        }
        assert_eq!(Place::<String>::parse(&place("a\0".to_owned()).cursor()), None);
    }

    #[test]
    fn any_text_means_a_page() {
        for (text, start) in [
            ("page=2", PageStart::Numbered(2)),
            ("page=99999999999", PageStart::Numbered(u32::MAX)),
            ("page=-1", PageStart::First),
            ("page=\u{663}", PageStart::First),
            ("page=", PageStart::First),
            ("behind=x", PageStart::First),
            ("2", PageStart::First),
        ] {
            assert_eq!(PageStart::from(text.to_owned()), start, "{text}");
        }
    }

    #[test]
    fn a_count_is_exact_up_to_a_thousand() {
        for (rows, words) in [(0, "0"), (999, "999"), (1000, "1,000"), (1001, "1,000+"), (1_000_000, "1,000+")] {
            assert_eq!(Count::of(rows).to_string(), words);
        }
        assert_eq!([Count::of(600), Count::of(500)].into_iter().sum::<Count>().to_string(), "1,000+");
    }
}
