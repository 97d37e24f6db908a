//! File descriptors: raises their limit, and computes how many connections they allow.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use vwaza::backend::{QueueSettings, database_connections};

use crate::connection_slots::OVERFLOW_SLOTS;

/// The most connections, even if more descriptors are available, because each connection takes memory, too.
const CONNECTIONS_MAX: usize = 4096;
/// The fewest connections, even if descriptors may run out.
const CONNECTIONS_MIN: usize = 16;
/// A connection needs its socket, and the file or the storage connection that its request reads or writes.
const DESCRIPTORS_PER_CONNECTION: usize = 2;
/// A job needs its file in the spool, its copy, and the object that it reads or writes.
const DESCRIPTORS_PER_JOB: usize = 4;
/// Descriptors of the log, the runtime, the listener, the spool's lock, Redis, mail, the janitor, and users' archives.
const OTHER_DESCRIPTORS: usize = 24;

/// Raises the soft limit to the hard one. Returns the resulting limit.
pub(crate) fn raise_limit() -> usize {
    let before = getrlimit(Resource::Nofile);
    if before.current != before.maximum {
        let raised = Rlimit { current: before.maximum, maximum: before.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(error = ?error, "raising the file descriptor limit failed");
        }
    }
    limit()
}

/// The number of descriptors that this process may open.
pub(crate) fn limit() -> usize {
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Returns how many connections may be open at once, so that descriptors are left for the database, the jobs and the
/// spool.
pub(crate) fn max_connections(descriptors: usize, queue: &QueueSettings) -> usize {
    let for_jobs = DESCRIPTORS_PER_JOB * queue.concurrency.max(1) as usize;
    let kept = database_connections(queue) + for_jobs + OTHER_DESCRIPTORS + OVERFLOW_SLOTS;
    (descriptors.saturating_sub(kept) / DESCRIPTORS_PER_CONNECTION).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        let queue = QueueSettings::default();
        for (descriptors, expected) in [(64, 16), (128, 18), (1024, 466), (8284, 4096), (usize::MAX, 4096)] {
            assert_eq!(max_connections(descriptors, &queue), expected, "{descriptors}");
        }
        let busy = QueueSettings { concurrency: 64, ..queue.clone() };
        assert!(max_connections(1024, &busy) < max_connections(1024, &queue));
    }
}
