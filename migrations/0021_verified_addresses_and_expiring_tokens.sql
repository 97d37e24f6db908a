-- Addresses that were proven to belong to their user, and access tokens that end.

-- NULL: nobody has opened the link that was sent there.
alter table users add column email_verified_at timestamptz;
update users set email_verified_at = now();

create table email_verification_tokens (
    -- SHA-256 of the code in the link.
    token_hash bytea primary key,
    user_id uuid not null references users (id) on delete cascade,
    -- The address that the link was sent to: the user's own, or the one that it is to become.
    email text not null,
    expires_at timestamptz not null
);

create index idx_email_verification_tokens_user_id on email_verification_tokens (user_id);
-- The janitor's path.
create index idx_email_verification_tokens_expires_at on email_verification_tokens (expires_at);

-- Tokens that were made before they expired at all have 90 days left.
alter table access_tokens
    add column expires_at timestamptz not null default now() + interval '90 days',
    -- When its owner was told that it is about to expire.
    add column expiry_told_at timestamptz;
alter table access_tokens alter column expires_at drop default;

-- The janitor's path.
create index idx_access_tokens_expires_at on access_tokens (expires_at);
