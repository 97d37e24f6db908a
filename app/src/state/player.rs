//! The one player, with its queue and its position. It survives a change of route. The bar at the bottom shows it.

use std::time::Duration;

use leptos::{html, prelude::*};
use vwaza::domain::{files::listening_url, ids::ObjectId};

/// Number of times that a broken source is requested again before the listener is told.
const RETRIES_MAX: u32 = 3;
const RETRY_DELAY: Duration = Duration::from_millis(800);
/// After this many seconds of a track, "previous" goes back to the track's start.
const RESTART_AFTER_SECONDS: f64 = 3.0;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayItem {
    pub object: ObjectId,
    pub title: String,
    pub subtitle: String,
    pub duration_ms: i64,
    /// MIME type of the file that is played.
    pub content_type: &'static str,
    pub cover: Option<ObjectId>,
}

/// The reason why nothing plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaybackError {
    /// The browser does not know the format.
    Unplayable,
    /// The source could not be fetched, even when asked for again.
    Unreachable,
}

/// The player. Its commands are for event handlers and effects, because the server has no audio element.
#[derive(Clone, Copy)]
pub struct Player {
    audio: NodeRef<html::Audio>,
    queue: RwSignal<Vec<PlayItem>>,
    index: RwSignal<usize>,
    playing: RwSignal<bool>,
    seconds: RwSignal<f64>,
    playback_error: RwSignal<Option<PlaybackError>>,
    retries: StoredValue<u32>,
    /// The position at which playback continues once a source that was requested again has loaded.
    resume_at_seconds: StoredValue<Option<f64>>,
}

pub fn provide() {
    provide_context(Player {
        audio: NodeRef::new(),
        queue: RwSignal::default(),
        index: RwSignal::default(),
        playing: RwSignal::default(),
        seconds: RwSignal::default(),
        playback_error: RwSignal::default(),
        retries: StoredValue::default(),
        resume_at_seconds: StoredValue::default(),
    });
}

// The state of the player, as signals.
impl Player {
    pub fn get() -> Self {
        expect_context()
    }

    pub fn current(self) -> Option<PlayItem> {
        self.queue.with(|queue| queue.get(self.index.get()).cloned())
    }

    pub fn is_current(self, object: ObjectId) -> bool {
        self.queue.with(|queue| queue.get(self.index.get()).is_some_and(|item| item.object == object))
    }

    pub fn playing(self) -> bool {
        self.playing.get()
    }

    pub fn elapsed_ms(self) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "a track has at most hours")]
        let milliseconds = (self.seconds.get() * 1000.0) as i64;
        milliseconds
    }

    /// The played fraction of the current track, in 0..=1. 0 without a track.
    pub fn position(self) -> f64 {
        match self.current() {
            Some(item) if item.duration_ms > 0 => (self.seconds.get() / seconds_of(&item)).clamp(0.0, 1.0),
            _ => 0.0,
        }
    }

    /// The played fraction of this object, in 0..=1. 0 if it is not the current one.
    pub fn position_of(self, object: ObjectId) -> f64 {
        if self.is_current(object) { self.position() } else { 0.0 }
    }

    pub fn has_next(self) -> bool {
        self.index.get() + 1 < self.queue.with(Vec::len)
    }

    pub fn playback_error(self) -> Option<PlaybackError> {
        self.playback_error.get()
    }
}

// Commands.
impl Player {
    /// Plays `queue` from `index`. If that track is the current one already, it continues from its position.
    pub fn play(self, queue: Vec<PlayItem>, index: usize) {
        let again = queue.get(index).is_some_and(|item| untrack(|| self.is_current(item.object)));
        self.queue.set(queue);
        self.index.set(index);
        if again {
            self.start();
        } else {
            self.load();
        }
    }

    pub fn toggle(self) {
        if self.playing.get_untracked() {
            self.pause();
        } else {
            self.start();
        }
    }

    pub fn pause(self) {
        if let Some(audio) = self.audio.get_untracked() {
            // `pause` fails only for an element that is no real audio element.
            let _ = audio.pause();
        }
    }

    /// Goes to a fraction of the current track, in 0..=1.
    pub fn seek_to(self, fraction: f64) {
        if let Some(item) = untrack(|| self.current()) {
            self.seek(fraction.clamp(0.0, 1.0) * seconds_of(&item));
        }
    }

    pub fn seek_by(self, seconds: f64) {
        if let Some(item) = untrack(|| self.current()) {
            self.seek((self.seconds.get_untracked() + seconds).clamp(0.0, seconds_of(&item)));
        }
    }

    pub fn next(self) {
        if untrack(|| self.has_next()) {
            self.index.update(|index| *index += 1);
            self.load();
        }
    }

    pub fn previous(self) {
        if self.seconds.get_untracked() > RESTART_AFTER_SECONDS || self.index.get_untracked() == 0 {
            self.seek(0.0);
        } else {
            self.index.update(|index| *index -= 1);
            self.load();
        }
    }

    /// Stops playback and empties the queue, which removes the player from the page.
    pub fn close(self) {
        self.pause();
        self.queue.set(Vec::new());
        self.playing.set(false);
        if let Some(audio) = self.audio.get_untracked() {
            // Removes the source without an error event.
            let _ = audio.remove_attribute("src");
            audio.load();
        }
    }

    fn load(self) {
        self.retries.set_value(0);
        self.resume_at_seconds.set_value(None);
        self.playback_error.set(None);
        self.seconds.set(0.0);
        self.set_source();
        if self.can_play_format() {
            self.start();
        } else {
            self.playback_error.set(Some(PlaybackError::Unplayable));
        }
    }

    fn set_source(self) {
        if let (Some(audio), Some(item)) = (self.audio.get_untracked(), untrack(|| self.current())) {
            audio.set_src(&listening_url(item.object));
        }
    }

    /// Whether the current track can be played. False only if the browser says that it cannot.
    fn can_play_format(self) -> bool {
        match (self.audio.get_untracked(), untrack(|| self.current())) {
            (Some(audio), Some(item)) => !audio.can_play_type(item.content_type).is_empty(),
            _ => true,
        }
    }

    fn start(self) {
        if self.playback_error.get_untracked().is_some() {
            // The listener has started a broken track again, so its source is requested again.
            self.retries.set_value(0);
            self.playback_error.set(None);
            self.resume_at_seconds.set_value(Some(self.seconds.get_untracked()));
            self.set_source();
        }
        #[cfg(feature = "hydrate")]
        if let Some(Ok(started)) = self.audio.get_untracked().map(|audio| audio.play()) {
            // The promise rejects if the source breaks or the next track is loaded first. The events `error` and
            // `pause` report both.
            leptos::task::spawn_local(async move { drop(js_sys::futures::JsFuture::from(started).await) });
        }
    }

    fn seek(self, seconds: f64) {
        self.seconds.set(seconds);
        if let Some(audio) = self.audio.get_untracked() {
            audio.set_current_time(seconds);
        }
    }
}

// The events of the audio element.
impl Player {
    pub(crate) fn audio(self) -> NodeRef<html::Audio> {
        self.audio
    }

    pub(crate) fn on_playing_change(self, playing: bool) {
        self.playing.set(playing);
    }

    pub(crate) fn on_time_update(self) {
        if let Some(audio) = self.audio.get_untracked()
            && self.resume_at_seconds.get_value().is_none()
        {
            self.seconds.set(audio.current_time());
            if !audio.paused() {
                self.retries.set_value(0);
            }
        }
    }

    pub(crate) fn on_loaded(self) {
        if let Some(seconds) = self.resume_at_seconds.get_value() {
            self.resume_at_seconds.set_value(None);
            self.seek(seconds);
        }
    }

    pub(crate) fn on_ended(self) {
        if untrack(|| self.has_next()) {
            self.next();
        } else {
            self.seek(0.0);
        }
    }

    /// Requests the source again and continues at the same second, because a signed address may have expired or the
    /// connection may have dropped.
    pub(crate) fn on_error(self) {
        let Some(item) = untrack(|| self.current()) else { return };
        if !self.can_play_format() {
            self.playback_error.set(Some(PlaybackError::Unplayable));
            self.playing.set(false);
            return;
        }
        let retries = self.retries.get_value();
        if retries >= RETRIES_MAX {
            self.playback_error.set(Some(PlaybackError::Unreachable));
            self.playing.set(false);
            return;
        }
        self.retries.set_value(retries + 1);
        let at_seconds = self.resume_at_seconds.get_value().unwrap_or_else(|| self.seconds.get_untracked());
        set_timeout(
            move || {
                if untrack(|| self.is_current(item.object)) {
                    self.resume_at_seconds.set_value(Some(at_seconds));
                    self.set_source();
                    self.start();
                }
            },
            RETRY_DELAY * (retries + 1),
        );
    }
}

fn seconds_of(item: &PlayItem) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a track are far below 2^52")]
    let milliseconds = item.duration_ms as f64;
    milliseconds / 1000.0
}
