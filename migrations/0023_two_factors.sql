-- Two factors: a code from an app beside the password.

create table two_factors (
    user_id uuid primary key references users (id) on delete cascade,
    -- What the app and the server make codes from (RFC 6238).
    secret bytea not null,
    -- NULL: being set up. Nothing asks for a code before the user has proven to have one.
    confirmed_at timestamptz,
    -- The 30 s step of the latest code that was used: a code works once.
    last_step bigint not null default 0
);

-- What a user signs in with who has lost the app. Each works once, and is gone then.
create table recovery_codes (
    user_id uuid not null references users (id) on delete cascade,
    -- SHA-256.
    code_hash bytea not null,
    primary key (user_id, code_hash)
);

-- Sign-ins whose password was right and whose code is awaited.
create table sign_in_challenges (
    -- SHA-256 of the token in the cookie.
    token_hash bytea primary key,
    user_id uuid not null references users (id) on delete cascade,
    expires_at timestamptz not null
);

create index idx_sign_in_challenges_user_id on sign_in_challenges (user_id);
-- The janitor's path.
create index idx_sign_in_challenges_expires_at on sign_in_challenges (expires_at);
