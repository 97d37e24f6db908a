-- Mails about releases.

-- Mails about security are sent to everybody.
alter table users add column wants_release_mail boolean not null default true;

-- What a mail is about. It goes with its release: its link would lead nowhere.
alter table mail_jobs add column release_id uuid references releases (id) on delete cascade;

create index idx_mail_jobs_release_id on mail_jobs (release_id) where release_id is not null;
