-- The upload ledger, the objects in the storage and the queue.

create type upload_kind as enum ('COVER', 'AUDIO');
create type upload_state as enum (
    'RECEIVING', 'RECEIVED', 'ATTACHED', 'SUPERSEDED', 'REFUSED', 'FAILED', 'DISCARDED', 'CANCELLED', 'EXPIRED'
);

-- An intent to upload, committed before any byte moves, and what became of it.
create table uploads (
    id uuid primary key,
    -- Intents in the order in which they were made: an upload never replaces what a newer intent has brought.
    seq bigint generated always as identity,
    owner_id uuid not null references users (id),
    kind upload_kind not null,
    -- NULL once the target is deleted: nothing is attached then, and the bytes are released.
    release_id uuid references releases (id) on delete set null,
    -- Set for audio, NULL for a cover.
    track_id uuid references tracks (id) on delete set null,
    state upload_state not null default 'RECEIVING',
    -- For display only; never part of a path or a key.
    file_name text not null,
    -- Tells a file from another of the same name and size, in the client's words.
    fingerprint text not null,
    length_bytes bigint not null check (length_bytes > 0),
    -- What has been flushed to disk; after a crash the file is cut back to it.
    offset_bytes bigint not null default 0 check (offset_bytes between 0 and length_bytes),
    -- The spool that holds the bytes until they are stored.
    spool_id uuid not null,
    sha256 bytea,
    content_type text,
    -- Tags of the file, for prefilling.
    tags jsonb,
    -- Why it was refused or failed: an HTTP status and a sentence for the artist.
    failure_status smallint,
    failure text,
    expires_at timestamptz not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    received_at timestamptz
);

-- Beginning the same upload again finds the one that is under way.
create unique index idx_uploads_under_way
    on uploads (owner_id, release_id, track_id, kind, file_name, length_bytes, fingerprint) nulls not distinct
    where state = 'RECEIVING' and release_id is not null;
create index idx_uploads_owner_id on uploads (owner_id, state);
create index idx_uploads_release_id on uploads (release_id, seq desc);
create index idx_uploads_track_id on uploads (track_id, seq desc);
-- The janitor's path, and a starting process's.
create index idx_uploads_expires_at on uploads (expires_at) where state = 'RECEIVING';
create index idx_uploads_spool_id on uploads (spool_id) where state in ('RECEIVING', 'RECEIVED');

create type object_role as enum ('COVER', 'AUDIO', 'THUMBNAIL');
create type object_state as enum ('INTENDED', 'ATTACHED', 'RELEASED', 'DOOMED');
create type examination_state as enum ('PENDING', 'PASSED', 'FAILED');

-- Every object in the storage has its row before its first byte is put. Only the reaper deletes objects.
--
--   INTENDED ─▶ ATTACHED ─replaced or its target deleted▶ RELEASED ─retention over▶ DOOMED ─seen gone▶ (no row)
--      └─grace time over, nobody working on it▶ DOOMED
create table objects (
    id uuid primary key,
    -- Made by the server, unique to one upload and attempt.
    key text not null unique,
    role object_role not null,
    state object_state not null default 'INTENDED',
    -- The upload whose bytes it holds, or which it is derived from.
    upload_id uuid not null references uploads (id),
    -- The cover that a thumbnail was made of.
    parent_id uuid references objects (id),
    -- Pixels of a thumbnail's longer edge.
    edge_px integer,
    size_bytes bigint not null,
    sha256 bytea not null,
    content_type text not null,
    examination examination_state not null default 'PENDING',
    -- Why the examination failed, in a sentence for the artist.
    examination_failure text,
    created_at timestamptz not null default now(),
    attached_at timestamptz,
    released_at timestamptz,
    constraint a_thumbnail_has_a_parent check ((role = 'THUMBNAIL') = (parent_id is not null and edge_px is not null))
);

create index idx_objects_upload_id on objects (upload_id);
create unique index idx_objects_thumbnail on objects (parent_id, edge_px) where state = 'ATTACHED' and parent_id is not null;
create index idx_objects_parent_id on objects (parent_id) where parent_id is not null;
-- The reaper's path.
create index idx_objects_not_attached on objects (state, created_at) where state <> 'ATTACHED';

alter table releases add constraint releases_cover_id_fkey foreign key (cover_id) references objects (id);
alter table tracks add constraint tracks_audio_id_fkey foreign key (audio_id) references objects (id);
create index idx_releases_cover_id on releases (cover_id) where cover_id is not null;
create index idx_tracks_audio_id on tracks (audio_id) where audio_id is not null;

-- What the examination measured.
create table audio_facts (
    object_id uuid primary key references objects (id) on delete cascade,
    -- domain::media::AudioFacts; read whole, never searched.
    facts jsonb not null,
    duration_ms bigint not null check (duration_ms >= 0),
    -- The waveform: for each of its columns the loudest sample, 0 to 255.
    peaks bytea not null
);

create table cover_facts (
    object_id uuid primary key references objects (id) on delete cascade,
    -- domain::media::CoverFacts.
    facts jsonb not null
);

create type job_kind as enum ('STORE', 'EXAMINE');
create type job_status as enum ('PENDING', 'UPLOADING', 'COMPLETED', 'FAILED');

-- The queue. `attempt` only grows and fences: whoever writes for a job proves with its attempt that it still holds it.
create table upload_jobs (
    id uuid primary key,
    kind job_kind not null,
    status job_status not null default 'PENDING',
    -- Whose turn it uses up; claims go round between artists.
    artist_id uuid not null references users (id),
    release_id uuid references releases (id) on delete set null,
    upload_id uuid references uploads (id),
    object_id uuid references objects (id) on delete set null,
    -- Where its bytes wait: only processes on that spool may claim it. NULL: any process.
    spool_id uuid,
    attempt integer not null default 0,
    -- Failures so far; snoozing and handing back count nothing.
    retry_count integer not null default 0,
    -- Leases that ran out: from the second on it runs alone in its process.
    expired_leases integer not null default 0,
    -- One line for each failure.
    error_log text not null default '',
    -- What it came to, where that is not plain: 'superseded'.
    outcome text,
    run_after timestamptz not null default now(),
    lease_owner uuid,
    lease_expires_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint a_lease_is_held_while_uploading check ((status = 'UPLOADING') = (lease_owner is not null and lease_expires_at is not null))
);

create index idx_upload_jobs_status on upload_jobs (status, updated_at);
-- The claim's path: the next artist in turn, and of that artist what is due first.
create index idx_upload_jobs_turn on upload_jobs (artist_id, run_after, id) where status = 'PENDING';
create index idx_upload_jobs_lease on upload_jobs (lease_expires_at) where status = 'UPLOADING';
create index idx_upload_jobs_release_id on upload_jobs (release_id) where release_id is not null;
-- A received upload has exactly one job that stores it.
create unique index idx_upload_jobs_store on upload_jobs (upload_id) where kind = 'STORE';
create unique index idx_upload_jobs_examine on upload_jobs (object_id) where kind = 'EXAMINE';

-- Whether a file of a release could not be stored or examined, so that its artist has to do something.
create function release_has_failed_file(release uuid) returns boolean language sql stable as $$
    select exists (select 1 from uploads u
                   join releases r on r.id = u.release_id
                   left join tracks t on t.id = u.track_id
                   left join objects held on held.id = case u.kind when 'COVER' then r.cover_id else t.audio_id end
                   left join uploads holder on holder.id = held.upload_id
                   where u.release_id = release and u.state = 'FAILED' and u.seq > coalesce(holder.seq, 0)
                     and (u.kind = 'COVER' or u.track_id is not null))
        or exists (select 1 from releases r join objects o on o.id = r.cover_id
                   where r.id = release and o.examination = 'FAILED')
        or exists (select 1 from tracks t join objects o on o.id = t.audio_id
                   where t.release_id = release and o.examination = 'FAILED')
$$;
