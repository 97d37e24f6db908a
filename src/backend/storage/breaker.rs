//! The storage's circuit breaker, and what has worked of late.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    backend::{Error, Result},
    domain::{
        circuit::{Circuit, CircuitState},
        ids::JobId,
        queue::BACKOFF_MAX,
    },
};

/// A full storage still reads, and one that locks its objects still stores: what works tells nothing of what does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageOperation {
    Read,
    Write,
    Delete,
}

pub(super) struct Breaker {
    started: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    reads: Circuit,
    writes: Circuit,
    deletes: Circuit,
    read: Successes,
    written: Successes,
    last_answer: Option<Instant>,
    /// A call has failed since the storage last said that it is there.
    is_doubted: bool,
    /// When the storage last had no room for something, unless it has taken something since.
    had_no_room: Option<Instant>,
    disk_is_full: bool,
}

/// When calls of one kind last succeeded.
#[derive(Clone, Copy, Default)]
struct Successes {
    latest: Option<(Instant, Caller)>,
    /// The latest one of anybody else.
    of_others: Option<Instant>,
}

/// The job that makes a call, if it is one.
pub(super) type Caller = Option<JobId>;

impl Successes {
    fn record(&mut self, now: Instant, caller: Caller) {
        if let Some((at, by)) = self.latest
            && by != caller
        {
            self.of_others = Some(at);
        }
        self.latest = Some((now, caller));
    }

    fn has_another_since(&self, since: Instant, caller: Caller) -> bool {
        let last = match self.latest {
            Some((at, by)) if by != caller => Some(at),
            _ => self.of_others,
        };
        last.is_some_and(|last| last > since)
    }
}

impl Inner {
    fn circuit(&mut self, operation: StorageOperation) -> &mut Circuit {
        match operation {
            StorageOperation::Read => &mut self.reads,
            StorageOperation::Write => &mut self.writes,
            StorageOperation::Delete => &mut self.deletes,
        }
    }

    fn circuits(&mut self) -> [&mut Circuit; 3] {
        [&mut self.reads, &mut self.writes, &mut self.deletes]
    }
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), inner: Mutex::default() }
    }

    /// Makes a call, unless its circuit is open.
    pub(super) async fn call<T>(
        &self,
        operation: StorageOperation,
        caller: Caller,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.admit(operation)?;
        self.record(operation, caller, call.await)
    }

    /// Asks of an object without reading it. That this works says that the storage is there, not that its bytes can be read.
    pub(super) async fn check<T>(&self, caller: Caller, look: impl Future<Output = Result<T>>) -> Result<T> {
        self.admit(StorageOperation::Read)?;
        match look.await {
            Err(error) if error.is_outage() => self.record(StorageOperation::Read, caller, Err(error)),
            outcome => {
                self.inner().last_answer = Some(Instant::now());
                outcome
            }
        }
    }

    /// # Errors
    /// While nothing of the kind is asked.
    pub(super) fn admit(&self, operation: StorageOperation) -> Result<()> {
        if self.inner().circuit(operation).state() == CircuitState::Closed { Ok(()) } else { Err(Error::CircuitOpen) }
    }

    /// What an answer, or a failure in the middle of one, says of the storage.
    pub(super) fn record<T>(&self, operation: StorageOperation, caller: Caller, outcome: Result<T>) -> Result<T> {
        let now = Instant::now();
        let mut inner = self.inner();
        match outcome {
            Err(error) if error.is_outage() => {
                inner.circuit(operation).failed(self.started.elapsed());
                inner.is_doubted = true;
                if operation == StorageOperation::Write && error.is_disk_full() {
                    inner.had_no_room = Some(now);
                }
                return Err(Error::StorageDown { operation, source: Box::new(error) });
            }
            // It is there, and did what it was asked to.
            Ok(_) => match operation {
                StorageOperation::Read => inner.read.record(now, caller),
                StorageOperation::Write => {
                    inner.written.record(now, caller);
                    inner.had_no_room = None;
                }
                StorageOperation::Delete => {}
            },
            // It is there.
            Err(Error::Storage(_)) => {}
            Err(_) => return outcome,
        }
        inner.circuit(operation).succeeded();
        inner.last_answer = Some(now);
        outcome
    }

    /// Whether somebody else's call of the kind has succeeded since then.
    pub(super) fn has_worked_since(&self, operation: StorageOperation, since: Instant, caller: Caller) -> bool {
        let inner = self.inner();
        match operation {
            StorageOperation::Read => inner.read.has_another_since(since, caller),
            StorageOperation::Write => inner.written.has_another_since(since, caller),
            // What a job does not get deleted, it leaves to the reaper.
            StorageOperation::Delete => false,
        }
    }

    /// The worse of reading and writing. Deletes that fail keep nobody waiting; the reaper tells of them.
    pub(super) fn state(&self) -> CircuitState {
        let inner = self.inner();
        match (inner.reads.state(), inner.writes.state()) {
            (CircuitState::Closed, CircuitState::Closed) => CircuitState::Closed,
            (CircuitState::Open, _) | (_, CircuitState::Open) => CircuitState::Open,
            (CircuitState::HalfOpen, _) | (_, CircuitState::HalfOpen) => CircuitState::HalfOpen,
        }
    }

    /// Whether to ask the storage how it is: it is time for a probe, a call failed since the last one, or there was none for so long.
    pub(super) fn wants_probe(&self, idle: Duration) -> bool {
        let (now, mut inner) = (self.started.elapsed(), self.inner());
        for circuit in inner.circuits() {
            circuit.begins_probe(now);
        }
        match inner.circuits().map(|circuit| circuit.state()) {
            states if states.contains(&CircuitState::HalfOpen) => true,
            states if states.contains(&CircuitState::Open) => false,
            _ => inner.is_doubted || inner.last_answer.unwrap_or(self.started).elapsed() > idle,
        }
    }

    /// A probe is no work: it closes the circuits, and proves nothing of reading and writing.
    pub(super) fn probed(&self, answers: bool) {
        let (now, mut inner) = (self.started.elapsed(), self.inner());
        for circuit in inner.circuits() {
            circuit.probed(answers, now);
        }
        inner.is_doubted = !answers;
        if answers {
            inner.last_answer = Some(Instant::now());
        }
    }

    pub(super) fn record_disk_space(&self, is_full: bool) {
        self.inner().disk_is_full = is_full;
    }

    /// Whether the storage has no room left: its disk says so, or the last thing that was to be put did not fit.
    pub(super) fn is_full(&self) -> bool {
        let inner = self.inner();
        inner.disk_is_full || inner.had_no_room.is_some_and(|at| at.elapsed() < BACKOFF_MAX)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held, and half a change would do no harm.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use testing::eventually;
    use uuid::Uuid;

    use super::*;

    const IDLE: Duration = Duration::from_secs(30);
    /// Failures in a row that open a circuit.
    const OPENED_BY: usize = 5;

    fn outage() -> Result<()> {
        Err(object_store::Error::Generic { store: "test", source: "away".into() }.into())
    }

    fn record(breaker: &Breaker, operation: StorageOperation, outcome: Result<()>) {
        let _ = breaker.record(operation, None, outcome);
    }

    #[test]
    fn what_can_still_be_read_hides_no_outage_of_writes() {
        let breaker = Breaker::new();
        for _ in 0..OPENED_BY {
            record(&breaker, StorageOperation::Write, outage());
            record(&breaker, StorageOperation::Read, Ok(()));
        }
        assert_eq!(breaker.state(), CircuitState::Open);
        assert!(breaker.admit(StorageOperation::Write).is_err());
        assert!(breaker.admit(StorageOperation::Read).is_ok() && breaker.admit(StorageOperation::Delete).is_ok());
    }

    #[tokio::test]
    async fn what_can_still_be_looked_at_hides_no_outage_of_reads() {
        let (breaker, started) = (Breaker::new(), Instant::now());
        for _ in 0..OPENED_BY {
            record(&breaker, StorageOperation::Read, outage());
            let _ = breaker.check(None, async { Ok(()) }).await;
        }
        assert_eq!(breaker.state(), CircuitState::Open);
        assert!(!breaker.has_worked_since(StorageOperation::Read, started, Some(JobId(Uuid::nil()))));
        assert!(breaker.check(None, async { Ok(()) }).await.is_err());
    }

    #[test]
    fn one_failed_call_is_followed_by_one_probe_and_no_more() {
        let breaker = Breaker::new();
        record(&breaker, StorageOperation::Read, Ok(()));
        assert!(!breaker.wants_probe(IDLE));
        record(&breaker, StorageOperation::Write, outage());
        assert!(breaker.wants_probe(IDLE));
        breaker.probed(false);
        assert!(breaker.wants_probe(IDLE));
        breaker.probed(true);
        assert!(!breaker.wants_probe(IDLE));
    }

    #[tokio::test]
    async fn a_probe_closes_what_is_open() {
        let breaker = Breaker::new();
        for _ in 0..OPENED_BY {
            breaker.probed(false);
        }
        assert_eq!(breaker.state(), CircuitState::Open);
        eventually("it is time for a probe", async || breaker.wants_probe(IDLE).then_some(())).await;
        assert_eq!(breaker.state(), CircuitState::HalfOpen);
        breaker.probed(true);
        assert_eq!(breaker.state(), CircuitState::Closed);
    }

    #[test]
    fn a_storage_is_full_from_what_did_not_fit_to_what_does() {
        let no_room = |kind: io::ErrorKind| {
            Err(object_store::Error::Generic { store: "test", source: Box::new(io::Error::from(kind)) }.into())
        };
        let breaker = Breaker::new();
        record(&breaker, StorageOperation::Write, outage());
        assert!(!breaker.is_full());
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            record(&breaker, StorageOperation::Write, no_room(kind));
            record(&breaker, StorageOperation::Read, Ok(()));
            breaker.probed(true);
            assert!(breaker.is_full(), "{kind}: what can be read says nothing of it");
            record(&breaker, StorageOperation::Write, Ok(()));
            assert!(!breaker.is_full(), "{kind}");
        }
        breaker.record_disk_space(true);
        assert!(breaker.is_full());
        breaker.record_disk_space(false);
        assert!(!breaker.is_full());
    }

    #[test]
    fn only_what_others_got_done_speaks_against_a_job() {
        let (breaker, since) = (Breaker::new(), Instant::now());
        let [one, other] = [(); 2].map(|()| Some(JobId(Uuid::now_v7())));
        breaker.record(StorageOperation::Write, one, Ok(())).unwrap();
        breaker.record(StorageOperation::Write, one, Ok(())).unwrap();
        assert!(!breaker.has_worked_since(StorageOperation::Write, since, one));
        assert!(breaker.has_worked_since(StorageOperation::Write, since, other));
        assert!(!breaker.has_worked_since(StorageOperation::Read, since, other));
        breaker.record(StorageOperation::Write, other, Ok(())).unwrap();
        breaker.record(StorageOperation::Write, one, Ok(())).unwrap();
        assert!(breaker.has_worked_since(StorageOperation::Write, since, one));
    }
}
