-- What the reaper and the janitor go by.

alter table objects
    add column doomed_at timestamptz,
    -- When a delete last went through. Looked at again a grace time later: a PUT that was under way may land after it.
    add column deleted_at timestamptz,
    add constraint a_doomed_object_says_since_when check ((state = 'DOOMED') = (doomed_at is not null));

-- The reaper's path: what was never deleted first.
create index idx_objects_doomed on objects (deleted_at nulls first, id) where state = 'DOOMED';
-- Whether anybody still works on an upload.
create index idx_upload_jobs_unfinished on upload_jobs (upload_id) where status in ('PENDING', 'UPLOADING');
