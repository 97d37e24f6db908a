//! The embedded PostgreSQL, which the product starts when `DATABASE_URL` is not set.
//!
//! The cluster is in `<data dir>/postgres`, and the database listens on loopback. The superuser (`vwaza`) only prepares
//! a role for the application. Each of the two has a password of its own. `pg_ctl` starts the database in a session of
//! its own, so it outlives a killed server. Later processes join the running database, and the last process that shuts
//! down cleanly stops it. `fsync` stays on, because this is production data.

mod cluster;
mod error;
mod home;
mod postmaster;
mod role;
mod system;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use self::{
    cluster::Cluster,
    error::{PathContext, Result},
    home::{foreign, refuse_line_break},
    system::OsUser,
};
use crate::backend::directories::{create_traversable_dir, open_private_file};

pub use self::error::EmbeddedPostgresError;

/// The oldest major version that the product is tested with.
const OLDEST_VERSION: u32 = 15;

/// A running database that this process uses.
pub struct EmbeddedPostgres {
    cluster: Cluster,
    url: String,
    started_here: bool,
    /// A file with a shared lock for as long as this process uses the database. The system releases the lock of a
    /// killed process.
    in_use: File,
}

impl EmbeddedPostgres {
    /// Starts the database under `data_dir`, or joins the running one. Creates the cluster if there is none. Any number
    /// of processes may call this at once: one starts the database, the others wait for it and join.
    pub async fn start_or_join(data_dir: &Path) -> Result<Self> {
        create_traversable_dir(data_dir).with_path(data_dir)?;
        let data_dir = data_dir.canonicalize().with_path(data_dir)?;
        refuse_line_break(&data_dir)?;
        let _starting = lock_exclusively(data_dir.join("postgres.lock")).await?;
        let path = data_dir.join("postgres.in-use");
        let in_use = open_lock(&path)?;

        let cluster = Cluster::open(&data_dir).await?;
        let (port, started_here) = cluster.make_ready().await?;
        let url = match cluster.prepare(port).await {
            Ok(url) => url,
            Err(error) => {
                if started_here {
                    // The first error is the one to report, not a failure to stop.
                    let _ = cluster.stop_unless_used(&in_use).await;
                }
                return Err(error);
            }
        };
        in_use.lock_shared().with_path(&path)?;
        tracing::info!(port, started_here, home = %cluster.home.display(), "embedded PostgreSQL is ready");
        Ok(Self { cluster, url, started_here, in_use })
    }

    /// The connection URL of the application's role, with its password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether this process started the database rather than joined it.
    pub fn started_here(&self) -> bool {
        self.started_here
    }

    /// Shuts the database down unless another process uses it. A shutdown closes all open connections.
    pub async fn stop(self) -> Result<()> {
        let data_dir = &self.cluster.data_dir;
        let _stopping = lock_exclusively(data_dir.join("postgres.lock")).await?;
        self.in_use.unlock().with_path(data_dir)?;
        self.cluster.stop_unless_used(&self.in_use).await
    }
}

/// Opens a lock file of the data directory. Reports a file or directory that belongs to another user, such as root
/// after a copy that root has made.
fn open_lock(path: &Path) -> Result<File> {
    open_private_file(path).map_err(|error| {
        let data_dir = path.parent().unwrap_or(path);
        let own = OsUser::of_this_process();
        let is_foreign =
            fs::metadata(path).or_else(|_| fs::metadata(data_dir)).is_ok_and(|found| found.uid() != own.uid);
        match error.kind() {
            io::ErrorKind::PermissionDenied if is_foreign => foreign(path.to_owned(), own, data_dir),
            _ => EmbeddedPostgresError::File { path: path.to_owned(), source: error },
        }
    })
}

async fn lock_exclusively(path: PathBuf) -> Result<File> {
    let file = open_lock(&path)?;
    // The lock may take as long as another process needs to start the database.
    tokio::task::spawn_blocking(move || file.lock().map(|()| file))
        .await
        .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
        .with_path(&path)
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

    use super::{postmaster::Postmaster, *};

    /// A directory that all users can enter, so that tests run by root leave nothing in [`home::HOME_BESIDE_ROOT`].
    fn reachable_directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("the directory is ours");
        directory
    }

    /// Asks the database for its `max_connections`.
    async fn answer(database: &EmbeddedPostgres) -> sqlx::Result<i32> {
        use sqlx::{Connection as _, PgConnection};
        let mut connection = PgConnection::connect(database.url()).await?;
        sqlx::query_scalar("select current_setting('max_connections')::int").fetch_one(&mut connection).await
    }

    #[tokio::test]
    async fn one_starts_another_joins_and_the_last_one_out_stops_it() {
        let directory = reachable_directory();
        let (one, other) = tokio::join!(
            EmbeddedPostgres::start_or_join(directory.path()),
            EmbeddedPostgres::start_or_join(directory.path())
        );
        let (one, other) = (one.expect("the database starts"), other.expect("the database starts"));
        assert_ne!(one.started_here(), other.started_here());
        assert_eq!(one.url(), other.url());

        one.stop().await.expect("the first process leaves");
        assert_eq!(answer(&other).await.expect("the database still runs"), 200);

        let cluster = Cluster::open(directory.path()).await.expect("the cluster exists");
        other.stop().await.expect("the database stops");
        assert_eq!(cluster.postmaster().expect("the pid file can be read"), Postmaster::None);

        let again = EmbeddedPostgres::start_or_join(directory.path()).await;
        let again = again.expect("the database starts again with its old password");
        assert_eq!(answer(&again).await.expect("the database runs"), 200);
        again.stop().await.expect("the database stops");
    }
}
