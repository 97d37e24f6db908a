//! A limit on the event streams that are open at once, per user and per client.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Client;
use crate::domain::{ids::UserId, problem::Problem};

pub(super) struct Streams {
    per_user: u32,
    per_client: u32,
    open: Arc<Mutex<OpenStreams>>,
}

/// The open streams of each user and each client. Only those with an open stream have an entry, so the number of
/// connections bounds the tables.
#[derive(Default)]
struct OpenStreams {
    users: HashMap<UserId, u32>,
    clients: HashMap<Client, u32>,
}

/// The slot of one open stream. Dropping it frees the slot.
pub struct StreamSlot {
    user: UserId,
    client: Client,
    open: Arc<Mutex<OpenStreams>>,
}

impl Streams {
    pub(super) fn new(per_user: u32, per_client: u32) -> Self {
        Self { per_user, per_client, open: Arc::default() }
    }

    /// Takes a slot.
    ///
    /// # Errors
    /// `TooMany` when this user or this client has too many open streams.
    pub(super) fn open(&self, user: UserId, client: Client) -> Result<StreamSlot, Problem> {
        let mut open = lock(&self.open);
        let is_full = |count: Option<&u32>, max| count.is_some_and(|count| *count >= max);
        if is_full(open.users.get(&user), self.per_user) || is_full(open.clients.get(&client), self.per_client) {
            metrics::counter!("vwaza_rate_limited_total", "rule" => "event-streams").increment(1);
            return Err(Problem::TooMany("You have too many pages open. Close some of them.".into()));
        }
        *open.users.entry(user).or_default() += 1;
        *open.clients.entry(client.clone()).or_default() += 1;
        Ok(StreamSlot { user, client, open: Arc::clone(&self.open) })
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        leave(&mut open.users, &self.user);
        leave(&mut open.clients, &self.client);
    }
}

fn leave<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn lock(open: &Mutex<OpenStreams>) -> MutexGuard<'_, OpenStreams> {
    // No code panics while it holds this lock.
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_stream_that_ends_makes_room_for_another() {
        let streams = Streams::new(2, 3);
        let (ana, ben) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let [home, elsewhere] = [1, 2].map(|last| Client::of_address([192, 0, 2, last].into()));
        let mut slots = vec![streams.open(ana, home.clone()).unwrap(), streams.open(ana, home.clone()).unwrap()];
        assert!(streams.open(ana, home.clone()).is_err());
        slots.push(streams.open(ben, home.clone()).unwrap());
        // The address has no slot left for any user.
        assert!(streams.open(ben, home.clone()).is_err());
        slots.push(streams.open(ben, elsewhere).unwrap());
        drop(slots.remove(0));
        slots.push(streams.open(ana, home).unwrap());
        drop(slots);
        let open = lock(&streams.open);
        assert!(open.users.is_empty() && open.clients.is_empty());
    }
}
