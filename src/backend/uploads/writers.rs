//! Keeps one writer for each upload, and the hash of its bytes so far.

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

/// The time that a displaced writer has to finish the write that it is in.
const DISPLACE_TIMEOUT: Duration = Duration::from_secs(2);
/// The time for which the next writer waits for a displaced one, which may be hashing the file again after a restart.
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
    /// The state that only the writer may use. The holder of this lock is the writer.
    state: Arc<AsyncMutex<RunningHash>>,
    holder: Mutex<Holder>,
    /// The owner of the upload, once they have written to it.
    owner: OnceLock<UserId>,
}

/// What others can see of the present writer.
#[derive(Default)]
struct Holder {
    /// Tells the writer to stop.
    displace: CancellationToken,
    takes_bytes: bool,
}

/// The effect of telling the writer of an upload to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Displacement {
    /// There was no writer, or the writer may still add the bytes that it is in the middle of.
    MayStillAdd,
    /// The writer has not taken a byte yet and will take none, so the recorded offset stands.
    BeforeFirstByte,
}

/// The uploads that this process has written to lately.
#[derive(Default)]
pub(crate) struct Writers(Mutex<HashMap<UploadId, Arc<Slot>>>);

/// The right to write to an upload, until the value is dropped.
pub(super) struct Writer {
    pub(super) running: OwnedMutexGuard<RunningHash>,
    /// Cancelled when somebody else needs the upload: the connection behind this writer is believed dead.
    pub(super) displaced: CancellationToken,
    slot: Arc<Slot>,
}

impl Writers {
    /// Takes the right to write. `None` if somebody has it.
    pub(super) fn try_hold(&self, id: UploadId) -> Option<Writer> {
        self.slot(id).try_hold()
    }

    /// Takes the right to write for the upload's owner, who is remembered. If the present writer was told to stop,
    /// waits until it has stopped. `None` if somebody still has the right.
    pub(super) async fn hold_as(&self, owner: UserId, id: UploadId) -> Option<Writer> {
        let slot = self.slot(id);
        slot.owner.get_or_init(|| owner);
        match slot.try_hold() {
            None if slot.holder().displace.is_cancelled() => slot.hold_after_displacement(HOLD_TIMEOUT).await,
            held => held,
        }
    }

    /// Takes the right to write for an owner who is remembered. Anybody else gets `None`, without keeping the owner
    /// waiting.
    pub(super) fn try_hold_again(&self, owner: UserId, id: UploadId) -> Option<Writer> {
        let slot = self.slots().get(&id).cloned().filter(|slot| slot.owner.get() == Some(&owner))?;
        slot.try_hold()
    }

    /// Tells the present writer to stop, and takes the right to write. `None` if the writer does not stop in time.
    pub(super) async fn displace(&self, id: UploadId) -> Option<Writer> {
        let slot = self.slot(id);
        slot.request_displacement();
        slot.hold_after_displacement(DISPLACE_TIMEOUT).await
    }

    /// Tells the present writer to stop, and waits for nobody.
    pub(super) fn request_displacement(&self, id: UploadId) -> Displacement {
        self.slot(id).request_displacement()
    }

    /// Evicts an upload that is received or given up.
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
        // The lock on the holder keeps a displacement from coming between taking the state and replacing the token.
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

    /// Marks that the writer takes bytes and the offset grows. A writer that is displaced already takes none.
    pub(super) fn takes_bytes(&self) {
        self.slot.holder().takes_bytes = true;
    }
}
