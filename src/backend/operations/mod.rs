//! What keeps a running system in order: the consistency check, periodic cleanup, and figures for operators.

pub(in crate::backend) mod fsck;
pub(in crate::backend) mod janitor;
pub(in crate::backend) mod queue_stats;
