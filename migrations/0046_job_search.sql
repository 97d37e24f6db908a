-- When a job is listed: while it waits, the time at which it is or was due, and otherwise its last change. The index that serves the list
-- is built while others write, see `migrations/indexes.sql`.
create function job_listed_at(of_status job_status, run_after timestamptz, updated_at timestamptz) returns timestamptz
    language sql immutable parallel safe
    return case of_status when 'PENDING'::job_status then run_after else updated_at end;

-- What a search compares file names by. A name may be long, and an entry of an index may not.
create function file_name_key(file_name text) returns text language sql immutable parallel safe
    return left(sort_text(file_name), 100);

-- The received files with a name, the latest first, then those whose names begin with it, by name. The settings keep the plan on the
-- index: the planner has no statistics of it, because it has only received files.
create function files_named(typed text, at_most bigint) returns setof uuid language plpgsql stable
    set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set plan_cache_mode = force_generic_plan set jit = off
as $$ begin
    return query
    (select u.id from uploads u
     where u.received_at is not null and file_name_key(u.file_name) collate "C" = file_name_key(typed)
     order by u.received_at desc limit at_most)
    union all
    (select u.id from uploads u
     where u.received_at is not null and file_name_key(u.file_name) collate "C" > file_name_key(typed)
       and file_name_key(u.file_name) collate "C" < file_name_key(typed) || chr(1114111)
     order by file_name_key(u.file_name) collate "C" limit at_most)
    limit at_most;
end $$;
