//! The search for releases and accounts: from a [`Search`] to ids, in the order of the list.

pub(in crate::backend) mod keeper;

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgPool;

use crate::{
    backend::Result,
    domain::{
        ids::{ReleaseId, UserId},
        page::{Count, PAGE_SIZE, PageLinks, PageStart},
        problem::Problem,
        release::ReleaseStatus,
        search::{self, Search, Wanted},
    },
};

/// The number of matches that are ranked and paged.
const RANKED_MAX: usize = 1000;
/// The number of words with one beginning up to which a search names them all. Beyond it, the index looks for all that
/// have the beginning.
const NAMED_MAX: i32 = 20;
/// A lexeme that nothing has.
const NOTHING: &str = "!";
/// The number of mistyped words of a search that are replaced.
const MISTYPED_MAX: usize = 4;
/// The number of words that are tried in place of a mistyped one.
const SIMILAR_MAX: usize = 20;

#[derive(Clone, Copy, Debug)]
pub(super) enum SearchOrder {
    /// Releases with the same title come first, then those whose title begins with the search, then others. Among equals,
    /// the latest change comes first.
    Changed,
    /// As `Changed`, but among these the longest wait for a review.
    Waiting,
    Title,
    ReleaseDate,
}

impl SearchOrder {
    fn as_sql(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Waiting => "waiting",
            Self::Title => "title",
            Self::ReleaseDate => "date",
        }
    }
}

/// The matches of a search in the order of the list, at most 1,001 ids.
pub(in crate::backend) struct Found<T> {
    pub(in crate::backend) ids: Vec<T>,
    /// Nothing matches the search. These match words that are similar.
    pub(super) is_similar: bool,
}

/// Finds releases with one of these statuses, of one artist or of all. If none matches, tries words that are similar.
pub(super) async fn find_releases(
    db: &PgPool,
    search: &Search,
    statuses: &[ReleaseStatus],
    artist: Option<UserId>,
    order: SearchOrder,
) -> Result<Found<ReleaseId>> {
    let words = words_beginning(db, search).await?;
    let ids = find_with(db, search, &words, statuses, artist, order).await?;
    if !ids.is_empty() {
        return Ok(Found { ids, is_similar: false });
    }
    match with_similar_words(db, words).await? {
        None => Ok(Found { ids, is_similar: false }),
        Some(words) => {
            let ids = find_with(db, search, &words, statuses, artist, order).await?;
            Ok(Found { is_similar: !ids.is_empty(), ids })
        }
    }
}

/// Finds releases of all artists in every status, those with the same title first. Tries no similar words. Returns at most 1,001.
pub(in crate::backend) async fn find_releases_exactly(db: &PgPool, search: &Search) -> Result<Vec<ReleaseId>> {
    let words = words_beginning(db, search).await?;
    find_with(db, search, &words, &ReleaseStatus::ALL, None, SearchOrder::Changed).await
}

async fn find_with(
    db: &PgPool,
    search: &Search,
    words: &WordsFor,
    statuses: &[ReleaseStatus],
    artist: Option<UserId>,
    order: SearchOrder,
) -> Result<Vec<ReleaseId>> {
    let wanted = search.wanted(|typed| words.get(typed).cloned().unwrap_or_default());
    // A list of one artist ignores the artist's name.
    let wanted = if artist.is_some() { wanted } else { wanted.or_of_artist() };
    let ids = sqlx::query_scalar!(
        r#"select id as "id!: ReleaseId"
           from search_releases($1::text::tsquery, $2::text::tsquery, $3::text::tsquery, $4, $5, $6) id"#,
        tsquery(&wanted),
        tsquery(&search.same_title()),
        tsquery(&search.title_beginning()),
        statuses as &[ReleaseStatus],
        artist as Option<UserId>,
        order.as_sql()
    )
    .fetch_all(db)
    .await?;
    Ok(ids)
}

/// Finds accounts by name or e-mail address.
pub(in crate::backend) async fn find_users(db: &PgPool, search: &Search) -> Result<Found<UserId>> {
    let ids = sqlx::query_scalar!(
        r#"select id as "id!: UserId" from search_users($1::text::tsquery, $2::text::tsquery) id"#,
        tsquery(&search.wanted(|_| None)),
        tsquery(&search.same_title())
    )
    .fetch_all(db)
    .await?;
    Ok(Found { ids, is_similar: false })
}

/// The words that will do for each long word of a search. `None`: too many to name.
type WordsFor = BTreeMap<String, Option<Vec<String>>>;

/// Looks up the words that begin with those of a search.
async fn words_beginning(db: &PgPool, search: &Search) -> Result<WordsFor> {
    let typed = Vec::from_iter(search.long_words());
    if typed.is_empty() {
        return Ok(WordsFor::new());
    }
    let rows = sqlx::query!(
        r#"select typed as "typed!", words as "words!" from search_words_beginning($1, $2)"#,
        &typed,
        NAMED_MAX + 1
    )
    .fetch_all(db)
    .await?;
    let is_named = |words: &Vec<String>| i32::try_from(words.len()).is_ok_and(|count| count <= NAMED_MAX);
    Ok(rows.into_iter().map(|row| (row.typed, Some(row.words).filter(is_named))).collect())
}

/// Adds similar words for the words that no release has. If releases have each of the words, but none has all of them,
/// adds similar words for each. `None` if there is no similar word.
async fn with_similar_words(db: &PgPool, mut words: WordsFor) -> Result<Option<WordsFor>> {
    let is_unknown = |known: &Option<Vec<String>>| known.as_ref().is_some_and(Vec::is_empty);
    let any_is_unknown = words.values().any(is_unknown);
    let mistyped: Vec<String> = words
        .iter()
        .filter(|(word, known)| search::can_be_mistyped(word) && (!any_is_unknown || is_unknown(known)))
        .map(|(word, _)| word.clone())
        .take(MISTYPED_MAX)
        .collect();
    if mistyped.is_empty() {
        return Ok(None);
    }
    let parts: BTreeSet<String> = mistyped.iter().flat_map(|word| search::possible_parts(word)).collect();
    let swapped: Vec<String> = mistyped.iter().flat_map(|word| search::with_swapped_letters(word)).collect();
    let candidates = sqlx::query_scalar!(
        r#"select word as "word!" from search_words_like($1, $2) word"#,
        &Vec::from_iter(parts),
        &swapped
    )
    .fetch_all(db)
    .await?;
    let mut has_similar = false;
    for word in mistyped {
        let mut similar: Vec<_> = candidates
            .iter()
            .filter(|candidate| **candidate != word)
            .filter_map(|candidate| Some((search::edits_between(&word, candidate)?, candidate)))
            .collect();
        similar.sort_unstable();
        has_similar |= !similar.is_empty();
        if let Some(Some(known)) = words.get_mut(&word) {
            known.extend(similar.into_iter().take(SIMILAR_MAX).map(|(_, candidate)| candidate.clone()));
        }
    }
    Ok(has_similar.then_some(words))
}

impl<T> Found<T> {
    pub(super) fn count(&self) -> Count {
        Count::of(self.ids.len().try_into().unwrap_or(i64::MAX))
    }

    /// The ids of a page. A search is ranked anew for each page, so its pages have numbers.
    pub(super) fn page(&self, start: &PageStart) -> (&[T], PageLinks) {
        let ranked = &self.ids[..self.ids.len().min(RANKED_MAX)];
        let pages = ranked.chunks(PAGE_SIZE).len();
        let number = match start {
            PageStart::Numbered(number) => usize::try_from(*number).ok().filter(|number| (2..=pages).contains(number)),
            PageStart::First | PageStart::After(_) | PageStart::Before(_) => None,
        };
        let start_of = |number| match u32::try_from(number) {
            Ok(number @ 2..) => PageStart::Numbered(number),
            _ => PageStart::First,
        };
        let moved_to = (number.is_none() && *start != PageStart::First).then_some(PageStart::First);
        let number = number.unwrap_or(1);
        let previous = (number > 1).then(|| start_of(number - 1));
        let next = (number < pages).then(|| start_of(number + 1));
        (ranked.chunks(PAGE_SIZE).nth(number - 1).unwrap_or_default(), PageLinks { previous, next, moved_to })
    }
}

/// Reads a search as somebody typed it. `None` if it is empty.
///
/// # Errors
/// `Invalid` if the search contains U+0000.
pub(in crate::backend) fn parse(text: &str) -> Result<Option<Search>> {
    if text.contains('\0') {
        return Err(Problem::field("search", "This text contains an invisible character. Type the text again.").into());
    }
    Ok(Search::parse(text))
}

/// Writes a query in PostgreSQL's syntax. Nothing that is typed is syntax.
fn tsquery(wanted: &Wanted) -> String {
    let joined = |wanted: &[Wanted], operator| {
        let operands: Vec<_> = wanted.iter().map(tsquery).collect();
        format!("({})", operands.join(operator))
    };
    match wanted {
        Wanted::Lexeme(lexeme) => quoted(lexeme),
        Wanted::Beginning(text) => format!("{}:*", quoted(text)),
        Wanted::Any(any) if any.is_empty() => quoted(NOTHING),
        Wanted::All(all) => joined(all, " & "),
        Wanted::Any(any) => joined(any, " | "),
    }
}

/// A lexeme in the syntax of `tsquery` and `tsvector`.
fn quoted(lexeme: &str) -> String {
    format!("'{}'", lexeme.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests;
