//! The rows of a database, as `COPY` writes and reads them.

use std::{collections::BTreeMap, path::Path};

use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::{fs::File, io::AsyncReadExt};

use super::{
    manifest::{Piece, SavedTable},
    target::write_and_hash,
};
use crate::backend::{Error, Result};

/// Tables whose rows are in no backup, each with the reason. All other tables are backed up.
pub(super) const NOT_BACKED_UP: [(&str, &str); 17] = [
    ("_sqlx_migrations", "the manifest names the schema's version"),
    ("backup_pins", "belongs to backups that are being made"),
    ("last_backup", "says what was saved, and not what is restored"),
    ("integrity_checks", "says what one storage held at some time"),
    ("spools", "says which processes run"),
    ("storage_folder", "names one folder; the next storage is another one"),
    ("sessions", "ends with a restore"),
    ("access_tokens", "ends with a restore"),
    ("password_reset_tokens", "ends with a restore"),
    ("email_verification_tokens", "ends with a restore"),
    ("sign_in_challenges", "ends with a restore"),
    ("known_browsers", "ends with a restore"),
    ("flashes", "is shown once, within minutes"),
    ("release_search", "is made anew by the keeper of the search"),
    ("user_search", "is made anew by the keeper of the search"),
    ("search_words", "is made anew by the keeper of the search"),
    ("search_stale", "is noted anew by triggers while rows are restored"),
];

/// Tables that a server fills even if nobody uses it.
const FIGURES: [&str; 3] = ["circuit_changes", "operation_buckets", "upload_outcomes"];

/// The number of bytes of a table that are sent to the database at once.
const SEND_BYTES: usize = 256 * 1024;

/// A table and its columns, but for those that the database computes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    columns: Vec<String>,
}

impl Table {
    fn has_figures(&self) -> bool {
        FIGURES.contains(&self.name.as_str())
    }

    pub(super) fn saved(self, rows: Piece) -> SavedTable {
        SavedTable { name: self.name, columns: self.columns, rows }
    }
}

/// Lists the tables that are backed up.
pub(super) async fn list(db: &mut PgConnection) -> Result<Vec<Table>> {
    let left_out = NOT_BACKED_UP.map(|(name, _)| name.to_owned());
    let tables = sqlx::query_as!(
        Table,
        r#"select c.relname::text as "name!", array_agg(a.attname::text order by a.attnum) as "columns!"
           from pg_class c
           join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
           where c.relnamespace = current_schema()::text::regnamespace and c.relkind = 'r' and c.relname <> all ($1)
           group by c.relname order by c.relname"#,
        &left_out
    )
    .fetch_all(db)
    .await?;
    Ok(tables)
}

/// Begins a snapshot in which no migration changes the tables: all its queries see the same state.
///
/// # Errors
/// If the database has not the schema of this program, or gets it at this moment.
pub(super) async fn begin_snapshot(db: &mut PgConnection, version: i64) -> Result<Vec<Table>> {
    let tables = list(db).await?;
    let names: Vec<_> = tables.iter().map(|table| quoted(&table.name)).collect();
    sqlx::raw_sql("begin isolation level repeatable read read only").execute(&mut *db).await?;
    // The locks come before the snapshot. A migration that rewrites a table would empty it for earlier snapshots.
    let lock = format!("lock table {} in access share mode", names.join(", "));
    if !names.is_empty() {
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *db).await?;
    }
    if !tables.is_empty() && list(db).await? == tables && schema_version(db).await? == Some(version) {
        return Ok(tables);
    }
    Err(Error::Corrupt(
        "the database's schema is not the one of this program: start the server, or run `vwaza migrate`, and make the backup again"
            .into(),
    ))
}

pub(super) async fn schema_version(db: &mut PgConnection) -> Result<Option<i64>> {
    Ok(sqlx::query_scalar!("select max(version) from _sqlx_migrations where success").fetch_one(db).await?)
}

/// Writes the rows of a table to a file.
pub(super) async fn copy_out(db: &mut PgConnection, table: &Table, path: &Path) -> Result<Piece> {
    let statement = format!("copy {} ({}) to stdout", quoted(&table.name), column_list(&table.columns));
    let rows = db.copy_out_raw(&statement).await?;
    write_and_hash(rows.map_err(Error::from), path).await
}

/// Inserts the rows of a file into a table.
pub(super) async fn copy_in(db: &mut PgConnection, table: &SavedTable, path: &Path) -> Result<()> {
    let statement = format!("copy {} ({}) from stdin", quoted(&table.name), column_list(&table.columns));
    let (mut file, mut buffer) = (File::open(path).await?, vec![0; SEND_BYTES]);
    let mut rows = db.copy_in_raw(&statement).await?;
    loop {
        match file.read(&mut buffer).await? {
            0 => break,
            read => rows.send(&buffer[..read]).await?,
        };
    }
    rows.finish().await?;
    Ok(())
}

/// The last value of each sequence that has given one. A later value than the snapshot's does no harm.
pub(super) async fn sequences(db: &mut PgConnection) -> Result<BTreeMap<String, i64>> {
    let rows = sqlx::query!(
        r#"select sequencename::text as "name!", last_value as "last_value!"
           from pg_sequences where schemaname = current_schema() and last_value is not null"#
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.name, row.last_value)).collect())
}

/// Sets the sequences of the schema. Those that a later schema lacks are left out.
pub(super) async fn set_sequences(db: &mut PgConnection, sequences: &BTreeMap<String, i64>) -> Result<()> {
    for (name, last_value) in sequences {
        let set = sqlx::query!("select setval(to_regclass($1), $2)", quoted(name), last_value);
        set.fetch_one(&mut *db).await?;
    }
    Ok(())
}

/// A foreign key: its table, its name and its definition.
pub(super) struct ForeignKey {
    table: String,
    name: String,
    definition: String,
}

/// Drops all foreign keys, because tables refer to each other in circles. [`add_foreign_keys`] checks all rows at once.
pub(super) async fn drop_foreign_keys(db: &mut PgConnection) -> Result<Vec<ForeignKey>> {
    let keys = sqlx::query_as!(
        ForeignKey,
        r#"select conrelid::regclass::text as "table!", conname::text as "name!", pg_get_constraintdef(oid) as "definition!"
           from pg_constraint where contype = 'f' and connamespace = current_schema()::text::regnamespace"#
    )
    .fetch_all(&mut *db)
    .await?;
    for ForeignKey { table, name, .. } in &keys {
        let statement = format!("alter table {table} drop constraint {}", quoted(name));
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *db).await?;
    }
    Ok(keys)
}

pub(super) async fn add_foreign_keys(db: &mut PgConnection, keys: &[ForeignKey]) -> Result<()> {
    for ForeignKey { table, name, definition } in keys {
        let statement = format!("alter table {table} add constraint {} {definition}", quoted(name));
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *db).await?;
    }
    Ok(())
}

/// Lets nobody else write to the tables until the transaction ends.
pub(super) async fn lock_against_writes(db: &mut PgConnection) -> Result<()> {
    let names: Vec<_> = list(db).await?.iter().map(|table| quoted(&table.name)).collect();
    let lock = format!("lock table {} in share row exclusive mode", names.join(", "));
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(db).await?;
    Ok(())
}

/// Whether the tables that are backed up have no rows, or do not exist yet. Figures do not count: a server writes them
/// as soon as it runs, and [`forget_figures`] removes them.
pub(super) async fn are_empty(db: &mut PgConnection) -> Result<bool> {
    for table in list(db).await?.iter().filter(|table| !table.has_figures()) {
        let statement = format!("select exists (select 1 from {})", quoted(&table.name));
        let has_rows: bool = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut *db).await?;
        if has_rows {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes the figures of a server that ran before the restore.
pub(super) async fn forget_figures(db: &mut PgConnection) -> Result<()> {
    for table in list(db).await?.iter().filter(|table| table.has_figures()) {
        sqlx::raw_sql(AssertSqlSafe(format!("delete from {}", quoted(&table.name)))).execute(&mut *db).await?;
    }
    Ok(())
}

fn column_list(columns: &[String]) -> String {
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, PgConnection};
    use testing::{TestDatabase, test_server_url};

    use super::*;

    const BACKED_UP: [&str; 18] = [
        "audio_facts",
        "audit_entries",
        "changed_facts",
        "circuit_changes",
        "cover_facts",
        "mail_jobs",
        "objects",
        "operation_buckets",
        "recovery_codes",
        "release_events",
        "releases",
        "security_events",
        "tracks",
        "two_factors",
        "upload_jobs",
        "upload_outcomes",
        "uploads",
        "users",
    ];

    /// A new table is backed up unless it is on the list of exceptions. Whoever adds one decides.
    #[tokio::test]
    async fn every_table_is_backed_up_or_has_a_reason_not_to_be() {
        let database = TestDatabase::migrated(&test_server_url()).await;
        let mut db = PgConnection::connect(&database.url()).await.unwrap();
        let listed: Vec<_> = list(&mut db).await.unwrap().into_iter().map(|table| table.name).collect();
        assert_eq!(listed, BACKED_UP, "is the new table to be backed up? Then add it here, otherwise to NOT_BACKED_UP");
        for (name, _) in NOT_BACKED_UP {
            let is_there: bool =
                sqlx::query_scalar("select to_regclass($1) is not null").bind(name).fetch_one(&mut db).await.unwrap();
            assert!(is_there, "{name} is a table");
        }
    }
}
