-- Processes that hold received bytes, by their spool, and when each was last heard of: an artist whose file waits for one that is
-- away is told so.
create table spools (
    id uuid primary key,
    seen_at timestamptz not null default now()
);
