//! Indexes: how they are built beside writers, and that lists and foreign keys have the ones they need.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row};
use testing::{TestDatabase, test_server_url};

use crate::support::{eventually, spawn_app_with};

/// A database from before an index, with a transaction that writes to the index's table and has not ended.
struct Unindexed {
    database: TestDatabase,
    pool: PgPool,
    writer: PgConnection,
}

const INDEX: &str = "idx_releases_title";
const A_RELEASE: &str =
    "insert into releases (id, artist_id, title) select gen_random_uuid(), id, 'Night Bus' from users limit 1";

async fn without_an_index() -> Unindexed {
    use sqlx::Connection;

    let database = TestDatabase::migrated(&test_server_url()).await;
    let pool = PgPool::connect(&database.url()).await.unwrap();
    let before = "drop index idx_releases_title;
                  insert into users (id, email, artist_name, password_hash) values (gen_random_uuid(), 'ana@example.com', 'Ana', '-')";
    sqlx::raw_sql(before).execute(&pool).await.unwrap();
    let mut writer = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("begin").execute(&mut writer).await.unwrap();
    sqlx::raw_sql(A_RELEASE).execute(&mut writer).await.unwrap();
    Unindexed { database, pool, writer }
}

impl Unindexed {
    fn migrate(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_vwaza"))
            .arg("migrate")
            .env("DATABASE_URL", self.database.url())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Waits until a process has begun to build the index and waits for the writer. Returns the id of its connection.
    async fn building(&self) -> i32 {
        let building =
            "select pid from pg_stat_activity where datname = current_database() and wait_event = 'virtualxid'";
        eventually("the index waits for the writer", async || {
            sqlx::query_scalar(building).fetch_optional(&self.pool).await.unwrap()
        })
        .await
    }

    async fn is_valid(&self) -> Option<bool> {
        let is_valid = "select indisvalid from pg_index where indexrelid = to_regclass($1)";
        sqlx::query_scalar(is_valid).bind(INDEX).fetch_optional(&self.pool).await.unwrap()
    }
}

#[tokio::test]
async fn n3_an_index_whose_build_was_killed_is_built_by_the_next_start() {
    let mut unindexed = without_an_index().await;
    let mut migrate = unindexed.migrate();
    let connection = unindexed.building().await;
    // Others write meanwhile.
    sqlx::raw_sql(A_RELEASE).execute(&unindexed.pool).await.unwrap();
    migrate.kill().unwrap();
    migrate.wait().unwrap();
    // The database notices the lost connection only when it has something to send.
    sqlx::query("select pg_terminate_backend($1)").bind(connection).execute(&unindexed.pool).await.unwrap();
    sqlx::raw_sql("commit").execute(&mut unindexed.writer).await.unwrap();
    eventually("the build has ended", async || {
        let is_there = "select exists (select from pg_stat_activity where pid = $1)";
        let is_there: bool = sqlx::query_scalar(is_there).bind(connection).fetch_one(&unindexed.pool).await.unwrap();
        (!is_there).then_some(())
    })
    .await;
    assert_eq!(unindexed.is_valid().await, Some(false));

    let app = spawn_app_with(&[("DATABASE_URL", &unindexed.database.url())]).await;
    assert_eq!(unindexed.is_valid().await, Some(true));
    app.artist("Ben").await.release_in_review().await;
    app.expect_consistent().await;
}

/// A process that waited in a statement for its turn would wait for the build, and the build for that statement.
#[tokio::test]
async fn processes_that_start_at_once_build_an_index_once() {
    let mut unindexed = without_an_index().await;
    let mut processes = vec![unindexed.migrate()];
    let building = unindexed.building().await;
    processes.push(unindexed.migrate());
    eventually("the second process asks for its turn", async || {
        let asks = "select exists (select from pg_stat_activity where datname = current_database() and pid not in ($1, pg_backend_pid())
                                   and state = 'idle' and query like '%try_advisory%' and query not like '%activity%')";
        let asks: bool = sqlx::query_scalar(asks).bind(building).fetch_one(&unindexed.pool).await.unwrap();
        asks.then_some(())
    })
    .await;
    sqlx::raw_sql("commit").execute(&mut unindexed.writer).await.unwrap();
    for mut process in processes {
        let status = eventually("the process ends", async || process.try_wait().unwrap()).await;
        assert!(status.success(), "{status}");
    }
    assert_eq!(unindexed.is_valid().await, Some(true));
}

/// Without an index, each delete of a row reads all rows that might name it.
#[tokio::test]
async fn every_foreign_key_has_an_index() {
    let database = TestDatabase::migrated(&test_server_url()).await;
    let pool = PgPool::connect(&database.url()).await.unwrap();
    // An index of some rows serves only if it has all rows with a value.
    let without = "select format('%s: %s', c.conrelid::regclass, c.conname) from pg_constraint c
                   join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
                   where c.contype = 'f' and not exists (
                       select from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = a.attnum and i.indisvalid
                       and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', a.attname)))";
    let without: Vec<String> = sqlx::query_scalar(without).fetch_all(&pool).await.unwrap();
    assert!(without.is_empty(), "foreign keys without an index: {without:?}");
}

/// The names are those of the document that the product began with (`docs/seed.md`).
#[tokio::test]
async fn the_seeds_indexes_and_constraints_are_there() {
    let database = TestDatabase::migrated(&test_server_url()).await;
    let pool = PgPool::connect(&database.url()).await.unwrap();
    for (index, table, first_column, is_unique) in [
        ("idx_releases_artist_id", "releases", "artist_id", false),
        ("idx_tracks_release_id", "tracks", "release_id", false),
        ("idx_releases_status", "releases", "status", false),
        ("idx_upload_jobs_status", "upload_jobs", "status", false),
        ("idx_users_email", "users", "lower(email)", true),
        ("idx_password_tokens_expires_at", "password_reset_tokens", "expires_at", false),
        ("unique_track_order_per_release", "tracks", "release_id", true),
    ] {
        let found: Option<(String, String, bool)> = sqlx::query_as(
            "select indrelid::regclass::text, pg_get_indexdef(indexrelid, 1, false), indisunique
             from pg_index where indexrelid = to_regclass($1) and indisvalid and indpred is null",
        )
        .bind(index)
        .fetch_optional(&pool)
        .await
        .unwrap();
        assert_eq!(found, Some((table.into(), first_column.into(), is_unique)), "{index}");
    }
}

/// Many rows of everything that lists show. Artist 1 has 5,000 releases.
const MANY_ROWS: &str = "
    create function some_id(kind text, n bigint) returns uuid language sql immutable as
        $$ select (lpad(kind, 8, '0') || '-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
    insert into users (id, email, artist_name, password_hash)
    select some_id('a', n), n || '@example.com', md5(n::text), '-' from generate_series(1, 3000) n;
    insert into releases (id, artist_id, status, title, release_date, submitted_at, reject_reason, updated_at, decided_by)
    select some_id('b', n), some_id('a', case when n <= 5000 then 1 else 1 + n % 3000 end),
           case when n % 8 < 5 then 'PUBLISHED' when n % 8 = 5 then 'PENDING_REVIEW' when n % 8 = 6 then 'DRAFT'
                when n % 80 = 7 then 'PROCESSING' else 'REJECTED' end::release_status,
           md5(n::text), case when n % 5 > 0 then date '2026-01-01' - (n % 3000)::int end,
           timestamptz '2026-01-01' - n * interval '1 minute', 'x', timestamptz '2026-01-01' - (n * 7919 % 40009) * interval '1 minute',
           some_id('a', 2)
    from generate_series(1, 40000::bigint) n;
    insert into tracks (id, release_id, number) select gen_random_uuid(), id, number from releases, generate_series(1, 2) number;
    insert into uploads (id, owner_id, kind, release_id, state, file_name, fingerprint, length_bytes, spool_id, expires_at, received_at)
    select some_id('c', n), some_id('a', 1), 'COVER', some_id('b', n), case when n % 100 = 0 then 'FAILED' else 'ATTACHED' end::upload_state,
           case when n % 3 = 0 then '8' else md5(n::text) end, '', 1, gen_random_uuid(), now(), now()
    from generate_series(1, 40000) n;
    insert into objects (id, key, role, state, upload_id, size_bytes, sha256, content_type, examination)
    select some_id('d', n), n::text, 'COVER', 'ATTACHED', some_id('c', n), 1, '', 'image/png',
           case when n % 50 = 1 then 'FAILED' else 'PASSED' end::examination_state
    from generate_series(1, 40000) n where n % 100 > 0;
    update releases r set cover_id = o.id from objects o join uploads u on u.id = o.upload_id where u.release_id = r.id;
    insert into upload_jobs (id, kind, artist_id, release_id, upload_id, status, updated_at)
    select gen_random_uuid(), 'STORE', some_id('a', case when n <= 5000 then 1 else 1 + n % 3000 end), some_id('b', n), some_id('c', n),
           case when n % 10 = 0 then 'FAILED' when n % 4 = 0 then 'PENDING' else 'COMPLETED' end::job_status,
           timestamptz '2026-01-01' - n * interval '1 minute'
    from generate_series(1, 40000) n;
    update upload_jobs set run_after = updated_at;
    insert into audit_entries (id, at, actor_id, actor_role, action, subject_kind, subject_id, release_id)
    select some_id('e', n), timestamptz '2026-01-01' - n * interval '1 minute', some_id('a', case when n <= 5000 then 1 else 1 + n % 3000 end),
           'ARTIST', (enum_range(null::audit_action))[1 + n % 32], 'RELEASE', some_id('b', n), some_id('b', n)
    from generate_series(1, 40000) n;
    insert into changed_facts (object_id, refusal, found_at)
    select id, 'Damaged.', timestamptz '2026-01-01' - row_number() over () * interval '1 minute' from objects";

/// A value for a parameter, in the middle of the rows. `nth` counts the parameters of its type from 0: the second and the
/// third time are the end and the beginning of a time span.
fn parameter(of_type: &str, nth: usize) -> String {
    let drafts_and_artists = || {
        let some = (1..=24).flat_map(|n| {
            [format!("0000000a-0000-4000-8000-{n:012x}"), format!("0000000b-0000-4000-8000-{:012x}", 8 * n + 6)]
        });
        some.collect::<Vec<_>>().join(",")
    };
    match of_type {
        "release_status[]" => "'{DRAFT,PROCESSING,PENDING_REVIEW,PUBLISHED,REJECTED}'".into(),
        "timestamp with time zone" => format!("'{}'", ["2025-12-30", "2030-01-01", "2000-01-01"][nth]),
        "job_status[]" => "enum_range(null::job_status)".into(),
        "job_kind[]" => "enum_range(null::job_kind)".into(),
        "audit_action[]" => "enum_range(null::audit_action)".into(),
        "date" => "'2022-01-01'".into(),
        "text" => "'8'".into(),
        "integer" => "1000".into(),
        "uuid" => "'0000000a-0000-4000-8000-000000000001'".into(),
        "uuid[]" => format!("'{{{}}}'", drafts_and_artists()),
        other => panic!("a parameter has the type {other}"),
    }
}

/// The number of rows that a plan has read from tables and indexes.
fn rows_read(plan: &Value) -> f64 {
    let number = |name: &str| plan[name].as_f64().unwrap_or_default();
    let is_scan = plan["Relation Name"].is_string();
    let found = number("Actual Rows") + number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
    let below: f64 = plan["Plans"].as_array().into_iter().flatten().map(rows_read).sum();
    below + if is_scan { found * number("Actual Loops") } else { 0.0 }
}

/// Executes a statement, and checks that it reads at most `most` rows.
async fn reads_at_most(db: &mut PgConnection, text: &str, most: f64, parameter: impl Fn(&str, usize) -> String) {
    sqlx::raw_sql(AssertSqlSafe(format!("prepare listed as {text}"))).execute(&mut *db).await.unwrap();
    let types = "select unnest(parameter_types)::text from pg_prepared_statements where name = 'listed'";
    let types: Vec<String> = sqlx::query_scalar(types).fetch_all(&mut *db).await.unwrap();
    let nth = |at: usize| types[..at].iter().filter(|of_type| **of_type == types[at]).count();
    let parameters: Vec<String> = types.iter().enumerate().map(|(at, of_type)| parameter(of_type, nth(at))).collect();
    let execute = match parameters.as_slice() {
        [] => "execute listed".to_owned(),
        parameters => format!("execute listed ({})", parameters.join(", ")),
    };
    // After five executions the database goes over to one plan for all parameters if that looks as good.
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let explain = format!("set plan_cache_mode = {mode}; explain (analyze, format json) {execute}");
        let explained = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(&mut *db).await.unwrap();
        let plan: Value = explained.get(0);
        let read = rows_read(&plan[0]["Plan"]);
        assert!(read <= most, "{mode} reads {read} rows: {text}\n{plan:#}");
    }
    sqlx::raw_sql("deallocate listed").execute(db).await.unwrap();
}

/// The statements of lists: they read a page, count, look for failed files, or find the next release to review.
fn list_statements() -> Vec<String> {
    let prepared = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.sqlx"));
    let texts = std::fs::read_dir(prepared).unwrap().map(|file| {
        let statement: Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        statement["query"].as_str().unwrap().to_owned()
    });
    let is_of_a_list = |text: &String| {
        [" limit 25", " limit 1001", "from failed_files", "order by r.submitted_at, r.id limit 1)"]
            .iter()
            .any(|part| text.contains(part))
    };
    texts.filter(|text| is_of_a_list(text) && !text.contains("ilike")).collect()
}

#[tokio::test]
async fn lists_read_little_more_than_a_page_however_many_rows_there_are() {
    use sqlx::Connection;

    let database = TestDatabase::migrated(&test_server_url()).await;
    let mut db = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql(MANY_ROWS).execute(&mut db).await.unwrap();
    sqlx::raw_sql("vacuum analyze").execute(&mut db).await.unwrap();
    let statements = list_statements();
    // Three sorts, the queue: each of all artists and of one, in both directions. Then artists, dead letters, changed
    // files; the audit trail, also of people; jobs, also of what a search names; and what counts, marks and follows.
    assert!(statements.len() >= 16 + 6 + 5 + 7, "{}", statements.len());
    for text in statements {
        // A counted list reads as many rows of each status as are counted.
        // A page of people's acts looks for each kind of each person, and a plan rounds the rows of each look.
        let most = match (text.contains("limit 1001"), text.contains("as named (id)")) {
            (true, _) => 6000.0,
            (false, true) => 2000.0,
            (false, false) => 1000.0,
        };
        reads_at_most(&mut db, &text, most, parameter).await;
    }
}

/// An admin has approved 20,000 releases, and discarded three jobs long before.
#[tokio::test]
async fn rare_acts_of_a_busy_admin_are_found_without_reading_the_others() {
    use sqlx::Connection;

    const ADMIN: &str = "00000001-0000-4000-8000-000000000000";
    let acts = format!(
        "insert into audit_entries (id, at, actor_id, actor_role, action, subject_kind, subject_id)
         select gen_random_uuid(), now() - make_interval(mins => n), '{ADMIN}', 'ADMIN',
                case when n > 20000 then 'JOB_DISCARDED' else 'RELEASE_APPROVED' end::audit_action,
                case when n > 20000 then 'JOB' else 'RELEASE' end::audit_subject, gen_random_uuid()
         from generate_series(1, 20003) n;
         vacuum analyze audit_entries"
    );
    let database = TestDatabase::migrated(&test_server_url()).await;
    let mut db = PgConnection::connect(&database.url()).await.unwrap();
    for statement in acts.split(';') {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut db).await.unwrap();
    }
    let of_people: Vec<_> = list_statements().into_iter().filter(|text| text.contains("as named (id)")).collect();
    assert_eq!(of_people.len(), 3, "both directions of the page, and its count");
    for text in of_people {
        reads_at_most(&mut db, &text, 20.0, |of_type, nth| match of_type {
            "uuid[]" => format!("'{{{ADMIN}}}'"),
            "audit_action[]" => "'{JOB_DISCARDED}'".into(),
            // All of time, from where the statement begins.
            "timestamp with time zone" => {
                let begins_at_the_end = text.contains(" desc");
                (if begins_at_the_end == (nth == 0) { "'infinity'" } else { "'-infinity'" }).into()
            }
            _ => parameter(of_type, nth),
        })
        .await;
    }
}

/// A function hides its plan from the test above, so this one counts what it reads.
#[tokio::test]
async fn a_search_for_a_file_reads_no_more_names_than_it_looks_through() {
    use sqlx::Connection;

    let database = TestDatabase::migrated(&test_server_url()).await;
    let mut db = PgConnection::connect(&database.url()).await.unwrap();
    let many_files = "
        insert into users (id, email, artist_name, password_hash) values (gen_random_uuid(), 'ana@example.com', 'Ana', '-');
        insert into uploads (id, owner_id, kind, state, file_name, fingerprint, length_bytes, spool_id, expires_at, received_at)
        select gen_random_uuid(), u.id, 'COVER', 'ATTACHED', case when n % 2 = 0 then 'cover.png' else md5(n::text) end, '', 1,
               gen_random_uuid(), now(), now()
        from users u, generate_series(1, 20000) n";
    sqlx::raw_sql(many_files).execute(&mut db).await.unwrap();
    sqlx::raw_sql("vacuum analyze").execute(&mut db).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let mut read_before = 0;
    for (typed, found) in [("Cover.png", 1001), ("c", 1001), ("cover.png.", 0), ("zzz", 0)] {
        let files = "select count(*) from files_named($1, 1001)";
        let files: i64 = sqlx::query_scalar(files).bind(typed).fetch_one(&mut *tx).await.unwrap();
        let read = "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'uploads'";
        let read: i64 = sqlx::query_scalar(read).fetch_one(&mut *tx).await.unwrap();
        assert!(files == found && read - read_before <= 1001, "{typed}: {files} files found, {read} rows read");
        read_before = read;
    }
}
