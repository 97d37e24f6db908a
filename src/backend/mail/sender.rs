//! The mail senders. Each claims the next due mail, sends it and saves the outcome.

use std::{sync::Arc, time::Duration};

use rand::Rng;
use tokio::time::{sleep, timeout};

use super::{
    queue::{self, ClaimedMail},
    text::MailText,
    transport::SendError,
};
use crate::{
    backend::{
        Backend, Result,
        accounts::{
            reset, verification,
            visitor::{UserAgent, Visitor},
        },
        db,
    },
    domain::mail::{self, Message},
};

/// The number of mails that one process sends at once.
pub(in crate::backend) const SENDERS: usize = 2;
/// The time by which a lease exceeds the timeout of an attempt. When the lease expires, another process sends the mail.
const LEASE_MARGIN: Duration = Duration::from_secs(90);
/// The pause between two attempts to save the outcome of a mail.
const OUTCOME_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Sends due mails and waits for more. Several of these loops run in one process.
pub(in crate::backend) async fn run(backend: Arc<Backend>) {
    let (shutdown, hint) = (backend.shutdown(), backend.events.mails());
    while !shutdown.is_cancelled() {
        match queue::claim(&backend.db, backend.settings.mail.timeout + LEASE_MARGIN).await {
            Ok(Some(job)) => {
                // Another mail may be due, and another sender may be free.
                hint.notify_one();
                job.run(attempt(&backend, &job)).await;
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

/// Makes one attempt to send a mail, and saves its outcome.
async fn attempt(backend: &Backend, job: &ClaimedMail) {
    let limit = backend.settings.mail.timeout;
    let sent = tokio::select! {
        sent = timeout(limit, send(backend, job)) => sent.unwrap_or_else(|_| Err(SendError::timeout(limit))),
        // The process is about to end, so another one sends the mail.
        () = backend.tasks.wait_for_hand_back() => {
            if let Err(error) = queue::hand_back(&backend.db, job).await {
                tracing::warn!(error = ?error, "mail hand-back failed; its lease will expire");
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
    if sent.is_ok() {
        tracing::info!(outcome, "mail done");
    }
    while let Err(error) = db::with_timeout(db::REPLY_TIMEOUT, save_outcome(backend, job, &sent)).await {
        tracing::warn!(error = ?error, "saving the outcome of a mail failed");
        tokio::select! {
            () = backend.tasks.wait_for_hand_back() => return,
            () = sleep(OUTCOME_RETRY_DELAY) => {}
        }
    }
}

/// Sends a mail. Returns `None` if the mail must not be sent: it was dropped, or nobody may get it.
async fn send(backend: &Backend, job: &ClaimedMail) -> Result<Option<()>, SendError> {
    let Some(mut recipient) = queue::recipient(&backend.db, job).await? else { return Ok(None) };
    if backend.settings.requires_verified_email && !recipient.is_verified {
        if !job.message().proves_address() {
            return Ok(None);
        }
        // Anybody may have signed up with this address under any name, so the mail does not repeat the name.
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
        | Message::DamagedObjects { .. }
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
    tracing::warn!(failures, is_final = retry_after.is_none(), error = %error, "mail not sent");
    queue::fail(&backend.db, job, &error.to_string(), retry_after).await
}
