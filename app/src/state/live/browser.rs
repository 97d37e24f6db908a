//! Listens to server-sent events and polls while they are out of reach.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use leptos::prelude::*;
use serde::Deserialize;
use vwaza::domain::ids::ReleaseId;
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{Event, EventSource, MessageEvent};

use super::signals::Live;
use crate::{error::ApiResult, state::session::Session};

const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Three heartbeats of the server. After that the connection is dead, even if the browser calls it open.
const STALE_AFTER_MS: f64 = 45_000.0;
/// Shortest wait before pages are notified, because changes of one release come in bursts.
const MIN_NOTIFY_DELAY_MS: f64 = 300.0;
/// Each notification makes the page fetch again: at most 30 times a minute, of the 100 requests that its address may
/// send.
const NOTIFY_INTERVAL_MS: f64 = 2000.0;

/// The data of a `release` event.
#[derive(Deserialize)]
struct Changed {
    release: ReleaseId,
}

thread_local! {
    static LAST_NOTIFY_MS: Cell<f64> = const { Cell::new(0.0) };
    static PAGE_IS_ALIVE: Cell<bool> = const { Cell::new(false) };
    /// Changes that wait to be passed on to the pages together.
    static UNSENT_CHANGES: RefCell<Vec<ReleaseId>> = const { RefCell::new(Vec::new()) };
}

/// Starts to listen. Call this once the whole page follows its signals, because nobody would notice an earlier change.
pub fn page_is_alive() {
    PAGE_IS_ALIVE.set(true);
    // The call cannot fail, because the name is fixed.
    let _ = web_sys::Event::new("alive").and_then(|alive| window().dispatch_event(&alive));
}

/// Does nothing, because only a page on the server waits for its resources.
pub fn await_first<T: Clone + Send + Sync + 'static>(_: Resource<ApiResult<T>>) {}

impl Live {
    fn changed(self, id: ReleaseId) {
        if UNSENT_CHANGES.with_borrow(Vec::is_empty) {
            set_timeout(move || self.notify_pages(), notify_delay());
        }
        UNSENT_CHANGES.with_borrow_mut(|unsent| {
            if !unsent.contains(&id) {
                unsent.push(id);
            }
        });
    }

    fn notify_pages(self) {
        let unsent = UNSENT_CHANGES.take();
        self.any.update(|changes| *changes += 1);
        for id in unsent {
            if let Some(release) = self.releases.with_value(|releases| releases.get(&id).cloned()) {
                release.update(|changes| *changes += 1);
            }
        }
    }

    fn invalidate_all(self) {
        self.any.update(|changes| *changes += 1);
        let releases: Vec<_> = self.releases.with_value(|releases| releases.values().cloned().collect());
        for release in releases {
            release.update(|changes| *changes += 1);
        }
    }
}

/// The time for which changes are collected from now on. The first one after a pause is passed on soon.
fn notify_delay() -> Duration {
    let now_ms = js_sys::Date::now();
    let wait_ms = (LAST_NOTIFY_MS.get() + NOTIFY_INTERVAL_MS - now_ms).clamp(MIN_NOTIFY_DELAY_MS, NOTIFY_INTERVAL_MS);
    LAST_NOTIFY_MS.set(now_ms + wait_ms);
    Duration::from_secs_f64(wait_ms / 1000.0)
}

/// Listens while somebody is signed in and sees the page. A hidden page does not listen, because each stream takes one
/// of the few connections that a browser has for all its tabs.
pub fn start(live: Live) {
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
    // Opening a stream fetches everything again. After a moment without a network, that is needed even if the old
    // stream survived, because pages could not fetch the changes that it reported.
    for event in ["alive", "visibilitychange", "online"] {
        window_event_listener_untyped(event, move |_| open_or_close());
    }
    let poll = move || {
        if !listens() || stream.with_value(|stream| stream.as_ref().is_some_and(Stream::is_open)) {
            return;
        }
        // A browser reconnects by itself, but gives up after an error response.
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
        // Changes between the page and the first event, or without a connection, were not reported.
        let on_open = Closure::<dyn Fn(Event)>::new(move |_| live.invalidate_all());
        let listeners = [
            ("release", &on_release),
            ("open", &on_open),
            // Each of these shows that the connection is alive.
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
