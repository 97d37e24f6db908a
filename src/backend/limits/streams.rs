//! Event streams that are open at once, by user and by client.

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
    open: Arc<Mutex<Open>>,
}

/// Only who has one open stands in here, and connections are bounded: so are these.
#[derive(Default)]
struct Open {
    users: HashMap<UserId, u32>,
    clients: HashMap<Client, u32>,
}

/// The right to one open stream, until it is dropped.
pub struct StreamSlot {
    user: UserId,
    client: Option<Client>,
    open: Arc<Mutex<Open>>,
}

impl Streams {
    pub(super) fn new(per_user: u32, per_client: u32) -> Self {
        Self { per_user, per_client, open: Arc::default() }
    }

    /// `client` is `None` for requests that are not limited.
    ///
    /// # Errors
    /// 429 when this user, or this client, has too many already.
    pub(super) fn open(&self, user: UserId, client: Option<Client>) -> Result<StreamSlot, Problem> {
        let mut open = lock(&self.open);
        let is_full = |count: Option<&u32>, max| count.is_some_and(|count| *count >= max);
        if is_full(open.users.get(&user), self.per_user)
            || client.as_ref().is_some_and(|client| is_full(open.clients.get(client), self.per_client))
        {
            return Err(Problem::TooMany("Too many of your pages are open. Close some of them.".into()));
        }
        *open.users.entry(user).or_default() += 1;
        if let Some(client) = &client {
            *open.clients.entry(client.clone()).or_default() += 1;
        }
        Ok(StreamSlot { user, client, open: Arc::clone(&self.open) })
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        leave(&mut open.users, &self.user);
        if let Some(client) = &self.client {
            leave(&mut open.clients, client);
        }
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

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    // Nothing panics while it is held.
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
        let home = Some(Client::of_address([192, 0, 2, 1].into()));
        let mut slots = vec![streams.open(ana, home.clone()).unwrap(), streams.open(ana, home.clone()).unwrap()];
        assert!(streams.open(ana, home.clone()).is_err());
        slots.push(streams.open(ben, home.clone()).unwrap());
        // The address is full, for whoever asks from there.
        assert!(streams.open(ben, home.clone()).is_err());
        slots.push(streams.open(ben, None).unwrap());
        drop(slots.remove(0));
        slots.push(streams.open(ana, home).unwrap());
        drop(slots);
        let open = lock(&streams.open);
        assert!(open.users.is_empty() && open.clients.is_empty());
    }
}
