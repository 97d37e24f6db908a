-- People and how they prove who they are.

create type user_role as enum ('ARTIST', 'ADMIN');

create table users (
    id uuid primary key,
    email text not null,
    artist_name text not null,
    role user_role not null default 'ARTIST',
    -- argon2id, in PHC string format.
    password_hash text not null,
    -- A disabled account's sessions stop working and its uploads are not attached any more.
    disabled_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- One account per address, whatever its case. Sign-in looks up by the same expression.
create unique index idx_users_email on users (lower(email));
-- Admins page through all accounts by name.
create index idx_users_artist_name on users (lower(artist_name), id);

create table sessions (
    -- SHA-256 of the token in the cookie: whoever reads this table cannot sign in with it.
    token_hash bytea primary key,
    user_id uuid not null references users (id) on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);

create index idx_sessions_user_id on sessions (user_id);
create index idx_sessions_expires_at on sessions (expires_at);

create table password_reset_tokens (
    token_hash bytea primary key,
    user_id uuid not null references users (id) on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
);

create index idx_password_tokens_user_id on password_reset_tokens (user_id);
-- Expired tokens are deleted in batches.
create index idx_password_tokens_expires_at on password_reset_tokens (expires_at);
