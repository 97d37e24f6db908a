//! The errors of the embedded PostgreSQL, which the operator reads.

use std::path::{Path, PathBuf};

use super::OLDEST_VERSION;

#[derive(Debug, thiserror::Error)]
pub enum EmbeddedPostgresError {
    #[error(
        "found no PostgreSQL {OLDEST_VERSION} or newer to embed: install one (Debian: postgresql, Homebrew: \
         postgresql@17) or set DATABASE_URL. Root uses none that other users could replace"
    )]
    NotInstalled,
    #[error(
        "the database in {home} was made by PostgreSQL {version}, which is no longer installed: install it again. Root uses none that other \
         users could replace"
    )]
    VersionGone { home: PathBuf, version: u32 },
    #[error(
        "{path} does not say which PostgreSQL made the database there, so it is left as it is: restore it from a backup, or move {data} \
         away to begin with an empty database"
    )]
    Damaged { path: PathBuf, data: PathBuf },
    #[error(
        "{path} is missing or empty, without which nobody gets into the database beside it: restore it from a backup"
    )]
    NoPassword { path: PathBuf },
    #[error(
        "{path} belongs to another user than PostgreSQL, which runs as user {uid}: files that were copied back are to be given to it. As \
         root: chown -R {uid}:{gid} {folder}"
    )]
    Foreign { path: PathBuf, uid: u32, gid: u32, folder: String },
    #[error(
        "PostgreSQL runs as user {uid}, who cannot get to {home}: each folder above it has to let others through (chmod a+x)"
    )]
    OutOfReach { home: PathBuf, uid: u32 },
    #[error("there is a line break in the path of the data directory {0:?}, with which PostgreSQL does not work")]
    LineBreak(PathBuf),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{program} failed: {output}")]
    Program { program: PathBuf, output: String },
    #[error("the database in {home} runs but accepts no connections; its reasons stand in data/log there")]
    NotReady { home: PathBuf },
    #[error("the database in {home} runs but could not be prepared for the application: {source}")]
    NotPrepared { home: PathBuf, source: sqlx::Error },
}

pub(super) type Result<T> = std::result::Result<T, EmbeddedPostgresError>;

pub(super) trait PathContext<T> {
    fn with_path(self, path: &Path) -> Result<T>;
}

impl<T> PathContext<T> for std::io::Result<T> {
    fn with_path(self, path: &Path) -> Result<T> {
        self.map_err(|source| EmbeddedPostgresError::File { path: path.to_owned(), source })
    }
}
