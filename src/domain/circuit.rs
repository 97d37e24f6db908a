//! A circuit breaker: after several failures in a row, no call goes through any more except a probe from time to time.

use std::time::Duration;

/// Failures in a row that open the circuit.
const FAILURES_MAX: u32 = 5;
/// The pause between opening and the first probe. Each probe that fails doubles it, up to [`PAUSE_MAX`].
const PAUSE_BASE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The states of a circuit.
///
/// ```text
/// CLOSED ─fifth failure in a row▶ OPEN ─pause over▶ HALF_OPEN ─probe succeeds▶ CLOSED
///                                  ▲                    └─probe fails, pause doubled─┐
///                                  └────────────────────────────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Every call goes through.
    Closed,
    /// No call goes through.
    Open,
    /// One probe is running. No other call goes through.
    HalfOpen,
}

/// A circuit. Its methods take the time as a duration since any fixed moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circuit(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration, probes: u32 },
    HalfOpen { probes: u32 },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Circuit {
    pub fn state(&self) -> CircuitState {
        match self.0 {
            State::Closed { .. } => CircuitState::Closed,
            State::Open { .. } => CircuitState::Open,
            State::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    /// Whether the circuit is closed and the last call didn't fail.
    pub fn is_well(&self) -> bool {
        self.0 == State::default()
    }

    /// Records a call that succeeded, or whose answer shows that the other side is reachable. A call that began before
    /// the circuit opened changes nothing: only a probe closes the circuit.
    pub fn succeeded(&mut self) {
        if matches!(self.0, State::Closed { .. }) {
            self.0 = State::default();
        }
    }

    /// Records a call that failed. The fifth failure in a row opens the circuit.
    pub fn failed(&mut self, now: Duration) {
        if let State::Closed { failures } = self.0 {
            self.0 = if failures + 1 < FAILURES_MAX {
                State::Closed { failures: failures + 1 }
            } else {
                State::Open { until: now + PAUSE_BASE, probes: 0 }
            };
        }
    }

    /// Records the result of a probe. In a closed circuit, a probe that succeeds doesn't reset the count of failures:
    /// the other side may answer probes and still fail every call.
    pub fn probed(&mut self, answers: bool, now: Duration) {
        match (self.0, answers) {
            (State::Closed { .. }, false) => self.failed(now),
            (State::HalfOpen { .. }, true) => self.0 = State::default(),
            (State::HalfOpen { probes }, false) => {
                let pause = (PAUSE_BASE * 2_u32.pow((probes + 1).min(10))).min(PAUSE_MAX);
                self.0 = State::Open { until: now + pause, probes: probes + 1 };
            }
            (State::Closed { .. }, true) | (State::Open { .. }, _) => {}
        }
    }

    /// Whether the pause is over. `true` goes to one caller only, who then has to probe and call [`Circuit::probed`].
    pub fn begins_probe(&mut self, now: Duration) -> bool {
        match self.0 {
            State::Open { until, probes } if now >= until => {
                self.0 = State::HalfOpen { probes };
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn opened_at(now: Duration) -> Circuit {
        let mut circuit = Circuit::default();
        for _ in 0..FAILURES_MAX {
            assert_eq!(circuit.state(), CircuitState::Closed);
            circuit.failed(now);
        }
        circuit
    }

    #[test]
    fn the_fifth_failure_in_a_row_opens_it() {
        let mut circuit = Circuit::default();
        for _ in 0..FAILURES_MAX - 1 {
            circuit.failed(seconds(0));
        }
        circuit.succeeded();
        assert!(circuit.is_well());
        assert_eq!(opened_at(seconds(0)).state(), CircuitState::Open);
    }

    #[test]
    fn one_probe_at_a_time_and_only_a_probe_closes_it() {
        let mut circuit = opened_at(seconds(10));
        assert!(!circuit.begins_probe(seconds(10)));
        circuit.succeeded();
        assert_eq!(circuit.state(), CircuitState::Open);
        assert!(circuit.begins_probe(seconds(11)));
        assert!(!circuit.begins_probe(seconds(11)));
        // Late answers to calls that began before the circuit opened.
        circuit.succeeded();
        circuit.failed(seconds(11));
        assert_eq!(circuit.state(), CircuitState::HalfOpen);
        circuit.probed(true, seconds(11));
        assert!(circuit.is_well());
    }

    #[test]
    fn a_probe_that_fails_waits_longer_for_the_next() {
        let mut circuit = opened_at(seconds(0));
        assert!(circuit.begins_probe(seconds(1)));
        circuit.probed(false, seconds(1));
        assert!(!circuit.begins_probe(seconds(2)));
        assert!(circuit.begins_probe(seconds(3)));
    }

    #[test]
    fn an_answer_to_a_probe_forgives_no_call_that_failed() {
        let mut circuit = Circuit::default();
        for _ in 0..FAILURES_MAX {
            circuit.probed(true, seconds(0));
            circuit.failed(seconds(0));
        }
        assert_eq!(circuit.state(), CircuitState::Open);
    }

    proptest! {
        /// After any sequence of calls, the circuit allows a probe within [`PAUSE_MAX`], and a probe that succeeds
        /// closes it.
        #[test]
        fn it_never_stays_open(calls in prop::collection::vec((any::<bool>(), any::<bool>(), 0u64..100), 0..200)) {
            let (mut circuit, mut now) = (Circuit::default(), seconds(0));
            for (succeeds, probes, passes) in calls {
                now += seconds(passes);
                match (probes && circuit.begins_probe(now), succeeds) {
                    (true, _) => circuit.probed(succeeds, now),
                    (false, true) => circuit.succeeded(),
                    (false, false) => circuit.failed(now),
                }
            }
            now += PAUSE_MAX;
            prop_assert!(circuit.state() != CircuitState::Open || circuit.begins_probe(now));
            circuit.probed(true, now);
            circuit.succeeded();
            prop_assert!(circuit.is_well());
        }
    }
}
