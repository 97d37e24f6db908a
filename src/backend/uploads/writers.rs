//! One writer for each upload: who holds it, and what its hash is so far.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::domain::ids::{UploadId, UserId};

/// A writer that is told to go has this long: it finishes the write that it is in.
const DISPLACE_TIMEOUT: Duration = Duration::from_secs(2);

/// The hash of the first `offset` bytes.
#[derive(Clone)]
pub(super) struct RunningHash {
    pub(super) offset: u64,
    pub(super) hash: Sha256,
}

impl Default for RunningHash {
    fn default() -> Self {
        Self { offset: 0, hash: Sha256::new() }
    }
}

#[derive(Default)]
struct Slot {
    /// What the holder may touch; holding it is being the writer.
    state: Arc<AsyncMutex<RunningHash>>,
    /// Tells the present holder to go.
    displace: Mutex<CancellationToken>,
    /// Whose upload it is, once they have written to it.
    owner: OnceLock<UserId>,
}

impl Slot {
    fn try_hold(&self) -> Option<Writer> {
        // Whoever displaces comes before or after, never between the hold and what ends it.
        let mut displace = self.displace.lock().unwrap_or_else(PoisonError::into_inner);
        let running = Arc::clone(&self.state).try_lock_owned().ok()?;
        Some(Writer::new(running, &mut displace))
    }
}

/// All uploads that this process has written to lately.
#[derive(Default)]
pub(crate) struct Writers(Mutex<HashMap<UploadId, Arc<Slot>>>);

/// The right to write to an upload, for as long as it lives.
pub(super) struct Writer {
    pub(super) running: OwnedMutexGuard<RunningHash>,
    /// Cancelled when somebody else needs the upload: the connection behind this writer is believed dead.
    pub(super) displaced: CancellationToken,
}

impl Writers {
    /// The right to write, if nobody has it.
    pub(super) fn try_hold(&self, id: UploadId) -> Option<Writer> {
        self.slot(id).try_hold()
    }

    /// The same for its owner, who is remembered.
    pub(super) fn try_hold_as(&self, owner: UserId, id: UploadId) -> Option<Writer> {
        let slot = self.slot(id);
        slot.owner.get_or_init(|| owner);
        slot.try_hold()
    }

    /// The same for whoever is remembered; for nobody else, who must not as much as keep the owner waiting.
    pub(super) fn try_hold_again(&self, owner: UserId, id: UploadId) -> Option<Writer> {
        let slot = self.slots().get(&id).cloned().filter(|slot| slot.owner.get() == Some(&owner))?;
        slot.try_hold()
    }

    /// The right to write; whoever has it is told to go.
    pub(super) async fn displace(&self, id: UploadId) -> Option<Writer> {
        let slot = self.slot(id);
        slot.displace.lock().unwrap_or_else(PoisonError::into_inner).cancel();
        let running = timeout(DISPLACE_TIMEOUT, Arc::clone(&slot.state).lock_owned()).await.ok()?;
        let mut displace = slot.displace.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Writer::new(running, &mut displace))
    }

    /// Once an upload is received or given up.
    pub(super) fn forget(&self, id: UploadId) {
        self.slots().remove(&id);
    }

    fn slot(&self, id: UploadId) -> Arc<Slot> {
        Arc::clone(self.slots().entry(id).or_default())
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<UploadId, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn new(running: OwnedMutexGuard<RunningHash>, displace: &mut CancellationToken) -> Self {
        let displaced = CancellationToken::new();
        *displace = displaced.clone();
        Self { running, displaced }
    }
}
