//! Helpers that the tests of all crates, the benchmark and the demo share. Nothing here is part of the product.

pub mod fixtures;
mod gate;
mod other_process;
mod proxy;
mod redis_server;
mod reserved_port;
#[cfg(feature = "servers")]
pub mod s3_server;
#[cfg(feature = "servers")]
pub mod smtp_server;
#[cfg(feature = "servers")]
pub mod supabase_server;
mod wait;

use std::{
    env,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    process::Command,
    thread,
};

pub use gate::{Gate, PausedServer};
pub use other_process::OtherProcess;
pub use proxy::Proxy;
pub use redis_server::RedisServer;
pub use reserved_port::ReservedPort;
use sqlx::{Connection, PgConnection, migrate::Migrator};
use tokio::runtime::Builder;
use uuid::Uuid;
pub use wait::{assert_in_time, ends, eventually, eventually_or_none, is_soak};

/// The address of the PostgreSQL server for tests: `TEST_DATABASE_URL`, or the address that `./dev env` prints if
/// `./dev test` didn't start the tests.
///
/// # Panics
/// When neither gives an address.
pub fn test_server_url() -> String {
    env::var("TEST_DATABASE_URL").unwrap_or_else(|_| {
        let output =
            Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../dev")).arg("env").output().expect("./dev runs");
        let exports = String::from_utf8(output.stdout).expect("./dev env prints text");
        exports
            .lines()
            .find_map(|line| line.strip_prefix("export TEST_DATABASE_URL="))
            .expect("./dev env names the test database")
            .to_owned()
    })
}

/// A database for one test. Dropping the value drops the database.
pub struct TestDatabase {
    server_url: String,
    name: String,
}

impl TestDatabase {
    /// Makes an empty database on the server at `server_url` (a superuser's address of any database there).
    ///
    /// # Panics
    /// When the server doesn't answer.
    pub async fn create(server_url: &str) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        execute(server_url, format!("create database {name}")).await.expect("the test server makes a database");
        Self { server_url: server_url.to_owned(), name }
    }

    /// Makes a database with the product's schema, as a copy of a template that was migrated once. Migrating a database
    /// for each test would take a third of the time of all tests.
    ///
    /// # Panics
    /// When the server doesn't answer, or a migration fails.
    pub async fn migrated(server_url: &str) -> Self {
        let template = migrated_template(server_url).await;
        let name = format!("test_{}", Uuid::now_v7().simple());
        let made = execute(server_url, format!("create database {name} template {template}")).await;
        made.expect("the test server makes a database");
        Self { server_url: server_url.to_owned(), name }
    }

    /// Makes a backup: another database with the current content of this one. Ends all connections to this database.
    ///
    /// # Panics
    /// When the server doesn't answer.
    pub async fn backup(&self) -> Self {
        let backup = Self { server_url: self.server_url.clone(), name: format!("test_{}", Uuid::now_v7().simple()) };
        backup.copy_from(self).await;
        backup
    }

    /// Replaces this database by a backup. Ends all connections to both.
    ///
    /// # Panics
    /// When the server doesn't answer.
    pub async fn restore(&self, backup: &Self) {
        let dropped = execute(&self.server_url, format!("drop database {} with (force)", self.name)).await;
        dropped.expect("the test server drops a database");
        self.copy_from(backup).await;
    }

    async fn copy_from(&self, source: &Self) {
        let thrown_out =
            format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}'", source.name);
        execute(&self.server_url, thrown_out).await.expect("the test server ends connections");
        let copied = execute(&self.server_url, format!("create database {} template {}", self.name, source.name)).await;
        copied.expect("the test server copies a database");
    }

    /// # Panics
    /// When the server's address doesn't end in a database's name.
    pub fn url(&self) -> String {
        url_of(&self.server_url, &self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (url, statement) = (self.server_url.clone(), format!("drop database if exists {} with (force)", self.name));
        // A test's runtime can't wait for itself here, and a failing test drops this value too. So a thread with a
        // runtime of its own does the work.
        let dropped = thread::spawn(move || {
            Builder::new_current_thread().enable_all().build()?.block_on(execute(&url, statement))
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("the database {} is left behind", self.name);
        }
    }
}

fn url_of(server_url: &str, name: &str) -> String {
    let (server, _) = server_url.rsplit_once('/').expect("a database's address ends in its name");
    format!("{server}/{name}")
}

/// The indexes that the product builds after its migrations.
const INDEXES: &str = include_str!("../../migrations/indexes.sql");

/// The name of a template database with the schema of the current migrations. The first test that needs it makes it,
/// and others wait.
async fn migrated_template(server_url: &str) -> String {
    const LOCK: i64 = 0x7465_6d70_6c61_7465;
    let migrations = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations"));
    let migrations = Migrator::new(migrations).await.expect("the migrations are read");
    let mut hasher = DefaultHasher::new();
    migrations.iter().for_each(|migration| migration.checksum.hash(&mut hasher));
    INDEXES.hash(&mut hasher);
    let name = format!("template_{:016x}", hasher.finish());

    let mut connection = connect(server_url).await.expect("the test server takes a connection");
    if !is_there(&mut connection, &name).await {
        let lock = sqlx::query("select pg_advisory_lock($1)").bind(LOCK).execute(&mut connection).await;
        lock.expect("the test server locks");
        if !is_there(&mut connection, &name).await {
            let unfinished = format!("{name}_unfinished");
            let made = execute(server_url, format!("drop database if exists {unfinished} with (force)")).await;
            made.expect("the test server drops a database");
            let made = execute(server_url, format!("create database {unfinished}")).await;
            made.expect("the test server makes a database");
            let mut migrated =
                connect(&url_of(server_url, &unfinished)).await.expect("the new database takes a connection");
            migrations.run_direct(None, &mut migrated, false).await.expect("the migrations succeed");
            for statement in INDEXES.split_terminator(";\n") {
                sqlx::raw_sql(statement).execute(&mut migrated).await.expect("the index is built");
            }
            migrated.close().await.expect("the connection ends");
            let finished = execute(server_url, format!("alter database {unfinished} rename to {name}")).await;
            finished.expect("the test server renames a database");
        }
    }
    connection.close().await.expect("the connection ends");
    name
}

async fn is_there(connection: &mut PgConnection, database: &str) -> bool {
    sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(database)
        .fetch_one(connection)
        .await
        .expect("the test server lists its databases")
}

async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    eventually("PostgreSQL takes a connection", async || match PgConnection::connect(url).await {
        // On a busy machine, PostgreSQL ends a sign-in that takes too long.
        Err(sqlx::Error::Io(_)) => None,
        outcome => Some(outcome),
    })
    .await
}

async fn execute(url: &str, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = connect(url).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}
