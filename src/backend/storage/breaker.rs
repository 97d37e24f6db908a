//! The storage's circuit breaker, with the times of the latest successes.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use time::OffsetDateTime;
use tracing::{Instrument, info_span};
use uuid::Uuid;

use crate::{
    backend::{Error, Result, cause::TRACE_ONLY},
    domain::{
        circuit::{Circuit, CircuitState},
        ids::JobId,
        operations::Figure,
        queue::BACKOFF_MAX,
    },
};

/// The largest number of changes of the circuit that wait to be written. The oldest give way.
const CHANGES_MAX: usize = 1000;

/// A kind of call to the storage. Each kind has its own circuit: a full storage can still be read, and a storage that
/// locks its objects still takes new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageOperation {
    Read,
    Write,
    Delete,
}

impl StorageOperation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
        }
    }
}

pub(super) struct Breaker {
    started: Instant,
    /// Whether calls are made whatever failed before.
    never_opens: bool,
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
    /// Whether a call or a probe has failed since the last probe that succeeded.
    is_doubted: bool,
    /// When the storage last had no room for an object. `None` after a write has succeeded.
    had_no_room: Option<Instant>,
    disk_is_full: bool,
    /// The durations of the calls and probes since they were last taken, in seconds.
    durations: Option<Figure>,
    is_noted_open: bool,
    /// The changes of the circuit that the database does not know yet.
    changes: VecDeque<NotedChange>,
}

/// The circuit opened or closed. A probe between the two is no change: in a long outage there is one every 30 s.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) struct NotedChange {
    pub(in crate::backend) id: Uuid,
    pub(in crate::backend) at: OffsetDateTime,
    pub(in crate::backend) is_open: bool,
}

/// When calls of one kind last succeeded.
#[derive(Clone, Copy, Default)]
struct Successes {
    latest: Option<(Instant, Caller)>,
    /// The latest success of a caller other than the one in `latest`.
    of_others: Option<Instant>,
}

/// The job that makes a call. `None` for all other callers.
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

    fn state(&self) -> CircuitState {
        match (self.reads.state(), self.writes.state()) {
            (CircuitState::Closed, CircuitState::Closed) => CircuitState::Closed,
            (CircuitState::Open, _) | (_, CircuitState::Open) => CircuitState::Open,
            (CircuitState::HalfOpen, _) | (_, CircuitState::HalfOpen) => CircuitState::HalfOpen,
        }
    }

    fn note_change(&mut self) {
        let is_open = self.state() != CircuitState::Closed;
        if is_open != self.is_noted_open {
            self.is_noted_open = is_open;
            if self.changes.len() == CHANGES_MAX {
                self.changes.pop_front();
            }
            self.changes.push_back(NotedChange { id: Uuid::now_v7(), at: OffsetDateTime::now_utc(), is_open });
        }
    }

    fn note_duration(&mut self, took: Duration) {
        let figure = Figure::of(took.as_secs_f64());
        self.durations = Some(self.durations.map_or(figure, |durations| durations.and(figure)));
    }
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), never_opens: false, inner: Mutex::default() }
    }

    pub(super) fn that_never_opens() -> Self {
        Self { never_opens: true, ..Self::new() }
    }

    /// Makes a call and records its outcome.
    ///
    /// # Errors
    /// `CircuitOpen` unless the circuit of this kind is closed. `StorageDown` if the storage fails.
    pub(super) async fn call<T>(
        &self,
        operation: StorageOperation,
        caller: Caller,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.admit(operation)?;
        let outcome = self.measured(operation.as_str(), call).await;
        self.record(operation, caller, outcome)
    }

    /// Opens an object for reading. A success is recorded by the caller, after the last byte.
    ///
    /// # Errors
    /// As [`Breaker::call`].
    pub(super) async fn open<T>(&self, caller: Caller, open: impl Future<Output = Result<T>>) -> Result<T> {
        self.admit(StorageOperation::Read)?;
        match self.measured(StorageOperation::Read.as_str(), open).await {
            Ok(opened) => Ok(opened),
            Err(error) => self.record(StorageOperation::Read, caller, Err(error)),
        }
    }

    /// Makes a call that reads no object's bytes, such as a list. Its success shows that the storage answers, but not
    /// that bytes can be read.
    pub(super) async fn check<T>(&self, caller: Caller, look: impl Future<Output = Result<T>>) -> Result<T> {
        self.admit(StorageOperation::Read)?;
        match self.measured("check", look).await {
            Err(error) if error.is_outage() => self.record(StorageOperation::Read, caller, Err(error)),
            outcome => {
                self.inner().last_answer = Some(Instant::now());
                outcome
            }
        }
    }

    /// Checks whether calls of this kind may be made.
    ///
    /// # Errors
    /// `CircuitOpen` unless the circuit of this kind is closed.
    pub(super) fn admit(&self, operation: StorageOperation) -> Result<()> {
        let is_closed = self.never_opens || self.inner().circuit(operation).state() == CircuitState::Closed;
        if is_closed { Ok(()) } else { Err(Error::CircuitOpen) }
    }

    /// Records what the outcome of a call, or a failure in the middle of an answer, says about the storage. Turns an
    /// outage into `StorageDown`.
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
                inner.note_change();
                return Err(Error::StorageDown { operation, source: Box::new(error) });
            }
            // The storage answered and did its work.
            Ok(_) => match operation {
                StorageOperation::Read => inner.read.record(now, caller),
                StorageOperation::Write => {
                    inner.written.record(now, caller);
                    inner.had_no_room = None;
                }
                StorageOperation::Delete => {}
            },
            // The storage answered. The error is about one object.
            Err(Error::Storage(_)) => {}
            Err(_) => return outcome,
        }
        inner.circuit(operation).succeeded();
        inner.last_answer = Some(now);
        outcome
    }

    /// Whether a call of this kind by another caller has succeeded after `since`.
    pub(super) fn has_worked_since(&self, operation: StorageOperation, since: Instant, caller: Caller) -> bool {
        let inner = self.inner();
        match operation {
            StorageOperation::Read => inner.read.has_another_since(since, caller),
            StorageOperation::Write => inner.written.has_another_since(since, caller),
            // A job leaves failed deletes to the reaper, so they never count against it.
            StorageOperation::Delete => false,
        }
    }

    /// The worse of the circuits for reads and writes. Deletes do not count: nobody waits for them, and the reaper
    /// reports failures.
    pub(super) fn state(&self) -> CircuitState {
        self.inner().state()
    }

    /// The changes of the circuit that the database does not know yet.
    pub(super) fn changes(&self) -> Vec<NotedChange> {
        self.inner().changes.iter().copied().collect()
    }

    /// Removes changes that the database knows by now.
    pub(super) fn remove_changes(&self, written: &[NotedChange]) {
        self.inner().changes.retain(|change| written.iter().all(|written| written.id != change.id));
    }

    /// Takes the durations of the calls and probes since the last call of this method, in seconds.
    pub(super) fn take_durations(&self) -> Option<Figure> {
        self.inner().durations.take()
    }

    /// Whether to probe the storage: the pause of an open circuit is over, a call has failed since the last probe, or
    /// no answer has come for longer than `idle`.
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

    /// Records the result of a probe. A probe can close the circuits, but it does not prove that reads and writes
    /// succeed.
    pub(super) fn probed(&self, answers: bool, took: Duration) {
        let (now, mut inner) = (self.started.elapsed(), self.inner());
        for circuit in inner.circuits() {
            circuit.probed(answers, now);
        }
        inner.note_change();
        inner.is_doubted = !answers;
        if answers {
            inner.note_duration(took);
            inner.last_answer = Some(Instant::now());
        }
    }

    pub(super) fn record_disk_space(&self, is_full: bool) {
        self.inner().disk_is_full = is_full;
    }

    /// Whether the storage has no room left: its disk has too little free space, or the last object did not fit.
    pub(super) fn is_full(&self) -> bool {
        let inner = self.inner();
        inner.disk_is_full || inner.had_no_room.is_some_and(|at| at.elapsed() < BACKOFF_MAX)
    }

    /// Measures a call to the storage. An object that is not there is an answer like any other.
    async fn measured<T>(&self, operation: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
        let span = info_span!(target: TRACE_ONLY, "storage", operation);
        let (began, outcome) = (Instant::now(), call.instrument(span).await);
        let took = began.elapsed();
        let label = if outcome.as_ref().is_err_and(Error::is_outage) { "failed" } else { "answered" };
        metrics::histogram!("vwaza_storage_duration_seconds", "operation" => operation, "outcome" => label)
            .record(took);
        // A write lasts as long as its file is large, and a call that failed says how soon it was given up.
        if label == "answered" && operation != StorageOperation::Write.as_str() {
            self.inner().note_duration(took);
        }
        outcome
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it holds the lock, and half a change would do no harm.
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
        breaker.probed(false, Duration::ZERO);
        assert!(breaker.wants_probe(IDLE));
        breaker.probed(true, Duration::ZERO);
        assert!(!breaker.wants_probe(IDLE));
    }

    #[tokio::test]
    async fn a_probe_closes_what_is_open() {
        let breaker = Breaker::new();
        for _ in 0..OPENED_BY {
            breaker.probed(false, Duration::ZERO);
        }
        assert_eq!(breaker.state(), CircuitState::Open);
        eventually("it is time for a probe", async || breaker.wants_probe(IDLE).then_some(())).await;
        assert_eq!(breaker.state(), CircuitState::HalfOpen);
        breaker.probed(true, Duration::ZERO);
        assert_eq!(breaker.state(), CircuitState::Closed);
    }

    #[tokio::test]
    async fn an_outage_is_two_changes_which_wait_until_they_are_written() {
        let breaker = Breaker::new();
        for _ in 0..OPENED_BY {
            breaker.probed(false, Duration::ZERO);
        }
        eventually("it is time for a probe", async || breaker.wants_probe(IDLE).then_some(())).await;
        breaker.probed(true, Duration::ZERO);
        let changes = breaker.changes();
        assert_eq!(changes.iter().map(|change| change.is_open).collect::<Vec<_>>(), [true, false]);
        breaker.remove_changes(&changes[..1]);
        assert_eq!(breaker.changes().iter().map(|change| change.id).collect::<Vec<_>>(), [changes[1].id]);
        for _ in 0..2 * CHANGES_MAX {
            let mut inner = breaker.inner();
            inner.is_noted_open = true;
            inner.note_change();
        }
        assert_eq!(breaker.changes().len(), CHANGES_MAX);
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
            breaker.probed(true, Duration::ZERO);
            assert!(breaker.is_full(), "{kind}: a read says nothing about free space");
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
