-- The audit trail: who did what, when, and from what to what. It refers to other tables without foreign keys, so that drafts and people can
-- be deleted. `release_events` stays beside it: a release's history lives as long as the release, and the trail as long as its retention.

-- A person's role at that time. OPERATOR: a command on the server. SYSTEM: the product by itself.
create type audit_role as enum ('ADMIN', 'ARTIST', 'OPERATOR', 'SYSTEM');

create type audit_subject as enum ('RELEASE', 'JOB', 'FILE', 'ACCOUNT', 'STORAGE', 'AUDIT_TRAIL');

create type audit_action as enum (
    'RELEASE_CREATED', 'RELEASE_SUBMITTED', 'RELEASE_EXAMINED', 'RELEASE_FILE_FAILED', 'RELEASE_WITHDRAWN', 'RELEASE_APPROVED',
    'RELEASE_REJECTED', 'RELEASE_REVISED', 'RELEASE_DELETED',
    'JOB_RETRIED', 'JOB_DISCARDED', 'RESULT_DISMISSED',
    'ACCOUNT_CREATED', 'ACCOUNT_ROLE_CHANGED', 'ACCOUNT_DISABLED', 'ACCOUNT_ENABLED', 'ACCOUNT_DELETED', 'ACCOUNT_PSEUDONYMISED',
    'PASSWORD_RESET_SENT', 'PASSWORD_RESET', 'PASSWORD_CHANGED', 'EMAIL_CHANGED', 'EMAIL_VERIFIED', 'TWO_FACTOR_ENABLED',
    'TWO_FACTOR_DISABLED', 'RECOVERY_CODES_MADE', 'SESSIONS_ENDED', 'ACCESS_TOKEN_MADE', 'ACCESS_TOKEN_REVOKED',
    'STORAGE_REPAIRED', 'BACKUP_RESTORED', 'TRAIL_EXPORTED', 'TRAIL_PRUNED'
);

create table audit_entries (
    id uuid primary key,
    at timestamptz not null default now(),
    -- NULL: no person.
    actor_id uuid,
    actor_role audit_role not null,
    -- Names, addresses and titles as they were then.
    actor_label text not null default '',
    action audit_action not null,
    subject_kind audit_subject not null,
    subject_id uuid,
    subject_label text not null default '',
    -- The release that the subject is or belongs to.
    release_id uuid,
    was text,
    became text,
    note text,
    -- NULL: no request caused it, or its id is not known.
    request_id text,
    constraint a_person_has_an_id check ((actor_role in ('ADMIN', 'ARTIST')) = (actor_id is not null))
);

-- The paths of the page: everything, a kind of act, and what names a person, a subject or a release. The janitor takes the first one, too.
create index idx_audit_entries_at on audit_entries (at, id);
create index idx_audit_entries_action on audit_entries (action, at, id);
-- The last three hold what the page filters by, so that they are read in their order and without the table. An admin may have a thousand
-- times as many entries as the average person: with the table, the database would expect few, and read and sort all of them.
create index idx_audit_entries_actor_id on audit_entries (actor_id, at, id) include (action, subject_id) where actor_id is not null;
create index idx_audit_entries_subject_id on audit_entries (subject_id, at, id) include (action, actor_id) where subject_id is not null;
create index idx_audit_entries_release_id on audit_entries (release_id, at, id) include (action, actor_id, subject_id) where release_id is not null;

-- Entries are only added. Two functions below may do one thing more each: they name it in `vwaza.audit_trail` while they do it. (A function
-- can't have such a setting attached unless a superuser creates it.)
create function guard_audit_entries() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and current_setting('vwaza.audit_trail', true) = 'prune' then
        return old;
    end if;
    if tg_op = 'UPDATE' and current_setting('vwaza.audit_trail', true) = 'pseudonymise'
        and (new.id, new.at, new.actor_id, new.actor_role, new.action, new.subject_kind, new.subject_id, new.release_id, new.was,
             new.became, new.request_id)
            is not distinct from
            (old.id, old.at, old.actor_id, old.actor_role, old.action, old.subject_kind, old.subject_id, old.release_id, old.was,
             old.became, old.request_id) then
        return new;
    end if;
    raise exception 'the audit trail is append-only' using errcode = 'insufficient_privilege';
end $$;

create trigger guard_audit_entries before update or delete on audit_entries for each row execute function guard_audit_entries();
create trigger guard_audit_entries_truncate before truncate on audit_entries for each statement execute function guard_audit_entries();

-- "Ana (ana@example.com)".
create function account_label(account uuid) returns text language sql stable as $$
    select artist_name || ' (' || email || ')' from users where id = account
$$;

-- A release's title as lists show it.
create function release_label(release uuid) returns text language sql stable as $$
    select case when title = '' then 'Untitled' else title end || coalesce(' (' || title_version || ')', '') from releases where id = release
$$;

-- Deletes up to `at_most` entries that are older than `days`, the oldest first, and adds an entry about it. Waits until some are a day older
-- than that, so that a trail with entries of every minute is pruned once a day. Never deletes an entry of the last 30 days.
create function prune_audit_entries(entry uuid, days integer, at_most bigint) returns bigint
language plpgsql as $$
declare
    oldest constant timestamptz := now() - make_interval(days => greatest(days, 30));
    pruned bigint := 0;
begin
    if exists (select 1 from audit_entries where at < oldest - interval '1 day') then
        perform set_config('vwaza.audit_trail', 'prune', true);
        delete from audit_entries where id in (
            select id from audit_entries where at < oldest order by at, id limit at_most for update skip locked);
        get diagnostics pruned = row_count;
        perform set_config('vwaza.audit_trail', '', true);
    end if;
    if pruned > 0 then
        insert into audit_entries (id, actor_role, action, subject_kind, note)
        values (entry, 'SYSTEM', 'TRAIL_PRUNED', 'AUDIT_TRAIL', format('%s entries from before %s', pruned, to_char(oldest at time zone 'UTC', 'YYYY-MM-DD')));
    end if;
    return pruned;
end $$;

-- Puts a pseudonym in the place of a person's name and address, removes what was noted about their account, and the titles and notes of
-- their releases that were never published. Adds an entry about it. Ids, acts and times stay.
create function pseudonymise_audit_entries(entry uuid, person uuid, pseudonym text, request text) returns bigint
language plpgsql as $$
declare
    unpublished uuid[] := array(
        select id from releases where artist_id = person and status <> 'PUBLISHED'
        union
        select release_id from audit_entries where actor_id = person and action = 'RELEASE_DELETED');
    changed bigint;
begin
    perform set_config('vwaza.audit_trail', 'pseudonymise', true);
    update audit_entries e
    set actor_label = case when actor_id = person then pseudonym else actor_label end,
        subject_label = case when subject_kind = 'ACCOUNT' and subject_id = person then pseudonym
                             when release_id = any (unpublished) then '' else subject_label end,
        note = case when subject_id = person or release_id = any (unpublished) then null else note end
    where actor_id = person or subject_id = person or release_id = any (unpublished);
    get diagnostics changed = row_count;
    perform set_config('vwaza.audit_trail', '', true);
    insert into audit_entries (id, actor_id, actor_role, actor_label, action, subject_kind, subject_id, subject_label, note, request_id)
    values (entry, person, (select role::text::audit_role from users where id = person), pseudonym, 'ACCOUNT_PSEUDONYMISED', 'ACCOUNT', person,
            pseudonym, format('%s entries', changed), request);
    return changed;
end $$;
