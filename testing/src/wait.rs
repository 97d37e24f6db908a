//! Waits for conditions in tests, with a timeout that a healthy machine never reaches. Tests wait in no other way.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

/// How long a condition may take. This is more than five times the longest deadline that a test waits for (10 s), and
/// many times what anything else takes on a busy machine.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How many times the promised time a test allows, because other processes may use the machine too. `./dev bench`
/// measures deadlines exactly.
const SLACK: u32 = 5;

/// Whether this is a soak test (`./dev test --soak`). A soak test runs at the full size that the promise names, instead
/// of a size just large enough to test it.
pub fn is_soak() -> bool {
    std::env::var_os("VWAZA_SOAK").is_some()
}

fn wait_timeout() -> Duration {
    if is_soak() { WAIT_TIMEOUT * 5 } else { WAIT_TIMEOUT }
}

/// Calls `look` repeatedly until it returns `Some`.
///
/// # Panics
/// When `look` still returns `None` after a minute (five minutes in a soak test).
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_or_none(look).await.unwrap_or_else(|| panic!("waited in vain: {what}"))
}

/// Like [`eventually`], but returns `None` after the timeout, for callers with a better message.
pub async fn eventually_or_none<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < wait_timeout() {
        if let Some(seen) = look().await {
            return Some(seen);
        }
        sleep(POLL_INTERVAL).await;
    }
    None
}

/// Waits for a future to complete.
///
/// # Panics
/// When it doesn't complete within a minute (five minutes in a soak test).
pub async fn ends<T>(what: &str, task: impl Future<Output = T>) -> T {
    timeout(wait_timeout(), task).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Fails the test if more than five times the promised time has passed since `began`.
///
/// # Panics
/// When more time has passed.
#[track_caller]
pub fn assert_in_time(began: Instant, promised: Duration) {
    let took = began.elapsed();
    assert!(took < promised * SLACK, "promised within {promised:?}, it took {took:?}");
}
