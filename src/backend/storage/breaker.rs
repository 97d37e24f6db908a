//! The storage's circuit breaker, and what has worked of late.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    backend::{Error, Result},
    domain::circuit::{Circuit, CircuitState},
};

/// A full storage still reads: what works tells nothing of what does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
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
    circuit: Circuit,
    last_read: Option<Instant>,
    last_write: Option<Instant>,
    last_call: Option<Instant>,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), inner: Mutex::default() }
    }

    /// Makes a call, unless the circuit is open.
    pub(super) async fn call<T>(&self, verb: Verb, call: impl Future<Output = Result<T>>) -> Result<T> {
        if self.state() != CircuitState::Closed {
            return Err(Error::CircuitOpen);
        }
        self.note(verb, call.await)
    }

    /// What an answer, or a failure in the middle of one, says of the storage.
    pub(super) fn note<T>(&self, verb: Verb, outcome: Result<T>) -> Result<T> {
        match outcome {
            Err(error) if error.is_outage() => {
                self.inner().circuit.failed(self.started.elapsed());
                Err(Error::StorageDown { verb, source: Box::new(error) })
            }
            Ok(value) => {
                self.answered(Some(verb));
                Ok(value)
            }
            Err(error @ Error::Storage(_)) => {
                self.answered(None);
                Err(error)
            }
            Err(ours) => Err(ours),
        }
    }

    /// It is there; with a verb, it did what it was asked to.
    fn answered(&self, did: Option<Verb>) {
        let now = Instant::now();
        let mut inner = self.inner();
        inner.circuit.succeeded();
        inner.last_call = Some(now);
        match did {
            Some(Verb::Read) => inner.last_read = Some(now),
            Some(Verb::Write) => inner.last_write = Some(now),
            Some(Verb::Delete) | None => {}
        }
    }

    pub(super) fn has_worked_since(&self, verb: Verb, since: Instant) -> bool {
        let inner = self.inner();
        let last = match verb {
            Verb::Read => inner.last_read,
            Verb::Write => inner.last_write,
            // Jobs delete nothing.
            Verb::Delete => None,
        };
        last.is_some_and(|last| last > since)
    }

    pub(super) fn state(&self) -> CircuitState {
        self.inner().circuit.state()
    }

    /// Whether to ask the storage how it is: it is time for a probe, the last call failed, or there was none for so long.
    pub(super) fn wants_probe(&self, idle: Duration) -> bool {
        let mut inner = self.inner();
        match inner.circuit.state() {
            CircuitState::Closed => {
                !inner.circuit.is_well() || inner.last_call.unwrap_or(self.started).elapsed() > idle
            }
            CircuitState::Open => inner.circuit.begins_probe(self.started.elapsed()),
            CircuitState::HalfOpen => true,
        }
    }

    /// A probe is no work: it closes the circuit, and proves nothing of reading and writing.
    pub(super) fn probed(&self, answers: bool) {
        let mut inner = self.inner();
        inner.circuit.probed(answers, self.started.elapsed());
        if answers {
            inner.last_call = Some(Instant::now());
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held, and half a change would do no harm.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
