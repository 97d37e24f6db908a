//! A rate limit on the bytes of uploads, per client. The server reads the body of a client that is too fast more slowly
//! and never refuses it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::Client;

/// The number of clients that are counted one by one. When the table is full, clients that have earned all their bytes
/// are evicted.
const CLIENTS_MAX: usize = 10_000;
/// The share of the allowance that an idle client may send at once, as the time in which it is earned.
const BURST: Duration = Duration::from_secs(1);

pub(super) struct ByteRateLimit {
    bytes_per_second: f64,
    /// The time at which each client has earned all bytes that it has sent.
    earned_at: Mutex<HashMap<Client, Instant>>,
}

impl ByteRateLimit {
    pub(super) fn new(bytes_per_minute: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact to the byte")]
        let bytes_per_second = bytes_per_minute as f64 / 60.0;
        Self { bytes_per_second, earned_at: Mutex::default() }
    }

    /// Counts bytes that a client sent at `now`. Returns how long its next bytes have to wait.
    pub(super) fn take(&self, client: &Client, bytes: usize, now: Instant) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact to the byte")]
        let earned_in = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        // No code panics while it holds this lock.
        let mut earned_at = self.earned_at.lock().unwrap_or_else(PoisonError::into_inner);
        if earned_at.len() >= CLIENTS_MAX && !earned_at.contains_key(client) {
            earned_at.retain(|_, at| *at > now);
            if earned_at.len() >= CLIENTS_MAX {
                // The table is full of clients at their limit. Further clients get no burst, so each piece waits for
                // its full time.
                return earned_in;
            }
        }
        let at = earned_at.entry(client.clone()).or_insert(now);
        *at = (*at).max(now) + earned_in;
        at.saturating_duration_since(now + BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_held_to_its_rate_and_nobody_else_waits() {
        let pace = ByteRateLimit::new(60_000);
        let client = |last: u8| Client::of_address([192, 0, 2, last].into());
        let began = Instant::now();
        let (mut now, mut sent) = (began, 0);
        while sent < 20_000 {
            now += pace.take(&client(1), 500, now);
            sent += 500;
        }
        // The rate is 1000 bytes a second. The bytes of the first second may come at once.
        assert_eq!(now - began, Duration::from_secs(19));
        assert_eq!(pace.take(&client(2), 500, now), Duration::ZERO);
        // An idle client saves up at most one second's bytes.
        let later = now + Duration::from_secs(3600);
        assert_eq!(pace.take(&client(1), 2000, later), Duration::from_secs(1));
    }
}
