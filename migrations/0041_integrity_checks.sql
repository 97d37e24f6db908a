-- Runs of the integrity check, which reads and hashes objects. A run goes on where the run before it ended.

create table integrity_checks (
    id uuid primary key,
    started_at timestamptz not null default now(),
    -- NULL: the run is not over.
    ended_at timestamptz,
    -- The last object that was read, in the order of ids. NULL: none yet. The next run begins behind it.
    last_object_id uuid,
    -- Whether the run came to the last object of all, so that the next one begins with the first.
    is_at_end boolean not null default false,
    objects bigint not null default 0,
    bytes bigint not null default 0,
    -- Keys of objects that are to be read once more before the run ends.
    suspects text[] not null default '{}',
    -- backend::operations::integrity::DamagedObject, of suspects that were damaged the second time, too.
    findings jsonb not null default '[]',
    -- The process that works on the run.
    lease_owner uuid,
    lease_expires_at timestamptz,
    constraint a_run_that_is_over_has_no_lease check (ended_at is null or lease_owner is null)
);

-- One run at a time, in all processes together.
create unique index idx_integrity_checks_running on integrity_checks ((ended_at is null)) where ended_at is null;
create index idx_integrity_checks_started_at on integrity_checks (started_at);
