//! The signals that tell pages of changes.

use std::collections::HashMap;

use leptos::prelude::*;
use vwaza::domain::ids::ReleaseId;

#[derive(Clone, Copy)]
pub struct Live {
    pub(super) any: RwSignal<u64>,
    pub(super) releases: StoredValue<HashMap<ReleaseId, ArcRwSignal<u64>>>,
}

impl Live {
    pub(super) fn new() -> Self {
        Self { any: RwSignal::default(), releases: StoredValue::default() }
    }

    pub fn get() -> Self {
        expect_context()
    }

    /// Grows whenever this release may have changed: a source for the resource that shows it.
    pub fn on_release(self, id: ReleaseId) -> Signal<u64> {
        let changes = self.releases.try_update_value(|releases| releases.entry(id).or_default().clone());
        changes.unwrap_or_default().into()
    }

    /// Grows whenever any release that the reader may see may have changed.
    pub fn any_release(self) -> Signal<u64> {
        self.any.into()
    }
}
