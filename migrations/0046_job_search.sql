-- When a job is listed: while it waits, the time at which it is or was due, and otherwise its last change. The index that serves the list
-- is built while others write, see `migrations/indexes.sql`.
create function job_listed_at(of_status job_status, run_after timestamptz, updated_at timestamptz) returns timestamptz
    language sql immutable parallel safe
    return case of_status when 'PENDING'::job_status then run_after else updated_at end;

-- What a search compares file names by. A name may be long, and an entry of an index may not.
create function file_name_key(file_name text) returns text language sql immutable parallel safe
    return left(sort_text(file_name), 100);
