//! The errors of the core. An error is either a problem that the user is told or a fault for the log.

use std::{error, io, iter::successors};

use rustix::io::Errno;
use sqlx::error::ErrorKind;
use thiserror::Error;

use super::{storage::StorageOperation, uploads::SpoolShareTaken};
use crate::domain::{ids::JobId, problem::Problem};

#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Problem(#[from] Problem),
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the schema could not be brought up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("the storage failed: {0}")]
    Storage(#[from] object_store::Error),
    /// The storage failed, which is not the fault of a file. Callers that can wait try again later.
    #[error("{source}")]
    StorageDown { operation: StorageOperation, source: Box<Error> },
    #[error("the storage has not answered of late and is not asked for now")]
    CircuitOpen,
    #[error("the storage holds other bytes than it was given at {key}")]
    StorageMismatch { key: String },
    #[error("the file system failed: {0}")]
    Io(#[from] io::Error),
    #[error("a password could not be hashed: {0}")]
    PasswordHash(String),
    #[error("a background task ended early: {0}")]
    Join(#[from] tokio::task::JoinError),
    #[error("job {0} is no longer held by this attempt")]
    LeaseLost(JobId),
    #[error("the spool does not hold the {offset} bytes that were acknowledged")]
    BytesLost { offset: u64 },
    #[error("{0}")]
    Corrupt(String),
}

impl Error {
    /// Returns the problem to tell the user, or the error itself if it is a fault for the log.
    pub fn into_problem(self) -> Result<Problem, Self> {
        match self {
            Self::Problem(problem) => Ok(problem),
            Self::Database(error) if is_unreachable(&error) => {
                tracing::error!(error = ?error, "database unreachable");
                Ok(Problem::Unavailable(
                    "The database is not answering. Everything you saved is safe; try again in a minute.".into(),
                ))
            }
            // 22021: the text contains U+0000 or another character that PostgreSQL does not take.
            Self::Database(sqlx::Error::Database(error)) if error.code().as_deref() == Some("22021") => Ok(
                Problem::BadRequest("This text contains a character that we can't store. Type the text again.".into()),
            ),
            Self::StorageDown { .. } | Self::CircuitOpen => {
                tracing::error!(error = ?self, "storage unreachable");
                Ok(Problem::Unavailable(
                    "Our storage is not answering. Everything you sent is safe; try again in a minute.".into(),
                ))
            }
            Self::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<SpoolShareTaken>()) => {
                Ok(Problem::SpoolShare)
            }
            Self::Io(_) if self.is_disk_full() => Ok(Problem::DiskFull),
            Self::Io(_) if self.is_exhausted() => {
                tracing::error!(error = ?self, "out of file descriptors or memory");
                Ok(Problem::Unavailable(
                    "The server is busy. Everything you sent is safe; try again in a minute.".into(),
                ))
            }
            fault => Err(fault),
        }
    }

    /// Whether a disk of ours, local storage's included, is full, or has no room left for our system user.
    pub(super) fn is_disk_full(&self) -> bool {
        self.of_system().any(|error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// Whether this machine has no file descriptors or no memory left.
    fn is_exhausted(&self) -> bool {
        self.of_system().any(is_exhaustion)
    }

    /// Whether this machine or one of its disks is at fault, and no file: descriptors or memory ran out, or a disk
    /// cannot be read or written. A missing file does not count.
    pub(super) fn is_of_this_machine(&self) -> bool {
        let is_own = matches!(self, Self::Io(error) if error.raw_os_error().is_some() && error.kind() != io::ErrorKind::NotFound);
        is_own || self.of_system().any(|error| is_exhaustion(error) || is_of_disk(error))
    }

    /// The errors of the operating system among the sources, however deep they are wrapped.
    fn of_system(&self) -> impl Iterator<Item = &io::Error> {
        successors(Some(self as &(dyn error::Error + 'static)), |error| error.source())
            .filter_map(<dyn error::Error>::downcast_ref)
    }

    /// Whether the error says that the storage is not well, rather than something about one object.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Storage(error) => matches!(
                error,
                object_store::Error::Generic { .. }
                    | object_store::Error::PermissionDenied { .. }
                    | object_store::Error::Unauthenticated { .. }
            ),
            _ => false,
        }
    }

    pub(crate) fn is_unique_violation_of(&self, constraint: &str) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error))
            if error.kind() == ErrorKind::UniqueViolation && error.constraint() == Some(constraint))
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
        || matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS))
}

fn is_of_disk(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StaleNetworkFileHandle, StorageFull};
    matches!(error.kind(), QuotaExceeded | ReadOnlyFilesystem | StaleNetworkFileHandle | StorageFull)
        || matches!(Errno::from_io_error(error), Some(Errno::IO | Errno::NODEV | Errno::NXIO))
}

/// Whether the error says that the database is not well, rather than something about one statement.
pub(super) fn is_unreachable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => true,
        // Class 57 is operator intervention (shutting down, starting up; 57014 is our own limit on statements), 08 a
        // broken connection, 53 out of resources. 55P03 is our limit on waiting for a row.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| ["57P", "57014", "08", "53", "55P03"].iter().any(|prefix| code.starts_with(prefix))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_found_behind_whatever_says_so() {
        let io = |kind: io::ErrorKind| Error::Io(kind.into());
        let stored = |kind: io::ErrorKind| {
            let error = object_store::Error::Generic { store: "folder", source: Box::new(io::Error::from(kind)) };
            Error::StorageDown { operation: StorageOperation::Write, source: Box::new(error.into()) }
        };
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert!(io(kind).is_disk_full() && stored(kind).is_disk_full(), "{kind}");
        }
        assert!(!io(io::ErrorKind::NotFound).is_disk_full() && !stored(io::ErrorKind::TimedOut).is_disk_full());
        assert!(!Error::CircuitOpen.is_disk_full());
    }

    #[test]
    fn what_the_machine_is_out_of_is_no_fault_of_a_file() {
        let stored = |error: io::Error| {
            let error = object_store::Error::Generic { store: "folder", source: Box::new(error) };
            Error::StorageDown { operation: StorageOperation::Write, source: Box::new(error.into()) }
        };
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
            Errno::NOBUFS,
            Errno::IO,
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::ROFS,
            Errno::STALE,
            Errno::NODEV,
            Errno::NXIO,
        ] {
            let system = || io::Error::from(errno);
            assert!(Error::Io(system()).is_of_this_machine() && stored(system()).is_of_this_machine(), "{errno}");
        }
        // Only the operator can deny the server access to its own files.
        assert!(Error::Io(Errno::ACCESS.into()).is_of_this_machine());
        assert!(!Error::Io(Errno::NOENT.into()).is_of_this_machine());
        assert!(!Error::Io(io::ErrorKind::UnexpectedEof.into()).is_of_this_machine());
        // A refused connection is a fault of the storage.
        assert!(!stored(Errno::CONNREFUSED.into()).is_of_this_machine());
        assert!(!Error::CircuitOpen.is_of_this_machine());
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS] {
            assert!(matches!(Error::Io(errno.into()).into_problem(), Ok(Problem::Unavailable(_))), "{errno}");
        }
    }
}
