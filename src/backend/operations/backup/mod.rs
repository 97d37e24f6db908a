//! Backups: a snapshot of the database, every object that it names, and the received files of the spool.
//!
//! A target is a folder or a bucket for the backups of one installation:
//!
//! - `content/<sha256>`: objects and received files, each once for all backups.
//! - `tables/<backup>.<table>`: the rows of one table, as `COPY` writes them.
//! - `manifests/<backup>.<sha256>`: what a backup consists of, written last. A backup without a manifest doesn't exist.

mod make;
mod manifest;
mod pin;
mod restore;
mod tables;
mod target;
mod verify;

pub use make::{BackupReport, backup};
pub(in crate::backend) use pin::delete_expired_pins;
pub use restore::{Restored, restore};
pub use verify::{BackupCheck, verify_backup};
