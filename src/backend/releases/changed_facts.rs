//! Records differences that a newer version of the examination finds and may not apply: other facts of published files,
//! and refusals of files that are published or wait for review.

use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::lists::{offset_of, page_of};
use crate::{
    backend::Result,
    domain::{
        ids::{ObjectId, ReleaseId, UserId},
        media::{AudioFacts, CoverFacts},
        queue_page::{ChangedFile, ReleaseRef},
        release::{PAGE_SIZE, Page},
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

/// Lists the differences that nobody has dismissed, the latest first.
pub(in crate::backend) async fn list(db: &mut PgConnection, page: u32) -> Result<Page<ChangedFile>> {
    let total = sqlx::query_scalar!(
        r#"select count(*) as "count!" from changed_facts c join objects o on o.id = c.object_id
           where o.state = 'ATTACHED' and not c.is_dismissed"#
    )
    .fetch_one(&mut *db)
    .await?;
    let page = page_of(page, total);
    let rows = sqlx::query!(
        r#"select c.object_id as "object: ObjectId", c.revision, c.facts, c.refusal, c.found_at as "found_at: OffsetDateTime", u.file_name,
                  a.artist_name, r.id as "release: ReleaseId", r.title, r.title_version,
                  coalesce(af.facts, cf.facts) as "written"
           from changed_facts c
           join objects o on o.id = c.object_id
           join uploads u on u.id = o.upload_id
           join releases r on r.id = u.release_id
           join users a on a.id = r.artist_id
           left join audio_facts af on af.object_id = o.id
           left join cover_facts cf on cf.object_id = o.id
           where o.state = 'ATTACHED' and not c.is_dismissed
           order by c.found_at desc, c.object_id
           limit $1 offset $2"#,
        PAGE_SIZE,
        offset_of(page)
    )
    .fetch_all(db)
    .await?;
    let files = rows.into_iter().map(|row| ChangedFile {
        object: row.object,
        revision: row.revision,
        file_name: row.file_name,
        artist_name: row.artist_name,
        release: ReleaseRef { id: row.release, title: row.title, title_version: row.title_version },
        was: row.written.as_ref().map_or_else(String::new, describe),
        is: match (row.facts, row.refusal) {
            (Some(facts), _) => describe(&facts),
            (None, refusal) => refusal.unwrap_or_default(),
        },
        found_at: row.found_at,
    });
    Ok(Page::new(files.collect(), page, total))
}

/// Describes facts in one line.
fn describe(facts: &Value) -> String {
    if let Ok(facts) = serde_json::from_value::<AudioFacts>(facts.clone()) {
        return facts.full_summary();
    }
    serde_json::from_value::<CoverFacts>(facts.clone()).map_or_else(|_| "unknown".into(), |facts| facts.summary())
}
