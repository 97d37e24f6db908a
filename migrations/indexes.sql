-- Indexes of tables that may be large. Each start builds those that are missing, while others read and write: a migration that builds an
-- index locks writers out until it is done. The start takes the statements in this order, see `src/backend/db/indexes.rs`.
--
-- Another definition needs another name, and at the end the old index is dropped.

-- Pages of lists: releases with a status, and of those an artist's. A list of several statuses merges them.
create index concurrently idx_releases_changed on releases (status, updated_at, id);
create index concurrently idx_releases_title on releases (status, sort_text(title), id);
create index concurrently idx_releases_release_date on releases (status, coalesce(release_date, '-infinity'::date), id);
create index concurrently idx_releases_artist_id on releases (artist_id, status, updated_at, id);
create index concurrently idx_releases_artist_title on releases (artist_id, status, sort_text(title), id);
create index concurrently idx_releases_artist_release_date
    on releases (artist_id, status, coalesce(release_date, '-infinity'::date), id);
create index concurrently idx_releases_artist_in_review on releases (artist_id, submitted_at, id) where status = 'PENDING_REVIEW';
create index concurrently idx_users_name on users (sort_text(artist_name), id);
create index concurrently idx_upload_jobs_dead_letters on upload_jobs (updated_at, id) where status = 'FAILED';
create index concurrently idx_upload_jobs_listed on upload_jobs (status, kind, job_listed_at(status, run_after, updated_at), id);
create index concurrently idx_upload_jobs_artist_listed on upload_jobs (artist_id, status, job_listed_at(status, run_after, updated_at), id);
create index concurrently idx_uploads_file_name on uploads (file_name_key(file_name) collate "C", received_at) where received_at is not null;
create index concurrently idx_changed_facts_undismissed on changed_facts (found_at, object_id) where not is_dismissed;

-- The view `failed_files`.
create index concurrently idx_uploads_failed on uploads (release_id) where state in ('FAILED', 'DISCARDED');
create index concurrently idx_objects_failed on objects (id) where examination = 'FAILED';

-- Foreign keys: a delete looks for rows that name the deleted one.
create index concurrently idx_releases_decided_by on releases (decided_by) where decided_by is not null;
create index concurrently idx_release_events_actor_id on release_events (actor_id) where actor_id is not null;
create index concurrently idx_upload_jobs_upload_id on upload_jobs (upload_id) where upload_id is not null;

-- The audit trail: what a person did, of each kind in its order. It holds what the page filters by.
create index concurrently idx_audit_entries_actor_action on audit_entries (actor_id, action, at, id) include (subject_id)
    where actor_id is not null;

-- Replaced by those above.
drop index concurrently if exists idx_releases_artist_id_before_0036;
drop index concurrently if exists idx_releases_updated_at;
drop index concurrently if exists idx_users_artist_name;
drop index concurrently if exists idx_changed_facts_found_at;
drop index concurrently if exists idx_upload_jobs_unfinished;
drop index concurrently if exists idx_audit_entries_actor_id;
drop index concurrently if exists idx_upload_jobs_artist_id;
