//! For the tests of all three crates, the demo and the benchmark; never in the product.

pub mod fixtures;

use std::thread;

use sqlx::{Connection, PgConnection};
use tokio::runtime::Builder;
use uuid::Uuid;

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

async fn execute(url: &str, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}
