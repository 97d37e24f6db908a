//! Tells pages that something may have changed on the server: after a server-sent event, or every few seconds without a
//! connection.

#[cfg(feature = "hydrate")]
mod browser;
#[cfg(not(feature = "hydrate"))]
mod server;
mod signals;

use std::time::Duration;

use leptos::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

#[cfg(feature = "hydrate")]
use self::browser as platform;
#[cfg(not(feature = "hydrate"))]
use self::server as platform;
use crate::error::ApiResult;

#[cfg(feature = "hydrate")]
pub use self::browser::page_is_alive;
pub use self::{platform::await_first, signals::Live};

pub fn provide() {
    let live = Live::new();
    provide_context(live);
    platform::start(live);
}

/// A source for a resource that changes without an event: grows each `interval` in a browser.
pub fn poll_ticks(interval: Duration) -> RwSignal<u64> {
    let poll_ticks = RwSignal::new(0_u64);
    Effect::new(move || {
        if let Ok(interval) =
            set_interval_with_handle(move || poll_ticks.update(|poll_ticks| *poll_ticks += 1), interval)
        {
            on_cleanup(move || interval.clear());
        }
    });
    poll_ticks
}

/// The value of a resource that is fetched repeatedly. After trouble on the way to the server, or a rate limit, the
/// last good value of the same `subject` stays and the resource is fetched again. Call this inside the page's
/// Transition.
pub fn last_good<K, T>(
    subject: impl Fn() -> K + Send + Sync + 'static,
    resource: Resource<ApiResult<T>>,
) -> Signal<Option<ApiResult<T>>>
where
    K: Clone + PartialEq + Send + Sync + 'static,
    T: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    type Seen<K, T> = (K, Option<ApiResult<T>>);
    let seen: Memo<Seen<K, T>> = Memo::new(move |last: Option<&Seen<K, T>>| {
        let (subject, now) = (subject(), resource.get());
        let kept = last.filter(|(of, kept)| *of == subject && matches!(kept, Some(Ok(_))));
        match (now, kept) {
            (Some(Err(error)), Some((_, kept))) if error.retry_delay().is_some() => (subject, kept.clone()),
            (now, _) => (subject, now),
        }
    });
    // A failed fetch is repeated, because its change may be the last one in a long time.
    Effect::new(move || {
        let failed = resource.get().and_then(Result::err).and_then(|error| error.retry_delay());
        let is_kept = seen.with_untracked(|(_, shown)| matches!(shown, Some(Ok(_))));
        if let Some(after) = failed.filter(|_| is_kept) {
            let again = set_timeout_with_handle(move || resource.refetch(), after);
            on_cleanup(move || again.into_iter().for_each(|again| again.clear()));
        }
    });
    Signal::derive(move || seen.with(|(_, shown)| shown.clone()))
}
