//! Connection slots: the limits for all connections and for each peer, and the choice of a connection to close when no
//! slot is free.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use vwaza::backend::limits::Client;

use crate::{client::ClientResolver, idle::IdleTracker};

/// A connection that has waited this long for its client may be closed if no slot is free.
const PREEMPT_AFTER: Duration = Duration::from_secs(5);
/// Slots for overflow connections. Each serves one request, so that health checks are answered and everybody else gets
/// 503.
pub(crate) const OVERFLOW_SLOTS: usize = 8;

/// The connection slots of the server. Connections beyond the limit are accepted, too: if they waited in the kernel's
/// queue, health checks would wait there with them.
pub(crate) struct ConnectionSlots {
    count: usize,
    /// Limit for one peer that is not a trusted proxy. `None`: no limit.
    per_peer: Option<usize>,
    client_resolver: Arc<ClientResolver>,
    table: Mutex<SlotTable>,
}

#[derive(Default)]
struct SlotTable {
    next: u64,
    connections: HashMap<u64, Connection>,
    by_peer: HashMap<Client, usize>,
    overflow: usize,
}

struct Connection {
    /// `None` if the connection counts for no peer.
    peer: Option<Client>,
    kind: SlotKind,
    idle: Arc<IdleTracker>,
    preempted: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotKind {
    Regular,
    /// For one request. Taken when all regular slots are in use.
    Overflow,
}

/// The reason why a connection gets no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSlot {
    /// This peer has reached its limit.
    PeerLimit,
    AllTaken,
}

/// The slot of one connection. Dropping it frees the slot.
pub(crate) struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    id: u64,
    pub(crate) kind: SlotKind,
    pub(crate) idle: Arc<IdleTracker>,
    /// Cancelled when the slot is given to another connection.
    pub(crate) preempted: CancellationToken,
}

impl ConnectionSlots {
    pub(crate) fn new(count: usize, per_peer: Option<usize>, client_resolver: Arc<ClientResolver>) -> Self {
        Self { count, per_peer, client_resolver, table: Mutex::default() }
    }

    /// Takes a slot for a new connection. If none is free, the connection that has waited longest for its client is
    /// closed; if the peer has reached its limit, one of the same peer.
    pub(crate) fn acquire(self: &Arc<Self>, peer: IpAddr) -> Result<ConnectionSlot, NoSlot> {
        let peer = (!self.client_resolver.is_trusted(peer)).then(|| Client::of_address(peer));
        let mut table = self.table();
        if let (Some(peer), Some(max)) = (&peer, self.per_peer)
            && table.by_peer.get(peer).is_some_and(|count| *count >= max)
            && !table.preempt_longest_waiting(PREEMPT_AFTER, |connection| connection.peer.as_ref() == Some(peer))
        {
            return Err(NoSlot::PeerLimit);
        }
        let kind = if table.connections.len() - table.overflow < self.count
            || table.preempt_longest_waiting(PREEMPT_AFTER, |connection| connection.kind == SlotKind::Regular)
        {
            SlotKind::Regular
        } else if table.overflow < OVERFLOW_SLOTS
            || table.preempt_longest_waiting(Duration::ZERO, |connection| connection.kind == SlotKind::Overflow)
        {
            SlotKind::Overflow
        } else {
            return Err(NoSlot::AllTaken);
        };
        Ok(table.add(self, peer, kind))
    }

    /// Closes the connection that has waited for its client for longest, if there is one.
    pub(crate) fn preempt_longest_waiting(&self) -> bool {
        self.table().preempt_longest_waiting(PREEMPT_AFTER, |_| true)
    }

    fn table(&self) -> MutexGuard<'_, SlotTable> {
        // Nothing panics while the lock is held.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotTable {
    fn add(&mut self, slots: &Arc<ConnectionSlots>, peer: Option<Client>, kind: SlotKind) -> ConnectionSlot {
        let (id, idle, preempted) = (self.next, Arc::new(IdleTracker::new()), CancellationToken::new());
        self.next += 1;
        if let Some(peer) = &peer {
            *self.by_peer.entry(peer.clone()).or_default() += 1;
        }
        self.overflow += usize::from(kind == SlotKind::Overflow);
        let connection = Connection { peer, kind, idle: Arc::clone(&idle), preempted: preempted.clone() };
        self.connections.insert(id, connection);
        ConnectionSlot { slots: Arc::clone(slots), id, kind, idle, preempted }
    }

    fn preempt_longest_waiting(&mut self, min_wait: Duration, is_candidate: impl Fn(&Connection) -> bool) -> bool {
        let candidates = self.connections.iter().filter(|(_, connection)| is_candidate(connection));
        let candidates = candidates.filter_map(|(id, connection)| Some((connection.idle.since()?, *id)));
        let Some((_, id)) = candidates.min().filter(|(since, _)| since.elapsed() >= min_wait) else { return false };
        if let Some(connection) = self.remove(id) {
            connection.preempted.cancel();
        }
        true
    }

    /// `None` if the connection was preempted before.
    fn remove(&mut self, id: u64) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        self.overflow -= usize::from(connection.kind == SlotKind::Overflow);
        if let Some(peer) = &connection.peer
            && let Entry::Occupied(mut count) = self.by_peer.entry(peer.clone())
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        Some(connection)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.table().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn slots(count: usize, per_peer: usize) -> Arc<ConnectionSlots> {
        let trusted = vec![PROXY.parse::<IpAddr>().unwrap().into()];
        let client_resolver = ClientResolver::new(Some(trusted), "0.0.0.0".parse().unwrap(), "https://music.example");
        Arc::new(ConnectionSlots::new(count, Some(per_peer), Arc::new(client_resolver)))
    }

    fn acquire(slots: &Arc<ConnectionSlots>, peer: &str) -> Result<ConnectionSlot, NoSlot> {
        slots.acquire(peer.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn one_peer_is_limited_and_a_trusted_proxy_is_not() {
        let slots = slots(100, 3);
        let mut held: Vec<ConnectionSlot> = (0..3).map(|_| acquire(&slots, "192.0.2.1").unwrap()).collect();
        assert_eq!(acquire(&slots, "192.0.2.1").err(), Some(NoSlot::PeerLimit));
        assert_eq!(
            acquire(&slots, "::ffff:192.0.2.1").err(),
            Some(NoSlot::PeerLimit),
            "the same peer, as a dual-stack socket writes it"
        );
        held.push(acquire(&slots, "192.0.2.2").unwrap());
        held.extend((0..20).map(|_| acquire(&slots, PROXY).unwrap()));
        drop(held.remove(0));
        held.push(acquire(&slots, "192.0.2.1").unwrap());
        // All addresses of a /64 network count as one peer.
        held.extend((1..=3).map(|host| acquire(&slots, &format!("2001:db8:1:2::{host}")).unwrap()));
        assert_eq!(acquire(&slots, "2001:db8:1:2::4").err(), Some(NoSlot::PeerLimit));
        drop(held);
        let table = slots.table();
        assert!(table.connections.is_empty() && table.by_peer.is_empty() && table.overflow == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_at_its_limit_loses_its_longest_waiting_connection() {
        let slots = slots(100, 2);
        let other = acquire(&slots, "192.0.2.9").unwrap();
        let first = acquire(&slots, "192.0.2.1").unwrap();
        advance(Duration::from_secs(1)).await;
        let second = acquire(&slots, "192.0.2.1").unwrap();
        assert_eq!(acquire(&slots, "192.0.2.1").err(), Some(NoSlot::PeerLimit), "no connection has waited long enough");
        advance(PREEMPT_AFTER).await;
        let third = acquire(&slots, "192.0.2.1").unwrap();
        assert!(first.preempted.is_cancelled() && !second.preempted.is_cancelled() && !other.preempted.is_cancelled());
        // The preempted connection no longer counts, and dropping it does not count it down again.
        drop(first);
        let serving = [second.idle.serve(), third.idle.serve()];
        advance(PREEMPT_AFTER).await;
        assert_eq!(acquire(&slots, "192.0.2.1").err(), Some(NoSlot::PeerLimit), "both connections are being served");
        drop(serving);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_served_stays_and_overflow_connections_are_served() {
        let slots = slots(2, 100);
        let held = [acquire(&slots, "192.0.2.1").unwrap(), acquire(&slots, PROXY).unwrap()];
        let serving = held.each_ref().map(|slot| slot.idle.serve());
        advance(PREEMPT_AFTER).await;
        let mut overflow: Vec<ConnectionSlot> =
            (0..OVERFLOW_SLOTS).map(|_| acquire(&slots, "192.0.2.2").unwrap()).collect();
        assert!(overflow.iter().all(|slot| slot.kind == SlotKind::Overflow));
        // An overflow connection that sends nothing gives way to the next one.
        let next = acquire(&slots, "192.0.2.3").unwrap();
        assert!(next.kind == SlotKind::Overflow && overflow.remove(0).preempted.is_cancelled());
        overflow.push(next);
        let asked: Vec<_> = overflow.iter().map(|slot| slot.idle.serve()).collect();
        assert_eq!(acquire(&slots, "192.0.2.3").err(), Some(NoSlot::AllTaken));
        drop((asked, overflow, serving));
        advance(PREEMPT_AFTER).await;
        assert_eq!(acquire(&slots, "192.0.2.3").unwrap().kind, SlotKind::Regular);
        assert!(held.iter().filter(|slot| slot.preempted.is_cancelled()).count() == 1);
    }
}
