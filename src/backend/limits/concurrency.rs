//! A limit on the requests that run at once per client, with a short queue of requests that wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::Client;

/// The longest wait of a queued request.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(10);

pub(super) struct ConcurrencyLimit {
    running_max: usize,
    queued_max: usize,
    /// The permits of each client. Only clients with an admitted request have an entry, so the number of connections
    /// bounds the table.
    clients: Arc<Mutex<HashMap<Client, ClientPermits>>>,
}

#[derive(Clone)]
struct ClientPermits {
    /// One permit for each request that runs or waits.
    admitted: Arc<Semaphore>,
    /// One permit for each request that runs.
    under_way: Arc<Semaphore>,
}

/// The slot of one request. Dropping it frees the slot.
pub struct RequestSlot {
    client: Client,
    max: usize,
    clients: Arc<Mutex<HashMap<Client, ClientPermits>>>,
    admitted: Option<OwnedSemaphorePermit>,
    under_way: Option<OwnedSemaphorePermit>,
}

impl ConcurrencyLimit {
    pub(super) fn new(running_max: u32, queued_max: u32) -> Self {
        Self { running_max: running_max as usize, queued_max: queued_max as usize, clients: Arc::default() }
    }

    /// Waits for a slot. Returns `None` if the queue is full, or after [`QUEUE_WAIT_MAX`].
    pub(super) async fn begin(&self, client: Client) -> Option<RequestSlot> {
        let max = self.running_max + self.queued_max;
        let (admitted, under_way) = {
            let mut clients = lock(&self.clients);
            let permits = clients.entry(client.clone()).or_insert_with(|| ClientPermits {
                admitted: Arc::new(Semaphore::new(max)),
                under_way: Arc::new(Semaphore::new(self.running_max)),
            });
            (Arc::clone(&permits.admitted).try_acquire_owned().ok()?, Arc::clone(&permits.under_way))
        };
        // A client that disconnects drops this future, and with it the slot, so it leaves the queue.
        let mut slot =
            RequestSlot { client, max, clients: Arc::clone(&self.clients), admitted: Some(admitted), under_way: None };
        slot.under_way = Some(timeout(QUEUE_WAIT_MAX, under_way.acquire_owned()).await.ok()?.ok()?);
        Some(slot)
    }
}

impl Drop for RequestSlot {
    fn drop(&mut self) {
        self.under_way = None;
        let mut clients = lock(&self.clients);
        self.admitted = None;
        // The lock keeps other requests from being admitted in between.
        if clients.get(&self.client).is_some_and(|permits| permits.admitted.available_permits() == self.max) {
            clients.remove(&self.client);
        }
    }
}

fn lock(clients: &Mutex<HashMap<Client, ClientPermits>>) -> MutexGuard<'_, HashMap<Client, ClientPermits>> {
    // No code panics while it holds this lock.
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;
    use tokio::time::Instant;

    use super::*;

    fn client(last: u8) -> Client {
        Client::of_address([192, 0, 2, last].into())
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_run_at_once_and_so_many_wait() {
        let requests = ConcurrencyLimit::new(2, 1);
        let first = requests.begin(client(1)).await.unwrap();
        let _second = requests.begin(client(1)).await.unwrap();
        let mut third = pin!(requests.begin(client(1)));
        assert!(poll!(&mut third).is_pending());
        assert!(requests.begin(client(1)).await.is_none(), "the queue is full");
        let _other = requests.begin(client(2)).await.unwrap();
        drop(first);
        let _third = third.await.unwrap();
        assert!(lock(&requests.clients).len() == 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_does_not_move_is_left_and_so_is_one_whose_client_is_gone() {
        let requests = ConcurrencyLimit::new(1, 1);
        let first = requests.begin(client(1)).await.unwrap();
        let began = Instant::now();
        assert!(requests.begin(client(1)).await.is_none());
        assert_eq!(began.elapsed(), QUEUE_WAIT_MAX);
        {
            let mut gone = pin!(requests.begin(client(1)));
            assert!(poll!(&mut gone).is_pending());
        }
        let mut next = pin!(requests.begin(client(1)));
        assert!(poll!(&mut next).is_pending(), "the queue is empty again");
        drop(first);
        drop(next.await.unwrap());
        assert!(lock(&requests.clients).is_empty(), "no client is left in the table");
    }
}
