//! Mail: a queue of its own, so that mail never delays the storing of files.
//!
//! Call [`enqueue`] in the transaction that causes the mail. Delivery is at least once: if a process dies after the SMTP server accepted a
//! mail and before the commit, another one sends it again with the same `Message-ID`.

mod queue;
mod releases;
mod text;
mod transport;

use std::{sync::Arc, time::Duration};

pub(super) use queue::{ClaimedMail, Recipient, delete_ended, drop_resets, drop_verifications_elsewhere, enqueue};
use rand::Rng;
pub(super) use releases::{enqueue_artist_mail, enqueue_failed_file_mail};
use tokio::time::{sleep, timeout};

pub(super) use self::transport::Transport;
use self::{text::MailText, transport::SendError};
use super::{
    Backend, Result,
    accounts::{Visitor, reset, sessions::UserAgent, verification},
    db,
};
use crate::domain::mail::{self, Message};

/// Mails that one process sends at once.
pub(super) const SENDERS: usize = 2;
/// How much longer than an attempt a lease is. When it ends, another process sends the mail.
const LEASE_MARGIN: Duration = Duration::from_secs(90);
/// Between two tries to save the outcome of a mail.
const OUTCOME_RETRY_DELAY: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct MailSettings {
    /// `smtp://user:password@host:port`. Unset: each mail becomes a file.
    pub smtp_url: Option<String>,
    /// `Vwaza <noreply@music.example>`.
    pub from: String,
    /// Limit for one attempt at a mail, all replies of the SMTP server together.
    pub timeout: Duration,
}

impl Default for MailSettings {
    fn default() -> Self {
        Self { smtp_url: None, from: "Vwaza <noreply@localhost>".into(), timeout: Duration::from_secs(60) }
    }
}

/// Without the SMTP server's address, which may hold a password.
impl std::fmt::Debug for MailSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailSettings").field("smtp", &self.smtp_url.is_some()).field("from", &self.from).finish()
    }
}

/// Sends what is due, and waits for more. Several run side by side.
pub(super) async fn send_loop(backend: Arc<Backend>) {
    let (shutdown, hint) = (backend.shutdown(), backend.events.mails());
    while !shutdown.is_cancelled() {
        match queue::claim(&backend.db, backend.settings.mail.timeout + LEASE_MARGIN).await {
            Ok(Some(job)) => {
                // There may be one more, and another sender is free for it.
                hint.notify_one();
                attempt(&backend, &job).await;
                continue;
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(error = ?error, "mail queue read failed; trying again at the next poll")
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = hint.notified() => {}
            () = sleep(backend.settings.queue.poll_interval) => {}
        }
    }
}

/// One attempt at a mail, and what becomes of it.
async fn attempt(backend: &Backend, job: &ClaimedMail) {
    let limit = backend.settings.mail.timeout;
    let sent = tokio::select! {
        sent = timeout(limit, send(backend, job)) => sent.unwrap_or_else(|_| Err(SendError::timeout(limit))),
        // The process is about to end: another one sends it.
        () = backend.worker.wait_for_hand_back() => {
            if let Err(error) = queue::hand_back(&backend.db, job).await {
                tracing::warn!(mail.id = %job.id, error = ?error, "mail hand-back failed; its lease will expire");
            }
            return;
        }
    };
    fail::fail_point!("mail-sent");
    let outcome = match &sent {
        Ok(Some(_)) => "sent",
        Ok(None) => "dropped",
        Err(error) if error.is_final => "refused",
        Err(_) => "failed",
    };
    metrics::counter!("vwaza_mails_total", "outcome" => outcome).increment(1);
    while let Err(error) = db::with_timeout(db::REPLY_TIMEOUT, save_outcome(backend, job, &sent)).await {
        tracing::warn!(mail.id = %job.id, error = ?error, "saving the outcome of a mail failed");
        tokio::select! {
            () = backend.worker.wait_for_hand_back() => return,
            () = sleep(OUTCOME_RETRY_DELAY) => {}
        }
    }
}

/// Sends a mail. `None`: there is nobody to send it to.
async fn send(backend: &Backend, job: &ClaimedMail) -> Result<Option<()>, SendError> {
    let Some(mut recipient) = queue::recipient(&backend.db, job).await? else { return Ok(None) };
    if backend.settings.requires_verified_email && !recipient.is_verified {
        if !job.message().proves_address() {
            return Ok(None);
        }
        // Anybody may have signed up with this address, under any name.
        recipient.name.clear();
    }
    let link = match job.message() {
        Message::PasswordReset { address, user_agent } => {
            let asked_by = Visitor {
                address: address.as_ref().and_then(|address| address.parse().ok()),
                user_agent: UserAgent::truncated(user_agent),
                browser: None,
            };
            match reset::make_token(backend, job, Some(&asked_by)).await? {
                Some(token) => Some(reset::link(&token)),
                None => return Ok(None),
            }
        }
        Message::PasswordResetByAdmin => match reset::make_token(backend, job, None).await? {
            Some(token) => Some(reset::link(&token)),
            None => return Ok(None),
        },
        Message::VerifyEmail => match verification::make_token(backend, job).await? {
            Some(token) => Some(format!("/verify-email#{}", token.reveal())),
            None => return Ok(None),
        },
        Message::PasswordChanged { .. }
        | Message::EmailChangeRequested { .. }
        | Message::EmailChanged { .. }
        | Message::TwoFactor { .. }
        | Message::AccessTokenExpires { .. }
        | Message::ReleaseNews { .. } => None,
    };
    let text = MailText::of(job.message(), &recipient, link.as_deref(), &backend.settings.public_url);
    backend.mail.send(job.id, &recipient.address, &text).await?;
    Ok(Some(()))
}

async fn save_outcome(backend: &Backend, job: &ClaimedMail, sent: &Result<Option<()>, SendError>) -> Result<()> {
    let error = match sent {
        Ok(Some(())) => return queue::finish(&backend.db, job, queue::MailStatus::Sent).await,
        Ok(None) => return queue::finish(&backend.db, job, queue::MailStatus::Dropped).await,
        Err(error) => error,
    };
    let failures = job.failures() + 1;
    let retry_after = mail::retry_after(failures, rand::rng().random()).filter(|_| !error.is_final);
    tracing::warn!(mail.id = %job.id, failures, is_final = retry_after.is_none(), error = %error, "mail not sent");
    queue::fail(&backend.db, job, &error.to_string(), retry_after).await
}
