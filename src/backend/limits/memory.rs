//! The sliding windows of one rule, in the memory of this process.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indexmap::IndexMap;

use super::Client;
use crate::domain::limits::{Decision, Quota, SlidingWindow};

/// The number of clients with a window of their own. 10,000 clients with 100 requests each take 10 MB.
const CLIENTS_MAX: usize = 10_000;
/// The number of clients that one eviction inspects. This bounds the cost of a new client's request when the table is
/// full.
const EVICTION_LOOKS: usize = 32;

pub(super) struct Windows {
    quota: Quota,
    began: Instant,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    windows: IndexMap<Client, SlidingWindow>,
    /// The index at which the next eviction starts to look.
    cursor: usize,
    /// The window shared by clients that find no room, because the table is full of clients that are being limited.
    shared: SlidingWindow,
}

impl Windows {
    pub(super) fn new(quota: Quota) -> Self {
        Self { quota, began: Instant::now(), table: Mutex::default() }
    }

    /// Counts a request of this client, unless its quota is used up.
    pub(super) fn admit(&self, client: &Client) -> Decision {
        let now = self.began.elapsed();
        self.table().window(client, self.quota, now).admit(self.quota, now)
    }

    /// Takes back this client's latest request.
    pub(super) fn take_back(&self, client: &Client) {
        if let Some(window) = self.table().windows.get_mut(client) {
            window.take_back();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No code panics while it holds this lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn window(&mut self, client: &Client, quota: Quota, now: Duration) -> &mut SlidingWindow {
        if self.windows.len() >= CLIENTS_MAX && !self.windows.contains_key(client) && !self.evict(quota, now) {
            return &mut self.shared;
        }
        self.windows.entry(client.clone()).or_default()
    }

    /// Makes room for one client; returns false if there is none. Evicts the inspected client that has most of its
    /// quota left. Never evicts a client that is being limited, because a flood of new addresses would then lift its
    /// limit.
    fn evict(&mut self, quota: Quota, now: Duration) -> bool {
        let clients = self.windows.len();
        let (mut found, mut most) = (None, 0);
        for look in 0..EVICTION_LOOKS {
            let at = (self.cursor + look) % clients;
            let remaining = self.windows[at].remaining(quota, now);
            if remaining > most {
                (found, most) = (Some(at), remaining);
            }
        }
        self.cursor = (self.cursor + EVICTION_LOOKS) % clients;
        found.and_then(|at| self.windows.swap_remove_index(at)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn client(number: u32) -> Client {
        Client::of_address(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_and_sets_nobody_free() {
        let windows = Windows::new(Quota { max: 2, window: Duration::from_secs(3600) });
        let limited = client(0);
        while windows.admit(&limited).is_admitted {}
        for number in 1..50_000 {
            assert!(windows.admit(&client(number)).is_admitted);
        }
        assert!(!windows.admit(&limited).is_admitted);
        assert_eq!(windows.table().windows.len(), CLIENTS_MAX);
    }

    #[test]
    fn clients_for_whom_there_is_no_room_share_one_window() {
        let windows = Windows::new(Quota { max: 1, window: Duration::from_secs(3600) });
        for number in 0..CLIENTS_MAX as u32 {
            assert!(windows.admit(&client(number)).is_admitted);
        }
        assert!(windows.admit(&client(1_000_000)).is_admitted);
        assert!(!windows.admit(&client(1_000_001)).is_admitted);
    }
}
