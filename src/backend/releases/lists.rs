//! Lists of releases: filtered, sorted, counted and paged by the database.

use std::collections::HashMap;

use sqlx::PgPool;
use time::{Date, OffsetDateTime};
use tokio::try_join;
use uuid::Uuid;

use super::{
    Releases,
    search::{self, SearchOrder},
    view,
};
use crate::{
    backend::{
        Result,
        paging::{LATEST_FIRST, PageSearch, Side},
    },
    domain::{
        account::Actor,
        ids::{ObjectId, ReleaseId, UserId},
        page::{Count, Page, PageLinks, PageStart, Place},
        release::{Missing, ReleaseCounts, ReleaseFilter, ReleaseSort, ReleaseStatus, ReleaseSummary},
        search::Search,
    },
};

const CONTINUE_MAX: usize = 6;

/// The beginning of a list that is sorted by release date, the latest first.
const LATEST_DATE_FIRST: Place<Option<Date>> = Place { key: Some(Date::MAX), id: Uuid::max() };

/// The lists of an artist's home page.
pub struct OwnReleases {
    /// Drafts and rejected releases, the latest change first, whatever the status of the filter. None while the artist
    /// searches.
    pub to_continue: Vec<ReleaseSummary>,
    pub releases: Page<ReleaseSummary>,
    pub counts: ReleaseCounts,
}

impl Releases<'_> {
    /// The actor's own releases.
    pub async fn own(&self, actor: &Actor, filter: &ReleaseFilter) -> Result<OwnReleases> {
        let db = &self.0.db;
        let filter = ReleaseFilter { artist: Some(actor.id), ..filter.clone() };
        let artists = [actor.id];
        let (mut to_continue, mut listed, counts) =
            try_join!(to_continue(db, &filter), read(db, &filter), counts_of(db, &artists))?;
        mark_failed(db, to_continue.iter_mut().chain(&mut listed.rows)).await?;
        let counts = counts.get(&actor.id).copied().unwrap_or_default();
        let total = listed.matches.unwrap_or_else(|| match filter.status {
            None => counts.all(),
            Some(status) => counts.of(status),
        });
        Ok(OwnReleases { to_continue, releases: listed.into_page(total), counts })
    }
}

impl Releases<'_> {
    /// Finds the checklist item to fix first for each of the actor's own drafts in `releases`. Complete drafts have no
    /// item, and neither have drafts that were deleted meanwhile.
    pub async fn first_missing(
        &self,
        actor: &Actor,
        releases: &[ReleaseSummary],
    ) -> Result<HashMap<ReleaseId, Missing>> {
        let drafts: Vec<ReleaseId> = releases
            .iter()
            .filter(|release| release.status == ReleaseStatus::Draft)
            .map(|release| release.id)
            .collect();
        if drafts.is_empty() {
            return Ok(HashMap::new());
        }
        // A file that arrives between the statements may be missing here. Its event loads the page again.
        let mut db = self.0.db.acquire().await?;
        let drafts = view::load_without_timelines(&mut db, &drafts).await?;
        let own = drafts.iter().filter(|release| release.artist_id == actor.id);
        Ok(own.filter_map(|release| Some((release.id, release.first_missing()?))).collect())
    }
}

/// The releases of a list: those with one of these statuses, of one artist or of all.
struct Scope {
    statuses: Vec<ReleaseStatus>,
    artist: Option<UserId>,
}

/// The rows of a page. A search knows its number of matches, too.
struct Listed {
    rows: Vec<ReleaseSummary>,
    links: PageLinks,
    matches: Option<Count>,
    is_similar: bool,
}

impl Listed {
    fn of((rows, links): (Vec<ReleaseSummary>, PageLinks)) -> Self {
        Self { rows, links, matches: None, is_similar: false }
    }

    fn into_page(self, total: Count) -> Page<ReleaseSummary> {
        Page { rows: self.rows, links: self.links, total, is_similar: self.is_similar }
    }
}

async fn to_continue(db: &PgPool, filter: &ReleaseFilter) -> Result<Vec<ReleaseSummary>> {
    if search::parse(&filter.search)?.is_some() {
        return Ok(Vec::new());
    }
    let scope = Scope { statuses: vec![ReleaseStatus::Draft, ReleaseStatus::Rejected], artist: filter.artist };
    let mut rows = read_sorted(db, &scope, ReleaseSort::Changed, &PageStart::First).await?.rows;
    rows.truncate(CONTINUE_MAX);
    Ok(rows)
}

/// Lists the releases of all artists, or of one, as the filter says.
pub(super) async fn list(db: &PgPool, filter: &ReleaseFilter) -> Result<Page<ReleaseSummary>> {
    let mut listed = read(db, filter).await?;
    mark_failed(db, &mut listed.rows).await?;
    let total = match listed.matches {
        None => count(db, &Scope::of(filter.status, filter.artist)).await?,
        Some(matches) => matches,
    };
    Ok(listed.into_page(total))
}

/// Lists the releases that wait for a verdict, the longest wait first.
pub(super) async fn review_queue(
    db: &PgPool,
    text: &str,
    artist: Option<UserId>,
    start: &PageStart,
) -> Result<Page<ReleaseSummary>> {
    let scope = Scope::of(Some(ReleaseStatus::PendingReview), artist);
    let listed = match search::parse(text)? {
        None => read_waiting(db, &scope, start).await?,
        Some(search) => find(db, &scope, &search, SearchOrder::Waiting, start).await?,
    };
    let total = match listed.matches {
        None => count(db, &scope).await?,
        Some(matches) => matches,
    };
    Ok(listed.into_page(total))
}

async fn read(db: &PgPool, filter: &ReleaseFilter) -> Result<Listed> {
    let scope = Scope::of(filter.status, filter.artist);
    let Some(search) = search::parse(&filter.search)? else {
        return read_sorted(db, &scope, filter.sort, &filter.start).await;
    };
    let order = match filter.sort {
        ReleaseSort::Changed => SearchOrder::Changed,
        ReleaseSort::Title => SearchOrder::Title,
        ReleaseSort::ReleaseDate => SearchOrder::ReleaseDate,
    };
    find(db, &scope, &search, order, &filter.start).await
}

impl Scope {
    fn of(status: Option<ReleaseStatus>, artist: Option<UserId>) -> Self {
        Self { statuses: status.map_or_else(|| ReleaseStatus::ALL.to_vec(), |status| vec![status]), artist }
    }
}

/// The query for releases from a table `r`, which the rest of the statement names.
macro_rules! summaries {
    ($from:literal $(+ $more:literal)*, $($bind:expr),+) => {
        sqlx::query_as!(
            ReleaseSummary,
            r#"select r.id as "id: ReleaseId", r.title, r.title_version, r.status as "status: ReleaseStatus",
                      r.artist_id as "artist_id: UserId",
                      (select u.artist_name from users u where u.id = r.artist_id) as "artist_name!",
                      (select o.id from objects o where o.id = r.cover_id and o.examination = 'PASSED') as "cover: ObjectId",
                      (select count(*) from tracks t where t.release_id = r.id) as "track_count!",
                      r.release_date, r.updated_at, r.submitted_at, r.status = 'REJECTED' as "needs_attention!"
               from "# + $from $(+ $more)*,
            $($bind),+
        )
    };
}

/// The query for the rows on one side of a place. An index has the rows with each status in their order, and they are
/// merged. `$key` is the sort key of a row, and `$at` that of the place.
macro_rules! summaries_beside {
    ($where:literal, $key:literal, $than:literal, $at:literal, $direction:literal, $statuses:expr, $($bind:expr),+) => {
        summaries!(
            "unnest($1::release_status[]) as scope (status)
             cross join lateral (select r.* from releases r
                                 where r.status = scope.status and (" + $key + ", r.id) " + $than + " (" + $at + ", $3) " + $where + "
                                 order by " + $key + " " + $direction + ", r.id " + $direction + " limit 25) r
             order by " + $key + " " + $direction + ", r.id " + $direction + " limit 25",
            $statuses as &[ReleaseStatus],
            $($bind),+
        )
    };
}

/// Reads a page. `$ascending` is the side on which keys grow. Each shape of a list is a statement of its own, because the
/// database makes one plan for each statement, and a plan for several shapes can't use the index of each.
macro_rules! read_page {
    ($db:expr, $scope:expr, $search:expr, $ascending:pat, $key:literal, $at:literal, [$of_all:literal, $of_artist:literal]) => {{
        let (mut search, statuses) = ($search, &$scope.statuses);
        loop {
            let (Place { key, id }, side) = search.read_at();
            let is_ascending = matches!(side, $ascending);
            let rows = match ($scope.artist, is_ascending) {
                (None, true) => {
                    summaries_beside!($of_all, $key, ">", $at, "asc", statuses, key, id).fetch_all($db).await?
                }
                (None, false) => {
                    summaries_beside!($of_all, $key, "<", $at, "desc", statuses, key, id).fetch_all($db).await?
                }
                (Some(artist), true) => {
                    summaries_beside!($of_artist, $key, ">", $at, "asc", statuses, key, id, artist as UserId)
                        .fetch_all($db)
                        .await?
                }
                (Some(artist), false) => {
                    summaries_beside!($of_artist, $key, "<", $at, "desc", statuses, key, id, artist as UserId)
                        .fetch_all($db)
                        .await?
                }
            };
            if let Some(page) = search.take(rows) {
                break page;
            }
        }
    }};
}

async fn read_sorted(db: &PgPool, scope: &Scope, sort: ReleaseSort, start: &PageStart) -> Result<Listed> {
    Ok(Listed::of(match sort {
        ReleaseSort::Changed => {
            let search = PageSearch::new(start, LATEST_FIRST, by_change);
            read_page!(db, scope, search, Side::Before, "r.updated_at", "$2", ["", "and r.artist_id = $4"])
        }
        ReleaseSort::Title => {
            let place_of = |row: &ReleaseSummary| Place { key: row.title.clone(), id: row.id.0 };
            let search = PageSearch::new(start, Place { key: String::new(), id: Uuid::nil() }, place_of);
            read_page!(
                db,
                scope,
                search,
                Side::After,
                "sort_text(r.title)",
                "sort_text($2)",
                ["", "and r.artist_id = $4"]
            )
        }
        // Releases without a date are last.
        ReleaseSort::ReleaseDate => {
            let place_of = |row: &ReleaseSummary| Place { key: row.release_date, id: row.id.0 };
            let search = PageSearch::new(start, LATEST_DATE_FIRST, place_of);
            read_page!(
                db,
                scope,
                search,
                Side::Before,
                "coalesce(r.release_date, '-infinity'::date)",
                "coalesce($2, '-infinity'::date)",
                ["", "and r.artist_id = $4"]
            )
        }
    }))
}

/// Reads releases that wait for a verdict. The status is spelled out for the index of an artist's waiting releases.
async fn read_waiting(db: &PgPool, scope: &Scope, start: &PageStart) -> Result<Listed> {
    let place_of = |row: &ReleaseSummary| Place { key: row.submitted_at.unwrap_or(row.updated_at), id: row.id.0 };
    let search = PageSearch::new(start, Place { key: OffsetDateTime::UNIX_EPOCH, id: Uuid::nil() }, place_of);
    Ok(Listed::of(read_page!(
        db,
        scope,
        search,
        Side::After,
        "r.submitted_at",
        "$2",
        ["and r.status = 'PENDING_REVIEW'", "and r.status = 'PENDING_REVIEW' and r.artist_id = $4"]
    )))
}

/// Finds releases, and reads those of a page.
async fn find(db: &PgPool, scope: &Scope, search: &Search, order: SearchOrder, start: &PageStart) -> Result<Listed> {
    let found = search::find_releases(db, search, &scope.statuses, scope.artist, order).await?;
    let (ids, links) = found.page(start);
    let rows = summaries!(
        "unnest($1::uuid[]) with ordinality as found (id, place) join releases r on r.id = found.id order by found.place",
        ids as &[ReleaseId]
    )
    .fetch_all(db)
    .await?;
    Ok(Listed { rows, links, matches: Some(found.count()), is_similar: found.is_similar })
}

fn by_change(row: &ReleaseSummary) -> Place<OffsetDateTime> {
    Place { key: row.updated_at, id: row.id.0 }
}

/// Marks the releases with a file that failed. Only a draft has one, or a release on its way back to a draft.
async fn mark_failed(db: &PgPool, releases: impl IntoIterator<Item = &mut ReleaseSummary>) -> Result<()> {
    let may_fail = |status| matches!(status, ReleaseStatus::Draft | ReleaseStatus::Processing);
    let drafts: Vec<_> = releases.into_iter().filter(|release| may_fail(release.status)).collect();
    if drafts.is_empty() {
        return Ok(());
    }
    let ids: Vec<ReleaseId> = drafts.iter().map(|release| release.id).collect();
    let failed = sqlx::query_scalar!(
        r#"select distinct release_id as "release!: ReleaseId" from failed_files where release_id = any ($1)"#,
        &ids as &[ReleaseId]
    )
    .fetch_all(db)
    .await?;
    for draft in drafts {
        draft.needs_attention = failed.contains(&draft.id);
    }
    Ok(())
}

async fn count(db: &PgPool, scope: &Scope) -> Result<Count> {
    if let Some(artist) = scope.artist {
        let counts = counts_of(db, &[artist]).await?.remove(&artist).unwrap_or_default();
        return Ok(scope.statuses.iter().map(|status| counts.of(*status)).sum());
    }
    let rows = sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
               select from unnest($1::release_status[]) as scope (status)
               cross join lateral (select from releases r where r.status = scope.status limit 1001) counted
               limit 1001) counted"#,
        &scope.statuses as &[ReleaseStatus]
    )
    .fetch_one(db)
    .await?;
    Ok(Count::of(rows))
}

/// Counts the releases of artists by status.
pub(super) async fn counts_of(db: &PgPool, artists: &[UserId]) -> Result<HashMap<UserId, ReleaseCounts>> {
    let counted = sqlx::query!(
        r#"select artist.id as "artist!: UserId", of_status.status as "status!: ReleaseStatus",
                  (select count(*) from (select from releases r
                                         where r.artist_id = artist.id and r.status = of_status.status limit 1001) counted) as "count!"
           from unnest($1::uuid[]) as artist (id) cross join unnest(enum_range(null::release_status)) as of_status (status)"#,
        artists as &[UserId]
    )
    .fetch_all(db)
    .await?;
    let mut counts: HashMap<UserId, ReleaseCounts> = HashMap::new();
    for row in counted {
        counts.entry(row.artist).or_default().set(row.status, Count::of(row.count));
    }
    Ok(counts)
}
