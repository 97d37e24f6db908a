//! Where the PostgreSQL for tests is.

use std::{env, process::Command};

/// `TEST_DATABASE_URL`, or what `./dev env` says where the tests were not started by `./dev test`.
pub(crate) fn test_server_url() -> String {
    env::var("TEST_DATABASE_URL").unwrap_or_else(|_| {
        let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../dev")).arg("env").output().unwrap();
        let exports = String::from_utf8(output.stdout).unwrap();
        exports
            .lines()
            .find_map(|line| line.strip_prefix("export TEST_DATABASE_URL="))
            .expect("./dev env names the test database")
            .to_owned()
    })
}
