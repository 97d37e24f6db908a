-- Releases, their tracks and what happened to them.

create type release_status as enum ('DRAFT', 'PROCESSING', 'PENDING_REVIEW', 'PUBLISHED', 'REJECTED');
create type release_kind as enum ('SINGLE', 'EP', 'ALBUM');

create table releases (
    id uuid primary key,
    artist_id uuid not null references users (id),
    status release_status not null default 'DRAFT',
    -- Grows with every edit, attach and submit. A verdict names the version that its reviewer saw.
    version bigint not null default 1,
    -- Details are valid or absent; whether all are there is asked at the submit.
    title text not null default '',
    title_version text,
    -- NULL: derived from the tracks.
    kind release_kind,
    genre text,
    -- ISO 639-2.
    language text,
    -- A calendar date, in no time zone.
    release_date date,
    label text,
    gtin text,
    p_line text,
    c_line text,
    -- The object that is the cover; its foreign key follows with the objects.
    cover_id uuid,
    submitted_at timestamptz,
    decided_at timestamptz,
    decided_by uuid references users (id),
    reject_reason text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint a_rejection_has_a_reason check (status <> 'REJECTED' or reject_reason is not null)
);

create index idx_releases_artist_id on releases (artist_id, updated_at desc, id);
create index idx_releases_status on releases (status, submitted_at, id);
create index idx_releases_updated_at on releases (updated_at desc, id);

create table tracks (
    id uuid primary key,
    release_id uuid not null references releases (id) on delete cascade,
    number integer not null,
    title text not null default '',
    title_version text,
    -- Not unique: one recording may stand on several releases.
    isrc text,
    explicit boolean not null default false,
    -- The title is still the one that the file's name gave; the file's tags may improve it.
    title_is_guessed boolean not null default false,
    audio_id uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint a_track_number_counts_from_one check (number >= 1),
    -- Deferrable, so that two tracks can swap their numbers in one transaction.
    constraint unique_track_order_per_release unique (release_id, number) deferrable initially deferred
);

create index idx_tracks_release_id on tracks (release_id, number);

create type release_event_kind as enum (
    'CREATED', 'SUBMITTED', 'EXAMINED', 'FILE_FAILED', 'WITHDRAWN', 'APPROVED', 'REJECTED', 'REVISED', 'FILE_DISCARDED', 'FILE_RETRIED'
);

-- The audit trail: one row for each transition, in the transaction that makes it.
create table release_events (
    id bigint generated always as identity primary key,
    release_id uuid not null references releases (id) on delete cascade,
    kind release_event_kind not null,
    -- NULL: the system acted by itself.
    actor_id uuid references users (id),
    -- The release's version after the transition.
    version bigint not null,
    note text,
    created_at timestamptz not null default now()
);

create index idx_release_events_release_id on release_events (release_id, id desc);
