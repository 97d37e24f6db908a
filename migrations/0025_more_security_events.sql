-- What else the log tells, and failures that follow each other as one line.

alter type security_event_kind add value 'CODE_FAILED';
alter type security_event_kind add value 'CURRENT_PASSWORD_FAILED';
alter type security_event_kind add value 'EMAIL_CHANGE_REQUESTED';

alter table security_events add column times integer not null default 1;

-- Which browser it is, asked at each sign-in.
create index idx_known_browsers_token_hash on known_browsers (token_hash);

-- The one rule for whether an account asks for a code.
create function has_two_factor(account uuid) returns boolean language sql stable
    return exists (select 1 from two_factors where user_id = account and confirmed_at is not null);
