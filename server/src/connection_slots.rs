//! ConnectionSlots for connections: how many there are for all and for one peer, and who gives way when none is left.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use vwaza::backend::limits::Client;

use crate::{client::Peers, waiting::Waiting};

/// A connection that has waited for its client for so long gives way where no place is left.
const GIVES_WAY_AFTER: Duration = Duration::from_secs(5);
/// Beyond the last place, for one request each, so that health checks are answered and everybody else is told.
pub(crate) const SPARE_PLACES: usize = 8;

/// ConnectionSlots of connections. Nobody waits in the kernel's queue until one is free, as health checks would wait there, too.
pub(crate) struct ConnectionSlots {
    count: usize,
    /// For one peer that is no trusted proxy; `None` where nobody is limited.
    per_peer: Option<usize>,
    peers: Arc<Peers>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    connections: HashMap<u64, Connection>,
    by_peer: HashMap<Client, usize>,
    spare: usize,
}

struct Connection {
    /// `None` for one that counts for nobody.
    peer: Option<Client>,
    kind: Kind,
    waiting: Arc<Waiting>,
    gives_way: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ordinary,
    /// Taken when all ordinary places are; for one request.
    Spare,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// This peer has as many as it may have.
    Peer,
    All,
}

/// A connection's, until it is dropped.
pub(crate) struct ConnectionSlot {
    places: Arc<ConnectionSlots>,
    id: u64,
    pub(crate) kind: Kind,
    pub(crate) waiting: Arc<Waiting>,
    /// Cancelled when somebody else needs it more.
    pub(crate) gives_way: CancellationToken,
}

impl ConnectionSlots {
    pub(crate) fn new(count: usize, per_peer: Option<usize>, peers: Arc<Peers>) -> Self {
        Self { count, per_peer, peers, taken: Mutex::default() }
    }

    /// A place for a new connection. Where none is left, the one gives way that has waited for its client for longest; of the same peer,
    /// where it is this peer that has too many.
    pub(crate) fn take(self: &Arc<Self>, peer: IpAddr) -> Result<ConnectionSlot, Full> {
        let peer = (!self.peers.is_trusted(peer)).then(|| Client::of_address(peer));
        let mut taken = self.taken();
        if let (Some(peer), Some(max)) = (&peer, self.per_peer)
            && taken.by_peer.get(peer).is_some_and(|count| *count >= max)
            && !taken.make_room(GIVES_WAY_AFTER, |connection| connection.peer.as_ref() == Some(peer))
        {
            return Err(Full::Peer);
        }
        let kind = if taken.connections.len() - taken.spare < self.count
            || taken.make_room(GIVES_WAY_AFTER, |connection| connection.kind == Kind::Ordinary)
        {
            Kind::Ordinary
        } else if taken.spare < SPARE_PLACES
            || taken.make_room(Duration::ZERO, |connection| connection.kind == Kind::Spare)
        {
            Kind::Spare
        } else {
            return Err(Full::All);
        };
        Ok(taken.add(self, peer, kind))
    }

    /// Closes the connection that has waited for its client for longest, if there is one.
    pub(crate) fn make_room(&self) -> bool {
        self.taken().make_room(GIVES_WAY_AFTER, |_| true)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing panics while it is held.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn add(&mut self, places: &Arc<ConnectionSlots>, peer: Option<Client>, kind: Kind) -> ConnectionSlot {
        let (id, waiting, gives_way) = (self.next, Arc::new(Waiting::new()), CancellationToken::new());
        self.next += 1;
        if let Some(peer) = &peer {
            *self.by_peer.entry(peer.clone()).or_default() += 1;
        }
        self.spare += usize::from(kind == Kind::Spare);
        let connection = Connection { peer, kind, waiting: Arc::clone(&waiting), gives_way: gives_way.clone() };
        self.connections.insert(id, connection);
        ConnectionSlot { places: Arc::clone(places), id, kind, waiting, gives_way }
    }

    fn make_room(&mut self, patience: Duration, may_go: impl Fn(&Connection) -> bool) -> bool {
        let waiting = self.connections.iter().filter(|(_, connection)| may_go(connection));
        let waiting = waiting.filter_map(|(id, connection)| Some((connection.waiting.since()?, *id)));
        let Some((_, id)) = waiting.min().filter(|(since, _)| since.elapsed() >= patience) else { return false };
        if let Some(connection) = self.remove(id) {
            connection.gives_way.cancel();
        }
        true
    }

    /// `None` for one that gave way before.
    fn remove(&mut self, id: u64) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        self.spare -= usize::from(connection.kind == Kind::Spare);
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
        self.places.taken().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn places(count: usize, per_peer: usize) -> Arc<ConnectionSlots> {
        let trusted = vec![PROXY.parse::<IpAddr>().unwrap().into()];
        let peers = Peers::new(Some(trusted), "0.0.0.0".parse().unwrap(), "https://music.example");
        Arc::new(ConnectionSlots::new(count, Some(per_peer), Arc::new(peers)))
    }

    fn take(places: &Arc<ConnectionSlots>, peer: &str) -> Result<ConnectionSlot, Full> {
        places.take(peer.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn one_peer_has_so_many_and_a_trusted_proxy_as_many_as_there_are() {
        let places = places(100, 3);
        let mut held: Vec<ConnectionSlot> = (0..3).map(|_| take(&places, "192.0.2.1").unwrap()).collect();
        assert_eq!(take(&places, "192.0.2.1").err(), Some(Full::Peer));
        assert_eq!(take(&places, "::ffff:192.0.2.1").err(), Some(Full::Peer), "as a dual-stack socket writes it");
        held.push(take(&places, "192.0.2.2").unwrap());
        held.extend((0..20).map(|_| take(&places, PROXY).unwrap()));
        drop(held.remove(0));
        held.push(take(&places, "192.0.2.1").unwrap());
        // A network of IPv6 is one peer.
        held.extend((1..=3).map(|host| take(&places, &format!("2001:db8:1:2::{host}")).unwrap()));
        assert_eq!(take(&places, "2001:db8:1:2::4").err(), Some(Full::Peer));
        drop(held);
        let taken = places.taken();
        assert!(taken.connections.is_empty() && taken.by_peer.is_empty() && taken.spare == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn where_a_peer_has_too_many_its_own_longest_wait_is_over() {
        let places = places(100, 2);
        let other = take(&places, "192.0.2.9").unwrap();
        let first = take(&places, "192.0.2.1").unwrap();
        advance(Duration::from_secs(1)).await;
        let second = take(&places, "192.0.2.1").unwrap();
        assert_eq!(take(&places, "192.0.2.1").err(), Some(Full::Peer), "nobody has waited for long");
        advance(GIVES_WAY_AFTER).await;
        let third = take(&places, "192.0.2.1").unwrap();
        assert!(first.gives_way.is_cancelled() && !second.gives_way.is_cancelled() && !other.gives_way.is_cancelled());
        // It counts no longer, and is not counted down twice.
        drop(first);
        let serving = [second.waiting.serve(), third.waiting.serve()];
        advance(GIVES_WAY_AFTER).await;
        assert_eq!(take(&places, "192.0.2.1").err(), Some(Full::Peer), "both are served");
        drop(serving);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_served_stays_and_whoever_comes_beyond_the_last_place_is_heard() {
        let places = places(2, 100);
        let held = [take(&places, "192.0.2.1").unwrap(), take(&places, PROXY).unwrap()];
        let serving = held.each_ref().map(|place| place.waiting.serve());
        advance(GIVES_WAY_AFTER).await;
        let mut spare: Vec<ConnectionSlot> = (0..SPARE_PLACES).map(|_| take(&places, "192.0.2.2").unwrap()).collect();
        assert!(spare.iter().all(|place| place.kind == Kind::Spare));
        // One that says nothing keeps nobody out.
        let next = take(&places, "192.0.2.3").unwrap();
        assert!(next.kind == Kind::Spare && spare.remove(0).gives_way.is_cancelled());
        spare.push(next);
        let asked: Vec<_> = spare.iter().map(|place| place.waiting.serve()).collect();
        assert_eq!(take(&places, "192.0.2.3").err(), Some(Full::All));
        drop((asked, spare, serving));
        advance(GIVES_WAY_AFTER).await;
        assert_eq!(take(&places, "192.0.2.3").unwrap().kind, Kind::Ordinary);
        assert!(held.iter().filter(|place| place.gives_way.is_cancelled()).count() == 1);
    }
}
