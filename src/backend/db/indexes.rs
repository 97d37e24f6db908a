//! Builds the indexes of `migrations/indexes.sql`, while others read and write their tables.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::backend::Result;

const INDEXES: &str = include_str!("../../../migrations/indexes.sql");

/// Builds missing indexes and drops those that were replaced. The next start completes a run that was killed.
///
/// Each statement is executed on its own. Several in one message would be one transaction, which can't build
/// concurrently.
pub(super) async fn build(db: &mut PgConnection) -> Result<()> {
    for statement in INDEXES.split_terminator(";\n") {
        if let Some(index) = word_after("create index concurrently ", statement) {
            match is_valid(db, index).await? {
                Some(true) => continue,
                // A build that was killed leaves an index that no query uses.
                Some(false) => drop_index(db, index).await?,
                None => {}
            }
            tracing::info!(index, "building an index");
        } else if let Some(index) = word_after("drop index concurrently if exists ", statement)
            && is_valid(db, index).await?.is_none()
        {
            continue;
        }
        sqlx::raw_sql(statement).execute(&mut *db).await?;
    }
    Ok(())
}

fn word_after<'a>(words: &str, statement: &'a str) -> Option<&'a str> {
    statement.split_once(words)?.1.split_whitespace().next()
}

/// Whether an index is complete. `None` if there is no such index.
async fn is_valid(db: &mut PgConnection, index: &str) -> Result<Option<bool>> {
    let is_valid = sqlx::query_scalar!("select indisvalid from pg_index where indexrelid = to_regclass($1)", index);
    Ok(is_valid.fetch_optional(db).await?)
}

async fn drop_index(db: &mut PgConnection, index: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(format!("drop index concurrently {index}"))).execute(db).await?;
    Ok(())
}
