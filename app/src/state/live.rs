//! What changed on the server, told by server-sent events; while those are broken, guessed every few seconds.

use std::collections::HashMap;

use leptos::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use vwaza::domain::ids::ReleaseId;

use crate::error::ApiResult;

#[derive(Clone, Copy)]
pub struct Live {
    any: RwSignal<u64>,
    releases: StoredValue<HashMap<ReleaseId, ArcRwSignal<u64>>>,
    /// Changes that were heard and are told in a moment, many as one.
    #[cfg(feature = "hydrate")]
    unsent_changes: StoredValue<Vec<ReleaseId>>,
}

pub fn provide() {
    let live = Live {
        any: RwSignal::default(),
        releases: StoredValue::default(),
        #[cfg(feature = "hydrate")]
        unsent_changes: StoredValue::default(),
    };
    provide_context(live);
    #[cfg(feature = "hydrate")]
    browser::start(live);
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
        if self.unsent_changes.with_value(Vec::is_empty) {
            set_timeout(move || self.notify_pages(), browser::notify_delay());
        }
        self.unsent_changes.update_value(|unsent_changes| {
            if !unsent_changes.contains(&id) {
                unsent_changes.push(id);
            }
        });
    }

    #[cfg(feature = "hydrate")]
    fn notify_pages(self) {
        let unsent_changes = self.unsent_changes.try_update_value(std::mem::take).unwrap_or_default();
        self.any.update(|changes| *changes += 1);
        for id in unsent_changes {
            if let Some(release) = self.releases.with_value(|releases| releases.get(&id).cloned()) {
                release.update(|changes| *changes += 1);
            }
        }
    }

    #[cfg(feature = "hydrate")]
    fn invalidate_all(self) {
        self.any.update(|changes| *changes += 1);
        let releases: Vec<_> = self.releases.with_value(|releases| releases.values().cloned().collect());
        for release in releases {
            release.update(|changes| *changes += 1);
        }
    }
}

/// Once all of the page follows what it is told: what is told before that, nobody hears.
#[cfg(feature = "hydrate")]
pub fn page_is_alive() {
    browser::PAGE_IS_ALIVE.set(true);
    // Cannot fail: the name is fixed.
    let _ = web_sys::Event::new("alive").and_then(|alive| window().dispatch_event(&alive));
}

/// Reads a resource at once, so that the page's Transition waits for it from the start, whatever it shows first.
pub fn await_first<T: Clone + Send + Sync + 'static>(resource: Resource<ApiResult<T>>) {
    #[cfg(feature = "ssr")]
    resource.with_untracked(|_| ());
    #[cfg(not(feature = "ssr"))]
    let _ = resource;
}

/// What a page shows of a resource that is fetched again and again: trouble on the way to the server, or a limit, does not wipe
/// out what is there, and the same is asked once more. `subject` tells what the resource is about. Belongs inside the page's Transition.
pub fn last_good<K, T>(
    subject: impl Fn() -> K + Send + Sync + 'static,
    resource: Resource<ApiResult<T>>,
) -> Signal<Option<ApiResult<T>>>
where
    K: Clone + PartialEq + Send + Sync + 'static,
    T: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    type Seen<K, T> = (K, Option<ApiResult<T>>);
    await_first(resource);
    let seen: Memo<Seen<K, T>> = Memo::new(move |last: Option<&Seen<K, T>>| {
        let (subject, now) = (subject(), resource.get());
        let kept = last.filter(|(of, kept)| *of == subject && matches!(kept, Some(Ok(_))));
        match (now, kept) {
            (Some(Err(error)), Some((_, kept))) if error.retry_delay().is_some() => (subject, kept.clone()),
            (now, _) => (subject, now),
        }
    });
    // What was asked about may be the last change for long.
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

#[cfg(feature = "hydrate")]
mod browser {
    use std::{cell::Cell, rc::Rc, time::Duration};

    use leptos::prelude::*;
    use serde::Deserialize;
    use wasm_bindgen::{JsCast, closure::Closure};
    use web_sys::{Event, EventSource, MessageEvent};

    use super::Live;
    use crate::state::session::Session;

    const POLL_INTERVAL: Duration = Duration::from_secs(5);
    /// Three heartbeats of the server: a line that is silent for longer is dead, whatever the browser thinks of it.
    const STALE_AFTER_MS: f64 = 45_000.0;
    /// What happens to one release happens in bursts.
    const MIN_NOTIFY_DELAY_MS: f64 = 300.0;
    /// Each telling makes the page ask the server again: at most 30 times a minute, of the 100 requests that its address may send.
    const NOTIFY_INTERVAL_MS: f64 = 2000.0;

    /// The data of a `release` event.
    #[derive(Deserialize)]
    struct Changed {
        release: vwaza::domain::ids::ReleaseId,
    }

    thread_local! {
        static LAST_NOTIFY_MS: Cell<f64> = const { Cell::new(0.0) };
        pub(super) static PAGE_IS_ALIVE: Cell<bool> = const { Cell::new(false) };
    }

    /// How long what was heard now is collected. The first change after a pause is told soon.
    pub(super) fn notify_delay() -> Duration {
        let now_ms = js_sys::Date::now();
        let wait_ms =
            (LAST_NOTIFY_MS.get() + NOTIFY_INTERVAL_MS - now_ms).clamp(MIN_NOTIFY_DELAY_MS, NOTIFY_INTERVAL_MS);
        LAST_NOTIFY_MS.set(now_ms + wait_ms);
        Duration::from_secs_f64(wait_ms / 1000.0)
    }

    /// Listens while somebody is signed in and looks: a stream keeps one of the few lines that a browser has for all its tabs.
    pub(super) fn start(live: Live) {
        let session = Session::get();
        let signed_in = StoredValue::new(false);
        let stream = StoredValue::new_local(None::<Stream>);
        let listens = move || signed_in.get_value() && PAGE_IS_ALIVE.get() && !document().hidden();
        let open_or_close = move || stream.set_value(listens().then(|| Stream::open(live)).flatten());
        Effect::new(move || {
            let now = session.actor().is_some();
            if now != signed_in.get_value() {
                signed_in.set_value(now);
                open_or_close();
            }
        });
        // Opening tells of all that may have changed meanwhile. A stream that outlasts a moment without a network told of changes that
        // nobody could ask about.
        for event in ["alive", "visibilitychange", "online"] {
            window_event_listener_untyped(event, move |_| open_or_close());
        }
        let poll = move || {
            if !listens() || stream.with_value(|stream| stream.as_ref().is_some_and(Stream::is_open)) {
                return;
            }
            // A browser reconnects by itself, but gives up after an answer that is an error.
            if stream.with_value(|stream| stream.as_ref().is_none_or(Stream::has_given_up)) {
                stream.set_value(Stream::open(live));
            }
            if window().navigator().on_line() {
                live.invalidate_all();
            }
        };
        set_interval(poll, POLL_INTERVAL);
    }

    struct Stream {
        source: EventSource,
        last_event_ms: Rc<Cell<f64>>,
        _listeners: [Closure<dyn Fn(Event)>; 3],
    }

    impl Stream {
        fn open(live: Live) -> Option<Self> {
            let source = EventSource::new("/api/events").ok()?;
            let last_event_ms = Rc::new(Cell::new(js_sys::Date::now()));
            let on_beat = Closure::<dyn Fn(Event)>::new({
                let last_event_ms = last_event_ms.clone();
                move |_| last_event_ms.set(js_sys::Date::now())
            });
            let on_release = Closure::<dyn Fn(Event)>::new(move |event: Event| {
                let data = event.dyn_into::<MessageEvent>().ok().and_then(|message| message.data().as_string());
                match data.and_then(|data| serde_json::from_str::<Changed>(&data).ok()) {
                    Some(changed) => live.changed(changed.release),
                    None => live.invalidate_all(),
                }
            });
            // What happened between the page and the first event, or while the line was down, was not told.
            let on_open = Closure::<dyn Fn(Event)>::new(move |_| live.invalidate_all());
            let listeners = [
                ("release", &on_release),
                ("open", &on_open),
                // Each of them says that the line stands.
                ("release", &on_beat),
                ("open", &on_beat),
                ("beat", &on_beat),
            ];
            for (name, listener) in listeners {
                source.add_event_listener_with_callback(name, listener.as_ref().unchecked_ref()).ok()?;
            }
            Some(Self { source, last_event_ms, _listeners: [on_release, on_open, on_beat] })
        }

        fn is_open(&self) -> bool {
            self.source.ready_state() == EventSource::OPEN && !self.is_stale()
        }

        fn has_given_up(&self) -> bool {
            self.source.ready_state() == EventSource::CLOSED || self.is_stale()
        }

        fn is_stale(&self) -> bool {
            js_sys::Date::now() - self.last_event_ms.get() > STALE_AFTER_MS
        }
    }

    impl Drop for Stream {
        fn drop(&mut self) {
            self.source.close();
        }
    }
}
