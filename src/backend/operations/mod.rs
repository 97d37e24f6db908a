//! The upkeep of a running system: backups, the consistency check, the periodic cleanup, and figures for operators.

pub(in crate::backend) mod backup;
pub(in crate::backend) mod figures;
pub(in crate::backend) mod fsck;
pub(in crate::backend) mod integrity;
pub(in crate::backend) mod janitor;
pub(in crate::backend) mod overview;
pub(in crate::backend) mod queue_stats;
pub(in crate::backend) mod service_checks;
