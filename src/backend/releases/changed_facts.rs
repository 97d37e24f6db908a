//! Records differences that a newer version of the examination finds and may not apply: other facts of published files,
//! and refusals of files that are published or wait for review.

use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    backend::{
        Result,
        paging::{LATEST_FIRST, PageSearch, Side},
    },
    domain::{
        ids::{ObjectId, ReleaseId, UserId},
        media::{AudioFacts, CoverFacts},
        page::{Count, Page, PageStart, Place},
        queue_page::{ChangedFile, ReleaseRef},
    },
};

/// Records the facts that were found, or why the file would be refused. `None` removes an earlier record, and with it
/// its dismissal. A result that is recorded already stays as it is, and stays dismissed; any other one is reported.
pub(in crate::backend) async fn record(
    db: &mut PgConnection,
    object: ObjectId,
    found: Option<std::result::Result<Value, &str>>,
) -> Result<()> {
    let (facts, refusal) = match found {
        None => {
            sqlx::query!("delete from changed_facts where object_id = $1", object as ObjectId).execute(db).await?;
            return Ok(());
        }
        Some(Ok(facts)) => (Some(facts), None),
        Some(Err(refusal)) => (None, Some(refusal)),
    };
    let recorded =
        sqlx::query!("select facts, refusal from changed_facts where object_id = $1 for update", object as ObjectId)
            .fetch_optional(&mut *db)
            .await?;
    if recorded.is_some_and(|held| held.refusal.as_deref() == refusal && are_same(held.facts.as_ref(), facts.as_ref()))
    {
        return Ok(());
    }
    sqlx::query!(
        "insert into changed_facts (object_id, facts, refusal) values ($1, $2, $3)
         on conflict (object_id) do update
         set facts = excluded.facts, refusal = excluded.refusal, found_at = now(), revision = default,
             dismissed_at = null, dismissed_by = null",
        object as ObjectId,
        facts,
        refusal
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether two results are the same but for rounding.
fn are_same(one: Option<&Value>, other: Option<&Value>) -> bool {
    let audio = |facts: Option<&Value>| serde_json::from_value::<AudioFacts>(facts?.clone()).ok();
    match (audio(one), audio(other)) {
        (Some(one), Some(other)) => !one.differs_from(&other),
        _ => one == other,
    }
}

/// Dismisses the result that an admin has read. Returns `false` if the file has another result now, or none, or if the
/// result is dismissed already.
pub(super) async fn dismiss(db: &mut PgConnection, object: ObjectId, revision: i64, by: UserId) -> Result<bool> {
    let dismissed = sqlx::query!(
        "update changed_facts set dismissed_at = now(), dismissed_by = $3
         where object_id = $1 and revision = $2 and not is_dismissed",
        object as ObjectId,
        revision,
        by as UserId
    )
    .execute(db)
    .await?;
    Ok(dismissed.rows_affected() == 1)
}

/// A file and the release that it belongs to.
pub(super) struct FileOfRelease {
    pub(super) name: String,
    pub(super) release: Option<ReleaseId>,
}

pub(super) async fn file_of(db: &mut PgConnection, object: ObjectId) -> Result<FileOfRelease> {
    let file = sqlx::query_as!(
        FileOfRelease,
        r#"select u.file_name as name, u.release_id as "release: ReleaseId"
           from objects o join uploads u on u.id = o.upload_id where o.id = $1"#,
        object as ObjectId
    )
    .fetch_one(db)
    .await?;
    Ok(file)
}

/// Finds the first file of a release that would be refused today. Returns its name and the reason. Such a file only
/// keeps the release from being approved, also after an admin has dismissed the result.
pub(super) async fn refusal_in(db: &mut PgConnection, release: ReleaseId) -> Result<Option<(String, String)>> {
    let refused = sqlx::query!(
        r#"select u.file_name, c.refusal as "refusal!"
           from uploads u join objects o on o.upload_id = u.id join changed_facts c on c.object_id = o.id
           where u.release_id = $1 and o.state = 'ATTACHED' and c.refusal is not null
           order by u.seq limit 1"#,
        release as ReleaseId
    )
    .fetch_optional(db)
    .await?;
    Ok(refused.map(|file| (file.file_name, file.refusal)))
}

/// Lets the files of a release that would be refused be examined again, now that the artist can replace them.
pub(super) async fn examine_refused(db: &mut PgConnection, release: ReleaseId) -> Result<()> {
    sqlx::query!(
        "with refused as (
             delete from changed_facts c using objects o, uploads u
             where o.id = c.object_id and u.id = o.upload_id and u.release_id = $1 and c.refusal is not null
             returning c.object_id)
         update objects set examination_version = 0 where id in (select object_id from refused)",
        release as ReleaseId
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A difference, as the database has it.
struct Difference {
    object: ObjectId,
    revision: i64,
    facts: Option<Value>,
    refusal: Option<String>,
    found_at: OffsetDateTime,
    file_name: String,
    artist_name: String,
    release: ReleaseId,
    title: String,
    title_version: Option<String>,
    /// The facts that stay valid.
    written: Option<Value>,
}

/// The query for the differences on one side of a place that nobody has dismissed.
macro_rules! undismissed {
    ($than:literal, $direction:literal, $place:expr) => {
        sqlx::query_as!(
            Difference,
            r#"select c.object_id as "object: ObjectId", c.revision, c.facts, c.refusal, c.found_at, u.file_name,
                      a.artist_name, r.id as "release: ReleaseId", r.title, r.title_version,
                      coalesce(af.facts, cf.facts) as "written"
               from changed_facts c
               join objects o on o.id = c.object_id
               join uploads u on u.id = o.upload_id
               join releases r on r.id = u.release_id
               join users a on a.id = r.artist_id
               left join audio_facts af on af.object_id = o.id
               left join cover_facts cf on cf.object_id = o.id
               where o.state = 'ATTACHED' and not c.is_dismissed and (c.found_at, c.object_id) "#
                + $than
                + " ($1, $2)
               order by c.found_at "
                + $direction
                + ", c.object_id "
                + $direction
                + " limit 25",
            $place.key,
            $place.id
        )
    };
}

/// Lists the differences that nobody has dismissed, the latest first.
pub(in crate::backend) async fn list(db: &mut PgConnection, start: &PageStart) -> Result<Page<ChangedFile>> {
    let total = sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
               select from changed_facts c join objects o on o.id = c.object_id
               where o.state = 'ATTACHED' and not c.is_dismissed limit 1001) counted"#
    )
    .fetch_one(&mut *db)
    .await?;
    let place_of = |found: &Difference| Place { key: found.found_at, id: found.object.0 };
    let mut search = PageSearch::new(start, LATEST_FIRST, place_of);
    let (found, links) = loop {
        let found = match search.read_at() {
            (place, Side::After) => undismissed!("<", "desc", place).fetch_all(&mut *db).await?,
            (place, Side::Before) => undismissed!(">", "asc", place).fetch_all(&mut *db).await?,
        };
        if let Some(page) = search.take(found) {
            break page;
        }
    };
    let rows = found.into_iter().map(|found| ChangedFile {
        object: found.object,
        revision: found.revision,
        file_name: found.file_name,
        artist_name: found.artist_name,
        release: ReleaseRef { id: found.release, title: found.title, title_version: found.title_version },
        was: found.written.as_ref().map_or_else(String::new, describe),
        is: match (found.facts, found.refusal) {
            (Some(facts), _) => describe(&facts),
            (None, refusal) => refusal.unwrap_or_default(),
        },
        found_at: found.found_at,
    });
    Ok(Page { rows: rows.collect(), links, total: Count::of(total), is_similar: false })
}

/// Describes facts in one line.
fn describe(facts: &Value) -> String {
    if let Ok(facts) = serde_json::from_value::<AudioFacts>(facts.clone()) {
        return facts.full_summary();
    }
    serde_json::from_value::<CoverFacts>(facts.clone()).map_or_else(|_| "unknown".into(), |facts| facts.summary())
}
