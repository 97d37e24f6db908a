-- Accounts whose users have left. Published releases and the audit trail stay, under a pseudonym.

alter table users add column deleted_at timestamptz;

-- The janitor's path: what is left of them is deleted release by release.
create index idx_users_deleted_at on users (deleted_at) where deleted_at is not null;
