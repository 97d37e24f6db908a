//! Records differences that a newer version of the examination finds and may not apply: other facts of published files,
//! and refusals of files that are published or in review.

use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    backend::Result,
    domain::{
        ids::{ObjectId, ReleaseId},
        media::{AudioFacts, CoverFacts},
        queue_page::{ChangedFile, ReleaseRef},
    },
};

/// The largest number of rows that the operations page shows.
const SHOWN_MAX: i64 = 50;

/// Records the facts that were found, or why the file would be refused. `None` removes an earlier record.
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
    sqlx::query!(
        "insert into changed_facts (object_id, facts, refusal) values ($1, $2, $3)
         on conflict (object_id) do update set facts = excluded.facts, refusal = excluded.refusal, found_at = now()",
        object as ObjectId,
        facts,
        refusal
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Finds the first file of a release that would be refused today. Returns its name and the reason. Such a file only
/// keeps the release from being approved.
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

/// Lists the latest differences. Also returns how many there are.
pub(in crate::backend) async fn list(db: &mut PgConnection) -> Result<(Vec<ChangedFile>, i64)> {
    let total = sqlx::query_scalar!(
        r#"select count(*) as "count!" from changed_facts c join objects o on o.id = c.object_id where o.state = 'ATTACHED'"#
    )
    .fetch_one(&mut *db)
    .await?;
    let rows = sqlx::query!(
        r#"select c.object_id as "object: ObjectId", c.facts, c.refusal, c.found_at as "found_at: OffsetDateTime", u.file_name,
                  a.artist_name, r.id as "release: ReleaseId", r.title, r.title_version,
                  coalesce(af.facts, cf.facts) as "written"
           from changed_facts c
           join objects o on o.id = c.object_id
           join uploads u on u.id = o.upload_id
           join releases r on r.id = u.release_id
           join users a on a.id = r.artist_id
           left join audio_facts af on af.object_id = o.id
           left join cover_facts cf on cf.object_id = o.id
           where o.state = 'ATTACHED'
           order by c.found_at desc, c.object_id
           limit $1"#,
        SHOWN_MAX
    )
    .fetch_all(db)
    .await?;
    let files = rows.into_iter().map(|row| ChangedFile {
        object: row.object,
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
    Ok((files.collect(), total))
}

/// Describes facts in one line.
fn describe(facts: &Value) -> String {
    if let Ok(facts) = serde_json::from_value::<AudioFacts>(facts.clone()) {
        return facts.full_summary();
    }
    serde_json::from_value::<CoverFacts>(facts.clone()).map_or_else(|_| "unknown".into(), |facts| facts.summary())
}
