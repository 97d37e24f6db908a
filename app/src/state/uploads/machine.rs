//! What an upload does next after each answer, how fast it is, and how that is said. Pure: the browser is in [`super::send`].

use std::cmp::Ordering;

use vwaza::domain::{
    media::format_bytes,
    upload::{CHUNK_BYTES, UploadState, UploadStatus},
};

/// Longest pause before another try, in milliseconds.
const MAX_BACKOFF_MS: i32 = 60_000;
/// Bytes. Chunks get no smaller: a proxy that takes less at once (nginx takes 1 MiB unless told otherwise) takes no uploads.
const MIN_CHUNK_BYTES: u64 = CHUNK_BYTES / 32;
/// Over this long the speed is averaged, in milliseconds: steady enough to read, quick enough to believe.
const SPEED_WINDOW_MS: f64 = 5_000.0;
/// Progress events closer to each other than this, in milliseconds, are not worth a change on the page.
const MIN_SAMPLE_MS: f64 = 250.0;

/// How one upload is doing.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskState {
    /// Behind others.
    Queued,
    Sending(Progress),
    Paused(Progress),
    /// The line or the server failed, perhaps with a sentence; it goes on by itself.
    Waiting(Progress, Option<String>),
    /// The session is over; it goes on after signing in. Without progress once all bytes are with us.
    SignedOut(Option<Progress>),
    /// All bytes are with us.
    Storing,
    Done,
    /// Not a cover or a track, or not possible here: the same file will not do.
    Refused(String),
    /// Trying again may help.
    Failed(String),
}

impl TaskState {
    /// There are bytes that only this tab has.
    pub fn has_unsent_bytes(&self) -> bool {
        matches!(self, Self::Queued | Self::Sending(_) | Self::Paused(_) | Self::Waiting(..) | Self::SignedOut(Some(_)))
    }

    /// What becomes of its bytes is not in this tab's hands any more.
    pub fn is_received(&self) -> bool {
        matches!(self, Self::Storing | Self::SignedOut(None))
    }

    pub fn has_error(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Failed(_))
    }

    pub fn can_pause(&self) -> bool {
        matches!(self, Self::Queued | Self::Sending(_) | Self::Waiting(..))
    }

    pub fn can_resume(&self) -> bool {
        matches!(self, Self::Paused(_) | Self::SignedOut(Some(_)) | Self::Failed(_))
    }

    /// For the progress bar; `None` where there is nothing to measure.
    pub fn progress(&self) -> Option<Progress> {
        match self {
            Self::Sending(progress) | Self::Paused(progress) | Self::Waiting(progress, _) => Some(*progress),
            Self::SignedOut(progress) => *progress,
            _ => None,
        }
    }

    /// The state in words, with figures where there are some.
    pub fn sentence(&self) -> String {
        match self {
            Self::Queued => "Waiting for its turn".into(),
            Self::Sending(progress) => progress.sentence(),
            Self::Paused(progress) => format!("Paused at {}", progress.amount()),
            Self::Waiting(progress, None) => {
                format!("The connection broke at {}. The upload continues by itself.", progress.amount())
            }
            Self::Waiting(_, Some(why)) => format!("{why} The upload continues by itself."),
            Self::SignedOut(_) => "Sign in again; your upload is safe".into(),
            Self::Storing => "Safe with us; storing".into(),
            Self::Done => "Uploaded".into(),
            Self::Refused(message) | Self::Failed(message) => message.clone(),
        }
    }

    /// As `sentence`, without the figures: what a screen reader hears, once for each change.
    pub fn announcement(&self) -> String {
        match self {
            Self::Queued => "waiting for its turn".into(),
            Self::Sending(_) => "uploading".into(),
            Self::Paused(_) => "paused".into(),
            Self::Waiting(..) => "the connection broke; the upload continues by itself".into(),
            Self::SignedOut(_) => "sign in again; your upload is safe".into(),
            Self::Storing => "safe with us; storing".into(),
            Self::Done => "uploaded".into(),
            Self::Refused(message) | Self::Failed(message) => message.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Bytes.
    pub sent: u64,
    /// Bytes.
    pub total: u64,
    /// Not known in the first moments.
    pub bytes_per_second: Option<f64>,
}

impl Progress {
    /// `None` while the speed is not known.
    #[expect(clippy::cast_precision_loss, reason = "sizes of files are far below 2^52 bytes")]
    pub fn seconds_left(&self) -> Option<f64> {
        let speed = self.bytes_per_second.filter(|speed| *speed >= 1.0)?;
        Some(self.total.saturating_sub(self.sent) as f64 / speed)
    }

    /// "41 of 212 MB".
    pub fn amount(&self) -> String {
        let (sent, total) = (format_bytes(self.sent), format_bytes(self.total));
        match (sent.split_once(' '), total.split_once(' ')) {
            (Some((number, unit)), Some((_, other))) if unit == other => format!("{number} of {total}"),
            _ => format!("{sent} of {total}"),
        }
    }

    /// "41 of 212 MB · 3.2 MB/s · 2 min left".
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a speed is a positive number of bytes"
    )]
    pub fn sentence(&self) -> String {
        let mut parts = vec![self.amount()];
        if let Some(speed) = self.bytes_per_second {
            parts.push(format!("{}/s", format_bytes(speed as u64)));
        }
        if let Some(left) = self.seconds_left() {
            parts.push(time_left(left));
        }
        parts.join(" · ")
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded and positive")]
fn time_left(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 360_000.0).ceil() as u64;
    match seconds {
        0..=9 => "a few seconds left".into(),
        10..=59 => format!("{} s left", seconds.div_ceil(10) * 10),
        60..=3599 => format!("{} min left", seconds.div_ceil(60)),
        _ => format!("{} h {} min left", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The speed of an upload, averaged over the last seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpeedMeter {
    last: Option<(f64, u64)>,
    bytes_per_second: Option<f64>,
}

impl SpeedMeter {
    /// Takes note of how much is sent at a time in milliseconds; false where the last note is too fresh for another.
    #[expect(clippy::cast_precision_loss, reason = "sizes of files are far below 2^52 bytes")]
    pub fn record(&mut self, now_ms: f64, sent: u64) -> bool {
        let Some((last_ms, last_sent)) = self.last else {
            self.last = Some((now_ms, sent));
            return true;
        };
        let elapsed = now_ms - last_ms;
        if sent < last_sent || elapsed < 0.0 {
            // The server had less than we thought.
            self.last = Some((now_ms, sent));
            return true;
        }
        if elapsed < MIN_SAMPLE_MS {
            return false;
        }
        let current = (sent - last_sent) as f64 * 1000.0 / elapsed;
        let weight = 1.0 - (-elapsed / SPEED_WINDOW_MS).exp();
        self.bytes_per_second = Some(match self.bytes_per_second {
            Some(average) => average + weight * (current - average),
            None => current,
        });
        self.last = Some((now_ms, sent));
        true
    }

    /// After a pause: what was measured before it stays, what passed during it does not count.
    pub fn interrupt(&mut self) {
        self.last = None;
    }

    pub fn bytes_per_second(&self) -> Option<f64> {
        self.bytes_per_second
    }
}

/// An answer to a PATCH or a HEAD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// 0 where there was none.
    pub status: u16,
    /// Vwaza gave it, and not a proxy in front of it.
    pub is_ours: bool,
    /// From `Upload-Offset`: the bytes that the server has.
    pub offset: Option<u64>,
    /// From the body of a refusal.
    pub message: Option<String>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send the bytes from this offset on.
    Send {
        offset: u64,
    },
    /// A proxy takes no such large chunks: send smaller ones.
    SendLess,
    /// All bytes are there: hear what becomes of them.
    Complete,
    /// Learn the server's offset, then go on. `why` is the server's sentence, if it had one.
    Ask {
        pause: Backoff,
        why: Option<String>,
    },
    /// The upload is gone: begin another one for the same target.
    BeginAgain,
    /// Wait for a session, then go on.
    SignIn,
    Done,
    Refuse(String),
    Fail(String),
    /// It is the server's now, whose release tells what becomes of it.
    Dismiss,
}

/// How long to wait before the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    None,
    /// Longer after each failure.
    Exponential,
}

/// After the answer to a PATCH or a HEAD of an upload of `length` bytes.
pub fn after_reply(reply: &Reply, length: u64) -> Next {
    if reply.status != 0 && !reply.is_ours {
        return after_proxy(reply.status);
    }
    match (reply.status, reply.offset) {
        (200 | 204, Some(offset)) if offset >= length => Next::Complete,
        (200 | 204, Some(offset)) => Next::Send { offset },
        // The offset that we believed in is wrong, or a chunk was damaged on its way.
        (409 | 460, _) => Next::Ask { pause: Backoff::None, why: None },
        (404 | 410, _) => Next::BeginAgain,
        (401, _) => Next::SignIn,
        (413 | 415 | 422, _) => Next::Refuse(message_or(reply, "We can't accept this file. Choose another one.")),
        (403 | 405 | 412, _) => {
            Next::Fail(message_or(reply, "The server did not accept this part of the file. Try again."))
        }
        // Among them 400, for a line that dropped in the middle of a chunk.
        _ => Next::Ask { pause: Backoff::Exponential, why: reply.message.clone() },
    }
}

/// After an answer that Vwaza has not given: it says nothing about the file, nor about the upload.
fn after_proxy(status: u16) -> Next {
    match status {
        413 => Next::SendLess,
        // Whoever could let the person through asks for a sign-in, or shows a page that does.
        200..=399 | 401 | 403 | 407 | 511 => Next::Fail(format!(
            "Another server answered instead of Vwaza ({status}). It may want you to sign in: open Vwaza in a new tab, then try \
             again here."
        )),
        405 | 411 | 415 | 422 | 451 | 501 => Next::Fail(format!(
            "A server in front of Vwaza blocked this upload ({status}). Your file is fine. Try again, or try another network."
        )),
        // Among them 400, by which a proxy passes on that the line dropped, and 404, while Vwaza behind it is started anew.
        _ => Next::Ask {
            pause: Backoff::Exponential,
            why: Some(format!("Vwaza can't be reached right now ({status}). Your file is fine.")),
        },
    }
}

/// The size of the chunks after one of `bytes` was too large for a proxy; `None` where smaller ones make no sense.
pub fn smaller_chunk(bytes: u64) -> Option<u64> {
    Some(bytes / 2).filter(|half| *half >= MIN_CHUNK_BYTES)
}

/// What to say where even the smallest chunk is too large for a proxy.
pub fn no_chunk_small_enough() -> Next {
    Next::Fail(format!(
        "A server in front of Vwaza blocks this upload even in parts of {}. Your file is fine. Try another network.",
        format_bytes(MIN_CHUNK_BYTES)
    ))
}

fn message_or(reply: &Reply, otherwise: &str) -> String {
    reply.message.clone().filter(|message| !message.is_empty()).unwrap_or_else(|| otherwise.to_owned())
}

/// After a beginning that was not granted. `Ask` means: the same again, later.
pub fn after_begin_error(status: u16, message: &str) -> Next {
    match status {
        401 => Next::SignIn,
        0 | 408 | 423 | 429 | 500.. => Next::Ask { pause: Backoff::Exponential, why: Some(message.to_owned()) },
        _ => Next::Refuse(message.to_owned()),
    }
}

/// After "what became of it?" went without an answer. All bytes are with us: whatever the trouble is, it is asked again.
pub fn after_status_error(status: u16, message: &str) -> Next {
    match after_begin_error(status, message) {
        Next::Ask { .. } => Next::Complete,
        next => next,
    }
}

/// After the answer to "what became of it?". `Complete` means: ask the same again.
pub fn after_status(status: &UploadStatus) -> Next {
    match status.state {
        UploadState::Receiving => Next::Ask { pause: Backoff::None, why: None },
        UploadState::Received => Next::Complete,
        UploadState::Attached | UploadState::Superseded => Next::Done,
        UploadState::Refused => Next::Refuse(status.message.clone()),
        // An admin may yet have it tried again: only the release knows how it is later.
        UploadState::Failed | UploadState::Discarded | UploadState::Cancelled => Next::Dismiss,
        UploadState::Expired => Next::BeginAgain,
    }
}

/// As `after_status`, of an upload that takes no more bytes: the reply to its last byte may have been lost.
pub fn after_gone(status: &UploadStatus) -> Next {
    match status.state {
        UploadState::Receiving => Next::BeginAgain,
        _ => after_status(status),
    }
}

/// Milliseconds to wait after so many failures in a row; `chance` (0 to 1) keeps many tabs from coming back at once.
#[expect(clippy::cast_possible_truncation, reason = "bounded by MAX_PAUSE_MS")]
pub fn backoff_ms(failures: u32, chance: f64) -> i32 {
    let longest = 1000_i32.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(MAX_BACKOFF_MS);
    (f64::from(longest) * (0.5 + chance.clamp(0.0, 1.0) / 2.0)) as i32
}

/// Orders files as people number them: `2 - b.wav` before `10 - a.wav`, whatever the case.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let (mut a_rest, mut b_rest) = (a.as_str(), b.as_str());
    loop {
        match (leading_number(a_rest), leading_number(b_rest)) {
            (Some((a_number, a_next)), Some((b_number, b_next))) => {
                // Without leading zeros the longer number is the larger one, however long it is.
                let order = a_number.len().cmp(&b_number.len()).then_with(|| a_number.cmp(b_number));
                if order.is_ne() {
                    return order;
                }
                (a_rest, b_rest) = (a_next, b_next);
            }
            _ => {
                let (mut a_chars, mut b_chars) = (a_rest.chars(), b_rest.chars());
                match (a_chars.next(), b_chars.next()) {
                    (None, None) => return a.cmp(&b),
                    (a_char, b_char) if a_char != b_char => return a_char.cmp(&b_char),
                    _ => (a_rest, b_rest) = (a_chars.as_str(), b_chars.as_str()),
                }
            }
        }
    }
}

fn leading_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].trim_start_matches('0'), &text[end..]))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use vwaza::domain::ids::UploadId;

    use super::*;

    fn reply(status: u16, offset: Option<u64>) -> Reply {
        Reply { status, is_ours: true, offset, message: None }
    }

    fn of_a_proxy(status: u16) -> Next {
        after_reply(&Reply { is_ours: false, ..reply(status, None) }, 10)
    }

    #[test]
    fn bytes_are_sent_until_the_server_has_them_all() {
        assert_eq!(after_reply(&reply(204, Some(8)), 10), Next::Send { offset: 8 });
        assert_eq!(after_reply(&reply(204, Some(10)), 10), Next::Complete);
        assert_eq!(after_reply(&reply(200, Some(0)), 10), Next::Send { offset: 0 });
    }

    #[test]
    fn after_trouble_the_server_says_how_much_it_has() {
        for status in [0, 400, 408, 423, 429, 500, 502, 503, 504, 507] {
            assert_eq!(
                after_reply(&reply(status, None), 10),
                Next::Ask { pause: Backoff::Exponential, why: None },
                "{status}"
            );
        }
        assert_eq!(after_reply(&reply(409, None), 10), Next::Ask { pause: Backoff::None, why: None });
    }

    #[test]
    fn a_proxys_answer_says_nothing_about_the_file() {
        assert_eq!(of_a_proxy(413), Next::SendLess);
        for status in [200, 204, 302, 401, 403, 407, 511] {
            let Next::Fail(words) = of_a_proxy(status) else { panic!("{status}") };
            assert!(words.contains("instead of Vwaza") && words.contains("sign in"), "{status}: {words}");
        }
        for status in [405, 411, 415, 422, 501] {
            let Next::Fail(words) = of_a_proxy(status) else { panic!("{status}") };
            assert!(words.contains("in front of Vwaza") && !words.contains("sign in"), "{status}: {words}");
        }
        for status in [400, 404, 408, 409, 410, 429, 460, 500, 502, 503, 504, 520, 530] {
            let Next::Ask { pause: Backoff::Exponential, why: Some(why) } = of_a_proxy(status) else {
                panic!("{status}")
            };
            assert!(why.contains("can't be reached"), "{status}: {why}");
        }
        // A line that broke is nobody's answer.
        assert_eq!(of_a_proxy(0), Next::Ask { pause: Backoff::Exponential, why: None });
    }

    #[test]
    fn chunks_get_smaller_down_to_what_any_proxy_takes() {
        let sizes: Vec<u64> = std::iter::successors(Some(CHUNK_BYTES), |bytes| smaller_chunk(*bytes)).collect();
        assert_eq!(sizes.len(), 6);
        assert_eq!(sizes.last(), Some(&(256 * 1024)));
    }

    #[test]
    fn what_is_gone_begins_again_and_who_is_gone_signs_in() {
        assert_eq!(after_reply(&reply(404, None), 10), Next::BeginAgain);
        assert_eq!(after_reply(&reply(410, None), 10), Next::BeginAgain);
        assert_eq!(after_reply(&reply(401, None), 10), Next::SignIn);
        assert_eq!(after_begin_error(401, ""), Next::SignIn);
    }

    #[test]
    fn who_is_signed_out_once_all_bytes_are_with_us_loses_nothing_by_leaving() {
        assert!(TaskState::SignedOut(Some(Progress::default())).has_unsent_bytes());
        assert!(!TaskState::SignedOut(None).has_unsent_bytes());
        assert_eq!(TaskState::SignedOut(None).progress(), None);
        assert!(!TaskState::SignedOut(None).can_resume(), "it goes on by itself");
    }

    #[test]
    fn a_refusal_carries_the_servers_sentence() {
        let refusal = Reply { message: Some("This is a video.".into()), ..reply(422, None) };
        assert_eq!(after_reply(&refusal, 10), Next::Refuse("This is a video.".into()));
        assert_eq!(after_begin_error(413, "Too large."), Next::Refuse("Too large.".into()));
        assert_eq!(
            after_begin_error(503, "Down."),
            Next::Ask { pause: Backoff::Exponential, why: Some("Down.".into()) }
        );
    }

    #[test]
    fn a_received_file_is_waited_for_until_it_is_attached_or_not() {
        let status = |state| UploadStatus {
            id: UploadId(Uuid::nil()),
            state,
            status_code: 200,
            message: "Words.".into(),
            sha256: None,
        };
        assert_eq!(after_status(&status(UploadState::Received)), Next::Complete);
        assert_eq!(after_status(&status(UploadState::Attached)), Next::Done);
        assert_eq!(after_status(&status(UploadState::Superseded)), Next::Done);
        assert_eq!(after_status(&status(UploadState::Refused)), Next::Refuse("Words.".into()));
        assert_eq!(after_status(&status(UploadState::Failed)), Next::Dismiss);
        assert_eq!(after_status(&status(UploadState::Expired)), Next::BeginAgain);
        assert_eq!(after_gone(&status(UploadState::Receiving)), Next::BeginAgain);
        assert_eq!(after_gone(&status(UploadState::Refused)), Next::Refuse("Words.".into()));
    }

    #[test]
    fn nobody_hears_of_a_broken_connection_once_all_bytes_are_with_us() {
        for status in [408, 429, 500, 502, 503] {
            assert_eq!(after_status_error(status, "Down."), Next::Complete, "{status}");
        }
        assert_eq!(after_status_error(401, ""), Next::SignIn);
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        let pauses: Vec<i32> = (1..=8).map(|failures| backoff_ms(failures, 1.0)).collect();
        assert_eq!(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(backoff_ms(1, 0.0), 500);
        assert_eq!(backoff_ms(u32::MAX, 1.0), 60_000);
    }

    #[test]
    fn the_speed_is_steady_and_follows_changes() {
        let mut meter = SpeedMeter::default();
        for second in 0..=10_u32 {
            meter.record(f64::from(second) * 1000.0, u64::from(second) * 1_000_000);
        }
        assert_eq!(meter.bytes_per_second(), Some(1_000_000.0));
        assert!(!meter.record(10_100.0, 10_500_000), "too fresh");
        for second in 11..=40_u32 {
            meter.record(f64::from(second) * 1000.0, 10_000_000);
        }
        assert!(meter.bytes_per_second().is_some_and(|speed| speed < 10_000.0));
    }

    #[test]
    fn a_pause_does_not_count_as_slowness() {
        let mut meter = SpeedMeter::default();
        meter.record(0.0, 0);
        meter.record(1000.0, 1_000_000);
        meter.interrupt();
        meter.record(600_000.0, 1_000_000);
        meter.record(601_000.0, 2_000_000);
        assert_eq!(meter.bytes_per_second(), Some(1_000_000.0));
    }

    #[test]
    fn progress_is_said_in_words() {
        const MB: u64 = 1024 * 1024;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let progress = |sent, total, speed: Option<u64>| Progress {
            sent: sent * MB,
            total: total * MB,
            bytes_per_second: speed.map(|speed| (speed * MB) as f64),
        };
        assert_eq!(progress(41, 212, Some(2)).sentence(), "41 of 212 MB · 2.0 MB/s · 2 min left");
        assert_eq!(progress(41, 212, None).sentence(), "41 of 212 MB");
        assert_eq!(progress(0, 212, Some(0)).seconds_left(), None);
        assert_eq!(time_left(3.2), "a few seconds left");
        assert_eq!(time_left(41.0), "50 s left");
        assert_eq!(time_left(3700.0), "1 h 1 min left");
    }

    #[test]
    fn files_are_ordered_as_people_number_them() {
        let mut names = ["10 - c.wav", "2 - b.wav", "Intro.wav", "1 - a.wav", "02 - b2.wav", "intro 2.wav"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["1 - a.wav", "2 - b.wav", "02 - b2.wav", "10 - c.wav", "intro 2.wav", "Intro.wav"]);
    }
}
