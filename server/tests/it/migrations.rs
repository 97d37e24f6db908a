//! Processes that are killed while they migrate the database, and versions beside each other on one database.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde::Deserialize;
use sqlx::{AssertSqlSafe, Column, Executor, PgPool, SqlSafeStr, Statement, TypeInfo, migrate::Migrator};
use testing::{TestDatabase, test_server_url};

use crate::support::{eventually, spawn_app_with};

/// Migrates a new database until the process waits for the advisory lock 4711, which the test holds. Kills the process
/// there.
///
/// `waits` creates the event trigger `gate`, which decides where the process waits. `look` checks what the process has
/// done and begun.
async fn kill_where_it(waits: &'static str, look: impl AsyncFnOnce(&PgPool)) -> TestDatabase {
    let database = TestDatabase::create(&test_server_url()).await;
    let pool = PgPool::connect(&database.url()).await.unwrap();
    sqlx::raw_sql(waits).execute(&pool).await.unwrap();
    let mut gate = pool.acquire().await.unwrap();
    sqlx::query("select pg_advisory_lock(4711)").execute(&mut *gate).await.unwrap();
    let mut migrate = Command::new(env!("CARGO_BIN_EXE_vwaza"))
        .arg("migrate")
        .env("DATABASE_URL", database.url())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stands_at_the_gate = "select exists (select 1 from pg_stat_activity
                              where datname = current_database() and wait_event = 'advisory' and pid <> pg_backend_pid())";
    eventually("the process stands at the gate", async || {
        let stands: bool = sqlx::query_scalar(stands_at_the_gate).fetch_one(&pool).await.unwrap();
        stands.then_some(())
    })
    .await;
    migrate.kill().unwrap();
    migrate.wait().unwrap();
    look(&pool).await;
    sqlx::query("select pg_advisory_unlock(4711)").execute(&mut *gate).await.unwrap();
    drop(gate);
    sqlx::raw_sql("drop event trigger gate; drop function gate; drop function if exists wait_between cascade")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    database
}

/// Starts a server on the database. It must complete the migrations, and everything must work.
async fn the_next_start_completes_it(database: &TestDatabase) {
    let app = spawn_app_with(&[("DATABASE_URL", &database.url())]).await;
    let ana = app.artist("Ana").await;
    ana.release_in_review().await;
    app.expect_consistent().await;
}

/// The process is killed after the commit of the third migration and before the fourth begins. In between, sqlx records
/// how long the migration took.
#[tokio::test]
async fn n3_a_migration_that_was_killed_is_completed_by_the_next_start() {
    let between = "create function wait_between() returns trigger language plpgsql as $$
                   begin
                       if (select count(*) from _sqlx_migrations) >= 3 then
                           perform pg_advisory_xact_lock_shared(4711);
                       end if;
                       return null;
                   end $$;
                   create function gate() returns event_trigger language plpgsql as $$
                   begin
                       if to_regclass('_sqlx_migrations') is not null
                           and not exists (select 1 from pg_trigger where tgname = 'between') then
                           create trigger between before update on _sqlx_migrations execute function wait_between();
                       end if;
                   end $$;
                   create event trigger gate on ddl_command_end execute function gate();";
    let database = kill_where_it(between, async |pool| {
        let done: i64 = sqlx::query_scalar("select count(*) from _sqlx_migrations").fetch_one(pool).await.unwrap();
        assert_eq!(done, 3);
    })
    .await;
    the_next_start_completes_it(&database).await;
}

/// The process is killed while a statement in the middle of a migration runs. Nothing of that migration is kept.
#[tokio::test]
async fn n3_a_migration_that_was_killed_in_its_middle_is_done_again() {
    let in_the_middle = "create function gate() returns event_trigger language plpgsql as $$
                         begin
                             if to_regclass('upload_jobs') is not null then perform pg_advisory_xact_lock_shared(4711); end if;
                         end $$;
                         create event trigger gate on ddl_command_end execute function gate();";
    let database = kill_where_it(in_the_middle, async |pool| {
        // Other transactions don't see what the migration began.
        let (done, begun): (i64, bool) =
            sqlx::query_as("select count(*), to_regclass('upload_jobs') is not null from _sqlx_migrations")
                .fetch_one(pool)
                .await
                .unwrap();
        assert!(done > 0 && !begun, "{done} {begun}");
    })
    .await;
    the_next_start_completes_it(&database).await;
}

#[tokio::test]
async fn old_users_count_as_verified_and_old_sessions_and_tokens_get_an_end() {
    let database = TestDatabase::create(&test_server_url()).await;
    let pool = PgPool::connect(&database.url()).await.unwrap();
    let all = Migrator::new(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations"))).await.unwrap();
    let before = all.iter().filter(|migration| migration.version <= 18).cloned().collect();
    Migrator { migrations: before, ..Migrator::DEFAULT }.run(&pool).await.unwrap();
    sqlx::raw_sql(
        "insert into users (id, email, artist_name, password_hash) values (gen_random_uuid(), 'ana@example.com', 'Ana', '-');
         insert into sessions (token_hash, user_id, created_at, expires_at)
         select '\\x01'::bytea, id, now() - interval '91 days', now() + interval '20 days' from users
         union all select '\\x02'::bytea, id, now() - interval '80 days', now() + interval '20 days' from users;
         insert into access_tokens (id, user_id, name, token_hash) select gen_random_uuid(), id, 'backup', '\\x03'::bytea from users",
    )
    .execute(&pool)
    .await
    .unwrap();

    let app = spawn_app_with(&[("DATABASE_URL", &database.url()), ("VWAZA_REQUIRE_VERIFIED_EMAIL", "on")]).await;
    let (is_verified, token_days): (bool, f64) = sqlx::query_as(
        "select u.email_verified_at is not null, extract(epoch from t.expires_at - now())::float8 / 86400
         from users u join access_tokens t on t.user_id = u.id",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(is_verified && (89.9..=90.0).contains(&token_days), "{token_days}");
    let young: f64 = sqlx::query_scalar(
        "select extract(epoch from expires_at - now())::float8 / 86400 from sessions where token_hash = '\\x02'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!((9.9..=10.0).contains(&young), "{young}");
    eventually("the old session is gone", async || {
        let old = "select count(*) from sessions where token_hash = '\\x01'";
        let old: i64 = sqlx::query_scalar(old).fetch_one(&pool).await.unwrap();
        (old == 0).then_some(())
    })
    .await;
    drop(app);
}

/// While an upgrade goes from process to process, a newer version has migrated the database already.
#[tokio::test]
async fn a_server_starts_and_serves_on_a_schema_that_a_newer_version_has_migrated() {
    let database = TestDatabase::migrated(&test_server_url()).await;
    let pool = PgPool::connect(&database.url()).await.unwrap();
    sqlx::raw_sql(
        "alter table releases add column added_later text not null default '';
         drop index idx_releases_title;
         insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'later', true, '\\x00', 1)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let mut app = spawn_app_with(&[("DATABASE_URL", &database.url())]).await;
    app.artist("Ana").await.release_in_review().await;
    app.restart().await;
    let admin = app.admin().await;
    assert!(admin.get("/admin/releases").await.expect_status(200).text().contains("Waiting for review"));
    app.expect_consistent().await;
    let is_there: bool =
        sqlx::query_scalar("select to_regclass('idx_releases_title') is not null").fetch_one(&pool).await.unwrap();
    assert!(!is_there, "the older version has rebuilt an index that the newer one dropped");
}

/// A statement as `.sqlx` describes it.
#[derive(Deserialize)]
struct DescribedStatement {
    query: String,
    describe: Description,
}

#[derive(Deserialize)]
struct Description {
    columns: Vec<DescribedColumn>,
}

#[derive(Deserialize)]
struct DescribedColumn {
    name: String,
    /// The name of a type of PostgreSQL's, or a description of one of ours.
    type_info: serde_json::Value,
}

/// Runs git on the history of this repository.
///
/// # Panics
/// When the history doesn't reach back to the last release.
fn git_in_last_release(commit: &str, arguments: &[String]) -> Vec<u8> {
    let git = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(
        git.status.success(),
        "the history of this clone has no commit {commit}, which migrations/last-release names. \
         Fetch all of it: git fetch --unshallow. {}",
        String::from_utf8_lossy(&git.stderr)
    );
    git.stdout
}

/// Processes of the last release go on while a new one has migrated the database. `migrations/last-release` names the
/// commit of the last release, whose `.sqlx` has all its statements.
#[tokio::test]
async fn every_statement_of_the_last_release_works_on_this_schema() {
    let commit = include_str!("../../../migrations/last-release").trim();
    let list = ["ls-tree", "--full-tree", "--name-only", commit, ".sqlx/"].map(str::to_owned);
    let files = String::from_utf8(git_in_last_release(commit, &list)).unwrap();
    let show = ["show".to_owned()].into_iter().chain(files.lines().map(|file| format!("{commit}:{file}")));
    let statements = git_in_last_release(commit, &show.collect::<Vec<_>>());
    let statements: Vec<DescribedStatement> =
        serde_json::Deserializer::from_slice(&statements).into_iter().map(Result::unwrap).collect();
    assert!(statements.len() > 100, "{} statements", statements.len());

    let database = TestDatabase::migrated(&test_server_url()).await;
    let pool = PgPool::connect(&database.url()).await.unwrap();
    let mut broken = Vec::new();
    for DescribedStatement { query, describe } in statements {
        let mut db = pool.acquire().await.unwrap();
        let sql = AssertSqlSafe(query.clone()).into_sql_str();
        match db.prepare(sql).await {
            Err(error) => broken.push(format!("{error}: {query}")),
            Ok(prepared) => {
                let columns = prepared.columns().iter().map(|column| (column.name(), column.type_info().name()));
                // A type of ours has another description, so its name is not compared.
                let differs = |((name, type_name), was): ((&str, &str), &DescribedColumn)| {
                    name != was.name
                        || was
                            .type_info
                            .as_str()
                            .is_some_and(|was| !was.replace("Array", "[]").eq_ignore_ascii_case(type_name))
                };
                if prepared.columns().len() != describe.columns.len() || columns.zip(&describe.columns).any(differs) {
                    broken.push(format!("it has other columns now: {query}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
}
