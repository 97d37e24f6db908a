-- What scripts prove with that they act for a person.

create table access_tokens (
    id uuid primary key,
    user_id uuid not null references users (id) on delete cascade,
    -- Its owner's word for what uses it.
    name text not null,
    -- SHA-256: whoever reads this table cannot use it.
    token_hash bytea not null unique,
    created_at timestamptz not null default now(),
    -- To the minute.
    last_used_at timestamptz
);

create index idx_access_tokens_user_id on access_tokens (user_id, created_at desc);
