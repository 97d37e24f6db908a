//! The one way to wait in tests: for a condition, with patience that no healthy machine exhausts.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

/// How long a condition may take: fivefold the longest deadline that a test waits for (10 s), and many times what anything else takes
/// on a busy machine.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// `./dev bench` measures deadlines exactly. Tests, on machines that do other things as well, allow this many times as long.
const SLACK: u32 = 5;

/// `./dev test --soak`: as many and as long as the promise says, instead of enough to see it hold.
pub fn is_soak() -> bool {
    std::env::var_os("VWAZA_SOAK").is_some()
}

fn wait_timeout() -> Duration {
    if is_soak() { WAIT_TIMEOUT * 5 } else { WAIT_TIMEOUT }
}

/// Looks again and again until there is something to see.
///
/// # Panics
/// When there is nothing to see in a minute (in five, in a soak).
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_or_none(look).await.unwrap_or_else(|| panic!("waited in vain: {what}"))
}

/// The same for callers that can tell better what was missing.
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

/// Waits for something that ends by itself.
///
/// # Panics
/// When it does not end in a minute (in five, in a soak).
pub async fn ends<T>(what: &str, task: impl Future<Output = T>) -> T {
    timeout(wait_timeout(), task).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Fails the test if more than five times the promised time has passed since `began`.
///
/// # Panics
/// When it has.
#[track_caller]
pub fn assert_in_time(began: Instant, promised: Duration) {
    let took = began.elapsed();
    assert!(took < promised * SLACK, "promised within {promised:?}, it took {took:?}");
}
