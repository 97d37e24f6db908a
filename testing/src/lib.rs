//! What the tests of all crates, the benchmark and the demo share. Nothing here is part of the product.

pub mod fixtures;
mod gate;
mod neighbour;
mod proxy;
mod redis_server;
#[cfg(feature = "servers")]
pub mod s3_server;
#[cfg(feature = "servers")]
pub mod smtp_server;
#[cfg(feature = "servers")]
pub mod supabase_server;
mod wait;

use std::{env, process::Command, thread};

pub use gate::{Gate, Held};
pub use neighbour::Neighbour;
pub use proxy::Proxy;
pub use redis_server::RedisServer;
use sqlx::{Connection, PgConnection};
use tokio::runtime::Builder;
use uuid::Uuid;
pub use wait::{assert_in_time, ends, eventually, eventually_or_none, soak};

/// Where the PostgreSQL for tests is: `TEST_DATABASE_URL`, or what `./dev env` says where the tests were not started by
/// `./dev test`.
///
/// # Panics
/// When neither says it.
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

/// A database of its own for one test, gone with this value.
pub struct TestDatabase {
    server_url: String,
    name: String,
}

impl TestDatabase {
    /// Makes a database on the server at `server_url` (a superuser's address of any database there).
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn create(server_url: &str) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        execute(server_url, format!("create database {name}")).await.expect("the test server makes a database");
        Self { server_url: server_url.to_owned(), name }
    }

    /// A backup: another database with what is in this one now. Whoever is connected to it is thrown out.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn backup(&self) -> Self {
        let backup = Self { server_url: self.server_url.clone(), name: format!("test_{}", Uuid::now_v7().simple()) };
        backup.copy_from(self).await;
        backup
    }

    /// Puts a backup in the place of this database. Whoever is connected to it is thrown out.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn restore(&self, backup: &Self) {
        let dropped = execute(&self.server_url, format!("drop database {} with (force)", self.name)).await;
        dropped.expect("the test server drops a database");
        self.copy_from(backup).await;
    }

    async fn copy_from(&self, source: &Self) {
        let thrown_out =
            format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}'", source.name);
        execute(&self.server_url, thrown_out).await.expect("the test server lets nobody stay");
        let copied = execute(&self.server_url, format!("create database {} template {}", self.name, source.name)).await;
        copied.expect("the test server copies a database");
    }

    /// # Panics
    /// When the server's address does not end in a database's name.
    pub fn url(&self) -> String {
        let (server, _) = self.server_url.rsplit_once('/').expect("a database's address ends in its name");
        format!("{server}/{}", self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (url, statement) = (self.server_url.clone(), format!("drop database if exists {} with (force)", self.name));
        // A test's runtime cannot wait for itself, and a test that fails drops this, too: a thread with its own.
        let dropped = thread::spawn(move || {
            Builder::new_current_thread().enable_all().build()?.block_on(execute(&url, statement))
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("the database {} is left behind", self.name);
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
#[cfg(feature = "servers")]
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn execute(url: &str, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = eventually("PostgreSQL takes a connection", async || match PgConnection::connect(url).await {
        // It ended a sign-in that took too long on a busy machine.
        Err(sqlx::Error::Io(_)) => None,
        outcome => Some(outcome),
    })
    .await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}
