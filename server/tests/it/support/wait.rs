//! Waiting for what comes by itself, without guessing how long it takes.

use std::time::{Duration, Instant};

use tokio::time::sleep;

/// Many times what anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Looks again and again until there is something to see.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        sleep(LOOK_EVERY).await;
    }
}
