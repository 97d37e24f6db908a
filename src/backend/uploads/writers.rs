//! One writer for each upload: who holds it, and what its hash is so far.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
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
/// And whoever comes after it waits for so long: it may be hashing what a restart has made it forget.
const HOLD_TIMEOUT: Duration = Duration::from_secs(30);

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
    holder: Mutex<Holder>,
    /// Whose upload it is, once they have written to it.
    owner: OnceLock<UserId>,
}

/// What is known of the present holder from outside.
#[derive(Default)]
struct Holder {
    /// Tells it to go.
    displace: CancellationToken,
    takes_bytes: bool,
}

/// What is true of an upload after its holder was told to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Displacement {
    /// Nobody had it, or it may still add what it was in the middle of.
    MayStillAdd,
    /// It has not come to taking bytes, and will take none: the offset that is written down stands.
    BeforeFirstByte,
}

/// All uploads that this process has written to lately.
#[derive(Default)]
pub(crate) struct Writers(Mutex<HashMap<UploadId, Arc<Slot>>>);

/// The right to write to an upload, for as long as it lives.
pub(super) struct Writer {
    pub(super) running: OwnedMutexGuard<RunningHash>,
    /// Cancelled when somebody else needs the upload: the connection behind this writer is believed dead.
    pub(super) displaced: CancellationToken,
    slot: Arc<Slot>,
}

impl Writers {
    /// The right to write, if nobody has it.
    pub(super) fn try_hold(&self, id: UploadId) -> Option<Writer> {
        self.slot(id).try_hold()
    }

    /// The same for its owner, who is remembered; where whoever has it was told to go, once that one is gone.
    pub(super) async fn hold_as(&self, owner: UserId, id: UploadId) -> Option<Writer> {
        let slot = self.slot(id);
        slot.owner.get_or_init(|| owner);
        match slot.try_hold() {
            None if slot.holder().displace.is_cancelled() => slot.hold_after_displacement(HOLD_TIMEOUT).await,
            held => held,
        }
    }

    /// The same for whoever is remembered; for nobody else, who must not as much as keep the owner waiting.
    pub(super) fn try_hold_again(&self, owner: UserId, id: UploadId) -> Option<Writer> {
        let slot = self.slots().get(&id).cloned().filter(|slot| slot.owner.get() == Some(&owner))?;
        slot.try_hold()
    }

    /// The right to write; whoever has it is told to go.
    pub(super) async fn displace(&self, id: UploadId) -> Option<Writer> {
        let slot = self.slot(id);
        slot.request_displacement();
        slot.hold_after_displacement(DISPLACE_TIMEOUT).await
    }

    /// Waits for nobody.
    pub(super) fn request_displacement(&self, id: UploadId) -> Displacement {
        self.slot(id).request_displacement()
    }

    /// Once an upload is received or given up.
    pub(super) fn evict(&self, id: UploadId) {
        self.slots().remove(&id);
    }

    fn slot(&self, id: UploadId) -> Arc<Slot> {
        Arc::clone(self.slots().entry(id).or_default())
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<UploadId, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn try_hold(self: &Arc<Self>) -> Option<Writer> {
        // Whoever displaces comes before or after, never between the hold and what ends it.
        let mut holder = self.holder();
        let running = Arc::clone(&self.state).try_lock_owned().ok()?;
        Some(Writer::new(running, &mut holder, self))
    }

    async fn hold_after_displacement(self: &Arc<Self>, hold_timeout: Duration) -> Option<Writer> {
        let running = timeout(hold_timeout, Arc::clone(&self.state).lock_owned()).await.ok()?;
        Some(Writer::new(running, &mut self.holder(), self))
    }

    fn request_displacement(&self) -> Displacement {
        let holder = self.holder();
        holder.displace.cancel();
        let is_held = self.state.try_lock().is_err();
        if is_held && !holder.takes_bytes { Displacement::BeforeFirstByte } else { Displacement::MayStillAdd }
    }

    fn holder(&self) -> MutexGuard<'_, Holder> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn new(running: OwnedMutexGuard<RunningHash>, holder: &mut Holder, slot: &Arc<Slot>) -> Self {
        *holder = Holder::default();
        Self { running, displaced: holder.displace.clone(), slot: Arc::clone(slot) }
    }

    /// From here on the offset grows, unless it is displaced already.
    pub(super) fn takes_bytes(&self) {
        self.slot.holder().takes_bytes = true;
    }
}
