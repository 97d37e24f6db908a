//! Backtraces for the log.

use std::{
    backtrace::Backtrace,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Backtraces in one second. Each takes milliseconds, so an outage that fails every request must not cost one each.
const PER_SECOND_MAX: u32 = 10;

/// Returns the backtrace of the present call. Beyond ten in one second, returns a sentence that says so.
pub fn backtrace() -> String {
    static RECENT: Mutex<Option<(Instant, u32)>> = Mutex::new(None);
    let is_allowed = {
        let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) =
            recent.filter(|(since, _)| since.elapsed() < Duration::from_secs(1)).unwrap_or((Instant::now(), 0));
        *recent = Some((since, count.saturating_add(1)));
        count < PER_SECOND_MAX
    };
    if is_allowed { Backtrace::force_capture().to_string() } else { "left out: there were ten in this second".into() }
}
