-- What people see of their sessions, so that they can end those they do not know.

alter table sessions
    -- Names a session to its person and tells nothing of its token.
    add column id uuid not null default gen_random_uuid(),
    -- What the browser said of itself, cut short.
    add column user_agent text not null default '' constraint user_agent_is_short check (length(user_agent) <= 300),
    -- To about ten minutes: not every request writes.
    add column last_used_at timestamptz not null default now();

create unique index idx_sessions_id on sessions (id);
