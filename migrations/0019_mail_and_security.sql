-- Mail, the log of what happens to an account, and the browsers that an account knows.

create type mail_status as enum ('PENDING', 'SENT', 'FAILED', 'DROPPED');

-- The queue of mails. A mail is queued in the transaction that causes it. A job that is being sent is PENDING, too: its claim moves
-- `run_after` behind its lease, and `attempt` proves who holds it.
create table mail_jobs (
    id uuid primary key,
    -- NULL: nobody has the address that a reset was asked for. The job exists all the same, so that asking takes the same time.
    user_id uuid references users (id) on delete cascade,
    -- NULL: the user's address when the mail is sent.
    address text,
    -- domain::mail::Message. Holds no secret: the worker makes a link's token when it sends the mail.
    message jsonb not null,
    status mail_status not null default 'PENDING',
    attempt integer not null default 0,
    failures integer not null default 0,
    -- One line for each failure.
    error_log text not null default '',
    run_after timestamptz not null default now(),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- The senders' path.
create index idx_mail_jobs_due on mail_jobs (run_after, id) where status = 'PENDING';
create index idx_mail_jobs_user_id on mail_jobs (user_id) where user_id is not null;
-- The janitor's path.
create index idx_mail_jobs_ended on mail_jobs (updated_at) where status <> 'PENDING';

create type security_event_kind as enum (
    'SIGN_IN', 'SIGN_IN_FAILED', 'SIGN_IN_BLOCKED', 'RESET_REQUESTED', 'PASSWORD_RESET', 'PASSWORD_CHANGED', 'EMAIL_CHANGED',
    'EMAIL_VERIFIED', 'ROLE_CHANGED', 'DISABLED', 'ENABLED', 'SESSION_ENDED', 'SESSIONS_ENDED', 'ACCESS_TOKEN_MADE',
    'ACCESS_TOKEN_REVOKED', 'TWO_FACTOR_ENABLED', 'TWO_FACTOR_DISABLED', 'RECOVERY_CODE_USED', 'RECOVERY_CODES_MADE'
);

-- What happened to an account. Users see their own, admins see those of one user.
create table security_events (
    id uuid primary key,
    user_id uuid not null references users (id) on delete cascade,
    kind security_event_kind not null,
    -- What it was about: the name of an access token, a new role.
    subject text not null default '',
    -- NULL: the user. Otherwise the admin who did it.
    admin_id uuid references users (id) on delete set null,
    -- NULL: a command of the operator's.
    address text constraint address_is_short check (length(address) <= 45),
    user_agent text not null default '' constraint user_agent_is_short check (length(user_agent) <= 300),
    created_at timestamptz not null default now()
);

create index idx_security_events_user_id on security_events (user_id, created_at desc, id);
create index idx_security_events_admin_id on security_events (admin_id) where admin_id is not null;
-- The janitor's path.
create index idx_security_events_created_at on security_events (created_at);

-- Browsers from which an account was signed in to. While somebody guesses its password, only these may sign in.
create table known_browsers (
    -- SHA-256 of the token in the cookie. One browser may know several accounts.
    token_hash bytea not null,
    user_id uuid not null references users (id) on delete cascade,
    last_used_at timestamptz not null default now(),
    primary key (user_id, token_hash)
);

-- The janitor's path.
create index idx_known_browsers_last_used_at on known_browsers (last_used_at);

-- A session ends 90 days after its sign-in, however much it is used.
update sessions set expires_at = least(expires_at, created_at + interval '90 days');
