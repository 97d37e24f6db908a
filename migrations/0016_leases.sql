-- Jobs that run are few, and found by their status. Without an index of its own for the lease, a heartbeat touches no index at all,
-- and a claim one less.
drop index idx_upload_jobs_lease;
