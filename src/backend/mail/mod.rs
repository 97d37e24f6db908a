//! Mail. It has a queue of its own, so that mail never delays the storing of files.
//!
//! Call [`enqueue`] in the transaction that causes the mail. Delivery is at least once: if a process dies after the
//! SMTP server accepted a mail and before the commit, another process sends it again with the same `Message-ID`.

mod queue;
mod releases;
pub(super) mod sender;
mod text;
mod transport;

pub(super) use queue::{
    ClaimedMail, Recipient, delete_ended, drop_all_resets, drop_resets, drop_verifications_elsewhere, enqueue,
};
pub(super) use releases::{enqueue_artist_mail, enqueue_failed_file_mail};
pub(super) use transport::Transport;
