//! Opens the directory of the cluster: finds out whom its files belong to, and which PostgreSQL made the cluster.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::{
    error::{EmbeddedPostgresError, PathContext as _, Result},
    system::OsUser,
};
use crate::backend::directories::{PRIVATE_DIR_MODE, create_traversable_dir, shell_quoted};

/// The parent of the cluster's directory if the data directory is root's and PostgreSQL's user cannot enter it.
const HOME_BESIDE_ROOT: &str = "/var/lib/vwaza";

/// The error for a file below `folder` that does not belong to PostgreSQL's user.
pub(super) fn foreign(path: PathBuf, account: OsUser, folder: &Path) -> EmbeddedPostgresError {
    // `chown -R` follows no link below its folder, so the command names the target of such a link.
    let folder = path.ancestors().find(|part| part.is_symlink() && part.starts_with(folder)).unwrap_or(folder);
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    EmbeddedPostgresError::Foreign { path, uid: account.uid, gid: account.gid, folder: shell_quoted(&folder) }
}

pub(super) fn refuse_line_break(path: &Path) -> Result<()> {
    // `postmaster.pid` is read by line numbers, and one of its lines is this path.
    match path.as_os_str().as_bytes().contains(&b'\n') {
        true => Err(EmbeddedPostgresError::LineBreak(path.to_owned())),
        false => Ok(()),
    }
}

/// The major version of the PostgreSQL that made the cluster; `None` if there is no cluster yet. A `data` folder
/// without a version may be the mount point of a disk that is not mounted, or a damaged cluster, so no new cluster is
/// made in its place.
pub(super) fn version_of_cluster(home: &Path, account: OsUser) -> Result<Option<u32>> {
    let data = home.join("data");
    match fs::symlink_metadata(&data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.with_path(&data)?,
    };
    let path = data.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) if text.trim().parse::<u32>().is_ok() => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => match account.first_not_owned(&data)? {
            Some(path) => Err(foreign(path, account, home)),
            None => Err(error).with_path(&path),
        },
        Ok(_) => Err(EmbeddedPostgresError::Damaged { path, data }),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            Err(EmbeddedPostgresError::Damaged { path, data })
        }
        Err(error) => Err(error).with_path(&path),
    }
}

/// Opens the directory `<data dir>/postgres`, or the target of that link, and creates it if need be. The link lets a
/// data directory be moved although its database had to be placed elsewhere.
pub(super) fn open_home(data_dir: &Path, account: OsUser) -> Result<PathBuf> {
    let home = data_dir.join("postgres");
    if fs::symlink_metadata(&home).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        if account.can_traverse(data_dir) {
            fs::DirBuilder::new().mode(PRIVATE_DIR_MODE).create(&home).with_path(&home)?;
        } else {
            let elsewhere = Path::new(HOME_BESIDE_ROOT).join(Uuid::new_v4().simple().to_string());
            create_traversable_dir(Path::new(HOME_BESIDE_ROOT)).with_path(Path::new(HOME_BESIDE_ROOT))?;
            fs::DirBuilder::new().mode(PRIVATE_DIR_MODE).create(&elsewhere).with_path(&elsewhere)?;
            std::os::unix::fs::symlink(&elsewhere, &home).with_path(&home)?;
            tracing::info!(
                uid = account.uid,
                home = %elsewhere.display(),
                data_dir = %data_dir.display(),
                "embedded PostgreSQL is placed outside the data directory, which its user cannot reach"
            );
        }
    }
    let home = home.canonicalize().with_path(&home)?;
    refuse_line_break(&home)?;
    // A home without a cluster was created a moment ago, or by a process that was killed at that point.
    if fs::symlink_metadata(home.join("data")).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        account.own(&home).with_path(&home)?;
    }
    if fs::metadata(&home).with_path(&home)?.uid() != account.uid {
        return Err(foreign(home.clone(), account, &home));
    }
    fs::set_permissions(&home, Permissions::from_mode(PRIVATE_DIR_MODE)).with_path(&home)?;
    if !account.can_traverse(&home) {
        return Err(EmbeddedPostgresError::OutOfReach { home, uid: account.uid });
    }
    Ok(home)
}
