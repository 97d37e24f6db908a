-- The figures of the operations page: what became of uploads, samples of latency, memory, disks and queue, and the circuit's history.

create type bucket_width as enum ('MINUTE', 'HOUR', 'DAY');

create type operation_metric as enum (
    'UPLOADS_STORED', 'UPLOADS_REFUSED', 'UPLOADS_FAILED', 'JOBS_DUE', 'STORAGE_SECONDS', 'DATABASE_SECONDS', 'MEMORY_BYTES',
    'SPOOL_FREE_BYTES', 'STORAGE_FREE_BYTES'
);

-- Sums of what happened in a minute, an hour or a day (UTC). All processes add to the same rows.
create table operation_buckets (
    width bucket_width not null,
    begins_at timestamptz not null,
    metric operation_metric not null,
    count bigint not null,
    -- Of uploads: bytes.
    sum double precision not null,
    min double precision not null,
    max double precision not null,
    -- The order in which the page reads and the janitor deletes.
    primary key (width, begins_at, metric)
);

-- Uploads that ended and are not in a bucket yet. Each one adds a row in the transaction that ends it, so no upload waits for a bucket that
-- another one changes. A process moves rows into buckets in one statement. A failed upload that is tried again takes its failure back, so
-- each upload counts once, for what became of it in the end.
create table upload_outcomes (
    id bigint generated always as identity primary key,
    metric operation_metric not null,
    bytes bigint not null,
    -- -1 for a failure that is taken back.
    count smallint not null,
    at timestamptz not null default now()
);

-- A trigger, because it also sees what processes of the version before do. A restore inserts its rows, so it notes nothing again.
create function note_upload_outcome() returns trigger language plpgsql as $$
begin
    insert into upload_outcomes (metric, bytes, count)
    values (case when new.state = 'ATTACHED' then 'UPLOADS_STORED'::operation_metric
                 when new.state = 'REFUSED' and new.refusal is distinct from 'LOST' then 'UPLOADS_REFUSED'
                 else 'UPLOADS_FAILED' end,
            new.length_bytes, case when new.state = 'RECEIVED' then -1 else 1 end);
    return null;
end $$;

create trigger note_upload_outcome after update of state on uploads for each row
    when (old.state is distinct from new.state
          and (new.state in ('ATTACHED', 'REFUSED', 'FAILED') or old.state = 'FAILED' and new.state = 'RECEIVED'))
    execute function note_upload_outcome();

-- When the circuit breaker of a process opened and closed.
create table circuit_changes (
    -- Made by the process, so that a change that is written twice is there once.
    id uuid primary key,
    spool_id uuid not null,
    at timestamptz not null,
    is_open boolean not null
);

create index idx_circuit_changes_at on circuit_changes (at);

-- The latest figures of the process that has the spool. NULL: it is of the version before, or does not know.
alter table spools
    add column sampled_at timestamptz,
    add column memory_bytes bigint,
    add column spool_free_bytes bigint,
    add column storage_free_bytes bigint,
    add column is_circuit_open boolean;

alter type audit_action add value 'INTEGRITY_CHECK_STARTED';
