//! Decides what an upload does next after each answer, and says its state in words. This module is pure: `browser`
//! acts.

#[cfg(test)]
mod tests;

use vwaza::domain::{
    http::{ProxyMeaning, StatusMeaning},
    media::format_bytes,
    upload::{CHUNK_BYTES, UploadState, UploadStatus},
};

use super::speed::Progress;
use crate::error::AppError;

/// Longest pause before another try, in milliseconds.
const MAX_BACKOFF_MS: i32 = 60_000;
/// Smallest size of a chunk, in bytes. A proxy that refuses even these (nginx takes 1 MiB by default) lets no uploads
/// through.
const MIN_CHUNK_BYTES: u64 = CHUNK_BYTES / 32;

/// The state of one upload.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskState {
    /// Waits for other files.
    Queued,
    Sending(Progress),
    Paused(Progress),
    /// The connection or the server failed, perhaps with a sentence. The upload continues by itself.
    Interrupted(Progress, Option<String>),
    /// The session ended before all bytes were sent. The upload continues after the next sign-in.
    SignedOut(Progress),
    /// The server has all bytes.
    Storing,
    /// The session ended after all bytes were sent.
    StoringSignedOut,
    Done,
    /// The server does not take this file: trying again does not help.
    Refused(String),
    /// Trying again may help.
    Failed(String),
}

impl TaskState {
    /// Whether only this tab has some of the bytes.
    pub fn has_unsent_bytes(&self) -> bool {
        matches!(self, Self::Queued | Self::Sending(_) | Self::Paused(_) | Self::Interrupted(..) | Self::SignedOut(_))
    }

    /// Whether the server has all bytes and nobody knows yet what becomes of them.
    pub fn is_received(&self) -> bool {
        matches!(self, Self::Storing | Self::StoringSignedOut)
    }

    pub fn is_signed_out(&self) -> bool {
        matches!(self, Self::SignedOut(_) | Self::StoringSignedOut)
    }

    pub fn has_error(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Failed(_))
    }

    pub fn can_pause(&self) -> bool {
        matches!(self, Self::Queued | Self::Sending(_) | Self::Interrupted(..))
    }

    pub fn can_resume(&self) -> bool {
        matches!(self, Self::Paused(_) | Self::SignedOut(_) | Self::Failed(_))
    }

    /// The progress for the bar. `None` if there is nothing to measure.
    pub fn progress(&self) -> Option<Progress> {
        match self {
            Self::Sending(progress)
            | Self::Paused(progress)
            | Self::Interrupted(progress, _)
            | Self::SignedOut(progress) => Some(*progress),
            _ => None,
        }
    }

    /// The state in words, with figures where there are some.
    pub fn sentence(&self) -> String {
        match self {
            Self::Queued => "Waiting for its turn".into(),
            Self::Sending(progress) => progress.sentence(),
            Self::Paused(progress) => format!("Paused at {}", progress.amount()),
            Self::Interrupted(progress, None) => {
                format!("The connection broke at {}. The upload continues by itself.", progress.amount())
            }
            Self::Interrupted(_, Some(why)) => format!("{why} The upload continues by itself."),
            Self::SignedOut(_) | Self::StoringSignedOut => "Sign in again; your upload is safe".into(),
            Self::Storing => "Safe with us; storing".into(),
            Self::Done => "Uploaded".into(),
            Self::Refused(message) | Self::Failed(message) => message.clone(),
        }
    }

    /// The state in words without figures, which a screen reader says once for each change.
    pub fn announcement(&self) -> String {
        match self {
            Self::Queued => "waiting for its turn".into(),
            Self::Sending(_) => "uploading".into(),
            Self::Paused(_) => "paused".into(),
            Self::Interrupted(..) => "the connection broke; the upload continues by itself".into(),
            Self::SignedOut(_) | Self::StoringSignedOut => "sign in again; your upload is safe".into(),
            Self::Storing => "safe with us; storing".into(),
            Self::Done => "uploaded".into(),
            Self::Refused(message) | Self::Failed(message) => message.clone(),
        }
    }
}

/// An answer to a PATCH or a HEAD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// 0 if there was no answer.
    pub status: u16,
    /// Whether Vwaza answered, not a proxy in front of it.
    pub is_ours: bool,
    /// `Upload-Offset`: how many bytes the server has.
    pub offset: Option<u64>,
    /// The sentence in the body of a refusal.
    pub message: Option<String>,
}

impl Reply {
    /// Whether anything answered, if only a proxy.
    pub fn is_answered(&self) -> bool {
        self.meaning() != StatusMeaning::Unanswered
    }

    fn meaning(&self) -> StatusMeaning {
        StatusMeaning::of(self.status)
    }
}

/// The meaning of an answer to a PATCH or a HEAD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferStep {
    SendFrom {
        offset: u64,
    },
    /// A proxy refuses chunks of this size.
    ShrinkChunk,
    AllSent,
    AskOffset {
        backoff: Backoff,
        /// The server's sentence, if it had one.
        reason: Option<String>,
    },
    /// The upload takes no more bytes.
    Gone,
    SignIn,
    Refuse(String),
    Fail(String),
}

/// The meaning of a refused creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateStep {
    RetryLater { reason: String },
    SignIn,
    Refuse(String),
}

/// The meaning of the status of an upload whose bytes are all sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredStep {
    /// The file is not stored yet.
    PollAgain,
    Done,
    /// The server still waits for bytes.
    AskOffset,
    CreateAgain,
    SignIn,
    Refuse(String),
    /// The task is removed, because only the release knows what becomes of the file.
    Dismiss,
}

/// The next action of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Create,
    /// Learn what has become of an upload that takes no more bytes.
    CheckGone,
    Send {
        offset: u64,
    },
    /// Learn how many bytes the server has, or create the upload if there is none.
    AskOffset {
        backoff: Backoff,
        reason: Option<String>,
    },
    AwaitStored,
    SignIn,
    End(RunEnd),
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    Done,
    Refused(String),
    Failed(String),
    /// The task is removed, because only the release knows what becomes of the file.
    Dismiss,
}

/// The wait before the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    None,
    /// Longer after each failure.
    Exponential,
}

/// A chunk that is too large ends the run here, because `send` has tried smaller ones before.
impl From<TransferStep> for Step {
    fn from(step: TransferStep) -> Self {
        match step {
            TransferStep::SendFrom { offset } => Self::Send { offset },
            TransferStep::ShrinkChunk => Self::End(RunEnd::Failed(no_chunk_small_enough())),
            TransferStep::AllSent => Self::AwaitStored,
            TransferStep::AskOffset { backoff, reason } => Self::AskOffset { backoff, reason },
            TransferStep::Gone => Self::CheckGone,
            TransferStep::SignIn => Self::SignIn,
            TransferStep::Refuse(message) => Self::End(RunEnd::Refused(message)),
            TransferStep::Fail(message) => Self::End(RunEnd::Failed(message)),
        }
    }
}

impl From<CreateStep> for Step {
    fn from(step: CreateStep) -> Self {
        match step {
            CreateStep::RetryLater { reason } => {
                Self::AskOffset { backoff: Backoff::Exponential, reason: Some(reason) }
            }
            CreateStep::SignIn => Self::SignIn,
            CreateStep::Refuse(message) => Self::End(RunEnd::Refused(message)),
        }
    }
}

impl From<StoredStep> for Step {
    fn from(step: StoredStep) -> Self {
        match step {
            StoredStep::PollAgain => Self::AwaitStored,
            StoredStep::Done => Self::End(RunEnd::Done),
            StoredStep::AskOffset => Self::AskOffset { backoff: Backoff::None, reason: None },
            StoredStep::CreateAgain => Self::Create,
            StoredStep::SignIn => Self::SignIn,
            StoredStep::Refuse(message) => Self::End(RunEnd::Refused(message)),
            StoredStep::Dismiss => Self::End(RunEnd::Dismiss),
        }
    }
}

/// Decides what follows the answer to a PATCH or a HEAD of an upload of `length` bytes.
pub fn after_reply(reply: &Reply, length: u64) -> TransferStep {
    if reply.is_answered() && !reply.is_ours {
        return after_proxy(reply.status);
    }
    match (reply.meaning(), reply.offset) {
        (StatusMeaning::Done, Some(offset)) if offset >= length => TransferStep::AllSent,
        (StatusMeaning::Done, Some(offset)) => TransferStep::SendFrom { offset },
        // This page has the wrong offset, or a chunk was damaged on its way.
        (StatusMeaning::Conflict | StatusMeaning::ChecksumMismatch, _) => {
            TransferStep::AskOffset { backoff: Backoff::None, reason: None }
        }
        (StatusMeaning::Missing | StatusMeaning::Gone, _) => TransferStep::Gone,
        (StatusMeaning::SignedOut, _) => TransferStep::SignIn,
        (StatusMeaning::FileRefused, _) => {
            TransferStep::Refuse(message_or(reply, "We can't accept this file. Choose another one."))
        }
        (StatusMeaning::Forbidden | StatusMeaning::NotSupported, _) => {
            TransferStep::Fail(message_or(reply, "The server did not accept this part of the file. Try again."))
        }
        // The other answers include an invalid request (400), after a connection dropped in the middle of a chunk.
        _ => TransferStep::AskOffset { backoff: Backoff::Exponential, reason: reply.message.clone() },
    }
}

/// Decides what follows the answer of a proxy, which says nothing about the file or the upload.
fn after_proxy(status: u16) -> TransferStep {
    match ProxyMeaning::of(status) {
        ProxyMeaning::TooLarge => TransferStep::ShrinkChunk,
        ProxyMeaning::WantsSignIn => TransferStep::Fail(format!(
            "Another server answered instead of Vwaza ({status}). It may want you to sign in: open Vwaza in a new tab, then try \
             again here."
        )),
        ProxyMeaning::Blocked => TransferStep::Fail(format!(
            "A server in front of Vwaza blocked this upload ({status}). Your file is fine. Try again, or try another network."
        )),
        ProxyMeaning::OutOfReach => TransferStep::AskOffset {
            backoff: Backoff::Exponential,
            reason: Some(format!("Vwaza can't be reached right now ({status}). Your file is fine.")),
        },
    }
}

/// The size of chunks in bytes after one of `bytes` was too large for a proxy. `None` below the smallest size.
pub fn smaller_chunk(bytes: u64) -> Option<u64> {
    Some(bytes / 2).filter(|half| *half >= MIN_CHUNK_BYTES)
}

fn no_chunk_small_enough() -> String {
    format!(
        "A server in front of Vwaza blocks this upload even in parts of {}. Your file is fine. Try another network.",
        format_bytes(MIN_CHUNK_BYTES)
    )
}

fn message_or(reply: &Reply, otherwise: &str) -> String {
    reply.message.clone().filter(|message| !message.is_empty()).unwrap_or_else(|| otherwise.to_owned())
}

/// Decides what follows a refused creation.
pub fn after_create_error(error: &AppError) -> CreateStep {
    if error.is_signed_out() {
        CreateStep::SignIn
    } else if error.may_pass() {
        CreateStep::RetryLater { reason: error.message.clone() }
    } else {
        CreateStep::Refuse(error.message.clone())
    }
}

/// Decides what follows an error instead of the upload's status. The server has all bytes, so trouble that may pass is
/// not shown.
pub fn after_status_error(error: &AppError) -> StoredStep {
    if error.is_signed_out() {
        StoredStep::SignIn
    } else if error.may_pass() {
        StoredStep::PollAgain
    } else {
        StoredStep::Refuse(error.message.clone())
    }
}

/// Decides what follows the status of an upload whose bytes are all sent.
pub fn after_status(status: &UploadStatus) -> StoredStep {
    match status.state {
        UploadState::Receiving => StoredStep::AskOffset,
        UploadState::Received => StoredStep::PollAgain,
        UploadState::Attached | UploadState::Superseded => StoredStep::Done,
        UploadState::Refused => StoredStep::Refuse(status.message.clone()),
        // An admin may still retry the job of this upload, and only the release shows that.
        UploadState::Failed | UploadState::Discarded | UploadState::Cancelled => StoredStep::Dismiss,
        UploadState::Expired => StoredStep::CreateAgain,
    }
}

/// Decides what follows the status of an upload that takes no more bytes. The reply to its last byte may have been
/// lost.
pub fn after_gone(status: &UploadStatus) -> StoredStep {
    match status.state {
        UploadState::Receiving => StoredStep::CreateAgain,
        _ => after_status(status),
    }
}

/// Milliseconds to wait after so many failures in a row. `chance` (0 to 1) keeps many tabs from returning at the same
/// time.
#[expect(clippy::cast_possible_truncation, reason = "bounded by MAX_BACKOFF_MS")]
pub fn backoff_ms(failures: u32, chance: f64) -> i32 {
    let longest = 1000_i32.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(MAX_BACKOFF_MS);
    (f64::from(longest) * (0.5 + chance.clamp(0.0, 1.0) / 2.0)) as i32
}
