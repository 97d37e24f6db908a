//! Waiting for what comes by itself, without guessing how long it takes.

use std::time::{Duration, Instant};

use tokio::time::sleep;

/// Many times what anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// `./dev test --soak`: as many and as long as the promise says, instead of enough to see it hold.
pub(crate) fn soak() -> bool {
    std::env::var_os("VWAZA_SOAK").is_some()
}

/// Looks again and again until there is something to see.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_or_none(look).await.unwrap_or_else(|| panic!("waited in vain: {what}"))
}

/// The same, for whoever can tell better what was missing.
pub(crate) async fn eventually_or_none<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let patience = if soak() { PATIENCE * 5 } else { PATIENCE };
    let start = Instant::now();
    while start.elapsed() < patience {
        if let Some(seen) = look().await {
            return Some(seen);
        }
        sleep(LOOK_EVERY).await;
    }
    None
}
