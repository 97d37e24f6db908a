//! What changed on the server, told by server-sent events; while those are broken, guessed every few seconds.

use std::collections::HashMap;

use leptos::prelude::*;
use vwaza::domain::ids::ReleaseId;

use crate::error::ApiResult;

#[derive(Clone, Copy)]
pub struct Live {
    any: RwSignal<u64>,
    releases: StoredValue<HashMap<ReleaseId, ArcRwSignal<u64>>>,
}

pub fn provide() {
    let live = Live { any: RwSignal::default(), releases: StoredValue::default() };
    provide_context(live);
    #[cfg(feature = "hydrate")]
    browser::follow(live);
}

impl Live {
    pub fn get() -> Self {
        expect_context()
    }

    /// Grows whenever this release has changed, or may have. To be a source of the resource that shows it.
    pub fn on_release(self, id: ReleaseId) -> Signal<u64> {
        let changes = self.releases.try_update_value(|releases| releases.entry(id).or_default().clone());
        changes.unwrap_or_default().into()
    }

    /// Grows whenever any release of the reader's has changed, or may have.
    pub fn any_release(self) -> Signal<u64> {
        self.any.into()
    }

    #[cfg(feature = "hydrate")]
    fn changed(self, id: ReleaseId) {
        self.any.update(|changes| *changes += 1);
        if let Some(release) = self.releases.with_value(|releases| releases.get(&id).cloned()) {
            release.update(|changes| *changes += 1);
        }
    }

    #[cfg(feature = "hydrate")]
    fn anything_may_have_changed(self) {
        self.any.update(|changes| *changes += 1);
        let releases: Vec<_> = self.releases.with_value(|releases| releases.values().cloned().collect());
        for release in releases {
            release.update(|changes| *changes += 1);
        }
    }
}

/// What a page shows of a resource that is fetched again and again: trouble on the way to the server does not wipe out what
/// is there. `subject` tells what the resource is about. Belongs inside the page's Transition.
pub fn steady<K, T>(
    subject: impl Fn() -> K + Send + Sync + 'static,
    resource: Resource<ApiResult<T>>,
) -> Signal<Option<ApiResult<T>>>
where
    K: Clone + PartialEq + Send + Sync + 'static,
    T: Clone + PartialEq + Send + Sync + 'static,
{
    type Seen<K, T> = (K, Option<ApiResult<T>>);
    // Read at once, so that the Transition waits for it from the start, whatever it shows first.
    #[cfg(feature = "ssr")]
    resource.with_untracked(|_| ());
    let seen: Memo<Seen<K, T>> = Memo::new(move |last: Option<&Seen<K, T>>| {
        let (subject, now) = (subject(), resource.get());
        let kept = last.filter(|(of, kept)| *of == subject && matches!(kept, Some(Ok(_))));
        match (now, kept) {
            (Some(Err(error)), Some((_, kept))) if error.status() >= 500 => (subject, kept.clone()),
            (now, _) => (subject, now),
        }
    });
    Signal::derive(move || seen.with(|(_, shown)| shown.clone()))
}

#[cfg(feature = "hydrate")]
mod browser {
    use std::time::Duration;

    use leptos::prelude::*;
    use serde::Deserialize;
    use wasm_bindgen::{JsCast, closure::Closure};
    use web_sys::{Event, EventSource, MessageEvent};

    use super::Live;
    use crate::state::session::Session;

    const BETWEEN_POLLS: Duration = Duration::from_secs(5);

    /// The data of a `release` event.
    #[derive(Deserialize)]
    struct Changed {
        release: vwaza::domain::ids::ReleaseId,
    }

    /// Listens while somebody is signed in.
    pub(super) fn follow(live: Live) {
        let session = Session::get();
        let signed_in = StoredValue::new(false);
        let stream = StoredValue::new_local(None::<Stream>);
        Effect::new(move || {
            let now = session.actor().is_some();
            if now != signed_in.get_value() {
                signed_in.set_value(now);
                stream.set_value(now.then(|| Stream::open(live)).flatten());
            }
        });
        let poll = move || {
            if !signed_in.get_value() || stream.with_value(|stream| stream.as_ref().is_some_and(Stream::is_open)) {
                return;
            }
            // A browser reconnects by itself, but gives up after an answer that is an error.
            if stream.with_value(|stream| stream.as_ref().is_none_or(Stream::has_given_up)) {
                stream.set_value(Stream::open(live));
            }
            if window().navigator().on_line() {
                live.anything_may_have_changed();
            }
        };
        set_interval(poll, BETWEEN_POLLS);
    }

    struct Stream {
        source: EventSource,
        _listeners: [Closure<dyn Fn(Event)>; 2],
    }

    impl Stream {
        fn open(live: Live) -> Option<Self> {
            let source = EventSource::new("/api/events").ok()?;
            let on_release = Closure::<dyn Fn(Event)>::new(move |event: Event| {
                let data = event.dyn_into::<MessageEvent>().ok().and_then(|message| message.data().as_string());
                match data.and_then(|data| serde_json::from_str::<Changed>(&data).ok()) {
                    Some(changed) => live.changed(changed.release),
                    None => live.anything_may_have_changed(),
                }
            });
            // What happened between the page and the first event, or while the line was down, was not told.
            let on_open = Closure::<dyn Fn(Event)>::new(move |_| live.anything_may_have_changed());
            for (name, listener) in [("release", &on_release), ("open", &on_open)] {
                source.add_event_listener_with_callback(name, listener.as_ref().unchecked_ref()).ok()?;
            }
            Some(Self { source, _listeners: [on_release, on_open] })
        }

        fn is_open(&self) -> bool {
            self.source.ready_state() == EventSource::OPEN
        }

        fn has_given_up(&self) -> bool {
            self.source.ready_state() == EventSource::CLOSED
        }
    }

    impl Drop for Stream {
        fn drop(&mut self) {
            self.source.close();
        }
    }
}
