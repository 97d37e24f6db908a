-- An examination that measures better than before looks at files again that an older one has examined.

-- By which version of the examination a file was examined; 0: by one before versions were kept, or not yet.
alter table objects add column examination_version integer not null default 0;
-- The janitor's path: in most rounds there is nothing.
create index idx_objects_examination_version on objects (examination_version) where state = 'ATTACHED' and parent_id is null;

-- Work that waits until nothing else is due. One of all such jobs runs at a time.
alter table upload_jobs add column is_background boolean not null default false;
-- Background jobs wait by the thousand after an upgrade: the claim's path does not lead past them.
drop index idx_upload_jobs_turn;
create index idx_upload_jobs_turn on upload_jobs (artist_id, run_after, id) where status = 'PENDING' and not is_background;
create index idx_upload_jobs_background on upload_jobs (status, run_after, id) where is_background;

-- What a newer examination says of a file that is not altered any more, because it is published or a reviewer decides about it. The
-- newest word counts.
create table changed_facts (
    object_id uuid primary key references objects (id) on delete cascade,
    -- domain::media::AudioFacts or CoverFacts. NULL: the file would be refused today.
    facts jsonb,
    refusal text,
    found_at timestamptz not null default now(),
    constraint facts_or_a_refusal check ((facts is null) = (refusal is not null))
);
create index idx_changed_facts_found_at on changed_facts (found_at desc);
