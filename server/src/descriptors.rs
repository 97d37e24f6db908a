//! File descriptors: raises their limit, and computes how many connections they allow.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use vwaza::backend::{QueueSettings, database_connections};

use crate::connection_slots::OVERFLOW_SLOTS;

/// The most connections without a setting, even if more descriptors are available, because each connection takes
/// memory, too. More are event streams, which need their socket alone.
pub(crate) const CONNECTIONS_DEFAULT: usize = 4096;
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

/// Returns how many connections may be open at once: at most `allowed`, and so that descriptors are left for the
/// database, the jobs and the spool.
pub(crate) fn max_connections(descriptors: usize, allowed: usize, queue: &QueueSettings) -> usize {
    let for_jobs = DESCRIPTORS_PER_JOB * queue.concurrency.max(1) as usize;
    let kept = database_connections(queue) + for_jobs + OTHER_DESCRIPTORS + OVERFLOW_SLOTS;
    let left = descriptors.saturating_sub(kept);
    let with_files = (left / DESCRIPTORS_PER_CONNECTION).min(CONNECTIONS_DEFAULT);
    let streams = left.saturating_sub(DESCRIPTORS_PER_CONNECTION * CONNECTIONS_DEFAULT);
    (with_files + streams).clamp(CONNECTIONS_MIN, allowed.max(CONNECTIONS_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        let queue = QueueSettings::default();
        for (descriptors, expected) in [(64, 16), (128, 18), (1024, 466), (8284, 4096), (usize::MAX, 4096)] {
            assert_eq!(max_connections(descriptors, CONNECTIONS_DEFAULT, &queue), expected, "{descriptors}");
        }
        let busy = QueueSettings { concurrency: 64, ..queue.clone() };
        let of = |queue| max_connections(1024, CONNECTIONS_DEFAULT, queue);
        assert!(of(&busy) < of(&queue));
    }

    #[test]
    fn an_operator_allows_fewer_connections_or_more_event_streams() {
        let queue = QueueSettings::default();
        for (descriptors, allowed, expected) in [
            (1024, 100, 100),
            (1024, 20_000, 466),
            (8284, 20_000, 4096),
            (9284, 20_000, 5096),
            (65_536, 20_000, 20_000),
        ] {
            assert_eq!(max_connections(descriptors, allowed, &queue), expected, "{descriptors}, {allowed}");
        }
    }
}
