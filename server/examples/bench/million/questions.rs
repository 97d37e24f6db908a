//! Every list, search, filter, sort and deep page that is measured.

use std::sync::Arc;

use futures::{FutureExt, future::LocalBoxFuture};
use sqlx::PgPool;
use time::{Date, OffsetDateTime};
use uuid::Uuid;
use vwaza::{
    backend::Backend,
    domain::{
        account::{Actor, Role},
        ids::{ReleaseId, UserId},
        page::{PageStart, Place, SortKey},
        release::{ReleaseFilter, ReleaseSort, ReleaseStatus},
    },
};

use crate::{BenchResult, figures::Limit};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Search,
    /// A search that finds nothing, so that similar words are tried.
    Mistyped,
}

impl Kind {
    /// The limits of the median and of the 99th percentile.
    pub(super) fn limits_ms(self) -> (Limit, Limit) {
        match self {
            Self::List => (Limit::AtMost(5.0), Limit::AtMost(20.0)),
            Self::Search => (Limit::AtMost(20.0), Limit::AtMost(60.0)),
            Self::Mistyped => (Limit::None, Limit::AtMost(100.0)),
        }
    }
}

type Ask<'a> = Box<dyn Fn(usize) -> LocalBoxFuture<'a, BenchResult<usize>> + 'a>;

pub(super) struct Question<'a> {
    pub(super) what: String,
    pub(super) kind: Kind,
    /// Whether it finds anything.
    pub(super) finds: bool,
    /// Asks, and returns the number of rows. The argument counts the runs: each asks for something else.
    pub(super) ask: Ask<'a>,
}

/// The people, the places deep in lists and the words that the questions name.
pub(super) struct Questions<'a> {
    backend: &'a Arc<Backend>,
    admin: Actor,
    /// The artist with one release in 200.
    nova: Actor,
    deep: Deep,
    /// The release with 100 tracks.
    largest: ReleaseId,
    /// Words, codes and names of releases and artists that were picked at random.
    words: Vec<String>,
    isrcs: Vec<String>,
    gtins: Vec<String>,
    artists: Vec<String>,
}

/// Places in the middle of lists.
struct Deep {
    changed: PageStart,
    title: PageStart,
    date: PageStart,
    waiting: PageStart,
    own: PageStart,
    artist: PageStart,
}

impl<'a> Questions<'a> {
    pub(super) async fn prepare(backend: &'a Arc<Backend>, sql: &PgPool, releases: i64) -> BenchResult<Self> {
        let artist = sqlx::query_scalar::<_, Uuid>("select md5('artist 1')::uuid").fetch_one(sql).await?;
        let actor = |id, role| Actor {
            id: UserId(id),
            role,
            email: String::new(),
            artist_name: String::new(),
            must_verify_email: false,
            must_set_up_two_factor: false,
        };
        let in_the_middle = releases / 2;
        let changed = "select updated_at, id from releases order by updated_at desc, id desc offset $1 limit 1";
        let title = "select title, id from releases order by sort_text(title), id offset $1 limit 1";
        let date = "select release_date, id from releases where release_date is not null
                    order by release_date desc, id desc offset $1 limit 1";
        let waiting = "select submitted_at, id from releases where status = 'PENDING_REVIEW' order by submitted_at, id offset $1 limit 1";
        let own = "select updated_at, id from releases where artist_id = md5('artist 1')::uuid
                   order by updated_at desc, id desc offset $1 limit 1";
        let name = "select artist_name, id from users order by sort_text(artist_name), id offset $1 limit 1";
        let deep = Deep {
            changed: after::<OffsetDateTime>(sql, changed, in_the_middle).await?,
            title: after::<String>(sql, title, in_the_middle).await?,
            date: after::<Option<Date>>(sql, date, in_the_middle).await?,
            waiting: after::<OffsetDateTime>(sql, waiting, in_the_middle / 100 / 2).await?,
            own: after::<OffsetDateTime>(sql, own, 0).await?,
            artist: after::<String>(sql, name, in_the_middle / 10).await?,
        };
        let largest = "select release_id from tracks where number = 100";
        let some = async |column: &'static str| sqlx::query_scalar::<_, String>(column).fetch_all(sql).await;
        Ok(Self {
            backend,
            admin: actor(Uuid::nil(), Role::Admin),
            nova: actor(artist, Role::Artist),
            deep,
            largest: ReleaseId(sqlx::query_scalar(largest).fetch_one(sql).await?),
            words: some("select split_part(title, ' ', 1) from releases order by md5(id::text) limit 97").await?,
            isrcs: some("select isrc from tracks order by id limit 97").await?,
            gtins: some("select gtin from releases where gtin is not null order by md5(id::text) limit 97").await?,
            artists: some("select artist_name from users order by id limit 97").await?,
        })
    }

    pub(super) fn all(&'a self) -> Vec<Question<'a>> {
        let mut all = self.lists();
        all.extend(self.searches());
        all
    }

    fn lists(&'a self) -> Vec<Question<'a>> {
        let Deep { changed, title, date, waiting, own, artist } = &self.deep;
        let (first, nova) = (&PageStart::First, Some(self.nova.id));
        let filter = |sort, start: &PageStart| ReleaseFilter { sort, start: start.clone(), ..Default::default() };
        let by = |what: &str, filter: ReleaseFilter| {
            self.question(what, Kind::List, move |_| self.releases(filter.clone()).boxed_local())
        };
        let queue = |what: &str, artist, start: &'a PageStart| {
            self.question(what, Kind::List, move |_| self.queue("", artist, start.clone()).boxed_local())
        };
        let home = |what: &str, filter: ReleaseFilter| {
            self.question(what, Kind::List, move |_| self.own(filter.clone()).boxed_local())
        };
        vec![
            by("all releases", filter(ReleaseSort::Changed, first)),
            by("all releases, deep", filter(ReleaseSort::Changed, changed)),
            by("by title", filter(ReleaseSort::Title, first)),
            by("by title, deep", filter(ReleaseSort::Title, title)),
            by("by release date", filter(ReleaseSort::ReleaseDate, first)),
            by("by release date, deep", filter(ReleaseSort::ReleaseDate, date)),
            by("published", ReleaseFilter { status: Some(ReleaseStatus::Published), ..Default::default() }),
            by(
                "published, by title, deep",
                ReleaseFilter { status: Some(ReleaseStatus::Published), ..filter(ReleaseSort::Title, title) },
            ),
            by("of an artist with 5,000", ReleaseFilter { artist: nova, ..Default::default() }),
            by(
                "of an artist with 5,000, by title",
                ReleaseFilter { artist: nova, ..filter(ReleaseSort::Title, first) },
            ),
            queue("review queue of 10,000", None, first),
            queue("review queue of 10,000, deep", None, waiting),
            queue("review queue of one artist", nova, first),
            home("home with 5,000 releases", ReleaseFilter::default()),
            home("home with 5,000 releases, deep", filter(ReleaseSort::Changed, own)),
            home(
                "home with 5,000 releases, drafts",
                ReleaseFilter { status: Some(ReleaseStatus::Draft), ..Default::default() },
            ),
            self.question("all artists", Kind::List, move |_| self.artists("".into(), first.clone()).boxed_local()),
            self.question("all artists, deep", Kind::List, move |_| {
                self.artists("".into(), artist.clone()).boxed_local()
            }),
            self.question("release and review with 100 tracks", Kind::List, move |_| self.largest().boxed_local()),
        ]
    }

    fn searches(&'a self) -> Vec<Question<'a>> {
        let (published, nova) = (Some(ReleaseStatus::Published), Some(self.nova.id));
        let with = |what: &str, search: &'static str, filter: ReleaseFilter| {
            let filter = ReleaseFilter { search: search.into(), ..filter };
            self.question(&format!("search: {what}"), Kind::Search, move |_| {
                self.releases(filter.clone()).boxed_local()
            })
        };
        let plain = |what: &str, search: &'static str| with(what, search, ReleaseFilter::default());
        let one_of = |what: &str, texts: &'a [String], written: fn(&str) -> String| {
            self.question(&format!("search: {what}"), Kind::Search, move |run| {
                let search = written(&texts[run % texts.len()]);
                self.releases(ReleaseFilter { search, ..Default::default() }).boxed_local()
            })
        };
        let queue = |what: &str, search: &'static str| {
            let ask = move |_| self.queue(search, None, PageStart::First).boxed_local();
            self.question(&format!("search: {what}"), Kind::Search, ask)
        };
        let accounts = |what: &str, search: fn(&'a Self, usize) -> String| {
            let ask = move |run| self.artists(search(self, run), PageStart::First).boxed_local();
            self.question(&format!("search: {what}"), Kind::Search, ask)
        };
        let in_vain = |what: &str, kind, search: &'static str| {
            let question = with(what, search, ReleaseFilter::default());
            Question { kind, finds: false, ..question }
        };
        let mistyped = |what: &str, search: &'static str| Question { kind: Kind::Mistyped, ..plain(what, search) };
        let title = ReleaseFilter { sort: ReleaseSort::Title, ..Default::default() };
        let last = ReleaseFilter { start: PageStart::Numbered(42), ..Default::default() };
        vec![
            one_of("words at random", &self.words, str::to_owned),
            plain("a word of half of all", "midnight"),
            plain("its beginning", "midn"),
            plain("one letter", "m"),
            plain("two words", "midnight drive"),
            plain("an artist's and a title's", "nova midnight"),
            plain("a word with an accent", "Mídníght"),
            plain("Japanese", "東京"),
            plain("one Chinese character", "京"),
            one_of("an ISRC", &self.isrcs, str::to_owned),
            one_of("an ISRC with hyphens", &self.isrcs, |isrc| {
                format!("{}-{}-{}-{}", &isrc[..2], &isrc[2..5], &isrc[5..7], &isrc[7..])
            }),
            one_of("a UPC", &self.gtins, str::to_owned),
            with("a common word, last page", "midnight", last),
            with("a common word, by title", "midnight", title),
            with("a common word, published", "midnight", ReleaseFilter { status: published, ..Default::default() }),
            with("a common word, one artist", "midnight", ReleaseFilter { artist: nova, ..Default::default() }),
            queue("a common word in the queue", "midnight"),
            queue("an artist in the queue", "nova"),
            in_vain("a word that is nowhere", Kind::Search, "xq"),
            accounts("artists by name", |questions, run| questions.artists[run % questions.artists.len()].clone()),
            accounts("artists by e-mail", |_, run| format!("artist-{}@example.com", run + 1)),
            accounts("artists by a common word", |_, _| "example".into()),
            mistyped("one mistake", "midnihgt"),
            mistyped("a mistake beside a right word", "midnight drvie"),
            in_vain("a long word that is nowhere", Kind::Mistyped, "xylophonequartz"),
        ]
    }

    fn question(
        &self,
        what: &str,
        kind: Kind,
        ask: impl Fn(usize) -> LocalBoxFuture<'a, BenchResult<usize>> + 'a,
    ) -> Question<'a> {
        Question { what: what.to_owned(), kind, finds: true, ask: Box::new(ask) }
    }

    async fn releases(&self, filter: ReleaseFilter) -> BenchResult<usize> {
        Ok(self.backend.review().releases(&self.admin, &filter).await?.rows.len())
    }

    async fn own(&self, filter: ReleaseFilter) -> BenchResult<usize> {
        Ok(self.backend.releases().own(&self.nova, &filter).await?.releases.rows.len())
    }

    async fn queue(&self, search: &str, artist: Option<UserId>, start: PageStart) -> BenchResult<usize> {
        Ok(self.backend.review().queue(&self.admin, search, artist, &start).await?.rows.len())
    }

    async fn artists(&self, search: String, start: PageStart) -> BenchResult<usize> {
        Ok(self.backend.review().artists(&self.admin, &search, &start).await?.rows.len())
    }

    async fn largest(&self) -> BenchResult<usize> {
        Ok(self.backend.releases().view(&self.admin, self.largest).await?.tracks.len())
    }
}

/// The page after the row at this offset.
async fn after<K>(sql: &PgPool, query: &'static str, offset: i64) -> BenchResult<PageStart>
where
    K: SortKey + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let (key, id) = sqlx::query_as::<_, (K, Uuid)>(query).bind(offset).fetch_one(sql).await?;
    Ok(PageStart::After(Place { key, id }.cursor()))
}
