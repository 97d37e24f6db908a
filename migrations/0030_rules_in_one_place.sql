-- Rules about uploads, each written once. A query hands over the row: `is_whole(u)`. PostgreSQL inlines these functions, so that they use
-- the same indexes as the conditions they stand for.

-- All bytes have arrived.
create function is_whole(u uploads) returns boolean language sql immutable as $$
    select u.offset_bytes = u.length_bytes
$$;

-- Nobody sent a byte in time. An upload that is whole never expires: its process completes it, now or when it comes back.
create function is_expired(u uploads) returns boolean language sql stable as $$
    select u.state = 'RECEIVING' and u.expires_at <= now() and not is_whole(u)
$$;

-- Its bytes arrive, or wait to be stored.
create function is_under_way(u uploads) returns boolean language sql stable as $$
    select u.state = 'RECEIVED' or (u.state = 'RECEIVING' and not is_expired(u))
$$;

-- Its bytes in the spool are the only ones, or an admin may still have them stored.
create function needs_its_bytes(u uploads) returns boolean language sql immutable as $$
    select u.state in ('RECEIVING', 'RECEIVED', 'FAILED')
$$;

-- Its release exists and, for audio, its track.
create function has_target(u uploads) returns boolean language sql immutable as $$
    select u.release_id is not null and (u.kind = 'COVER' or u.track_id is not null)
$$;

-- Each upload beside the object that its target holds now.
create view upload_targets as
    select u.id as upload_id, u.release_id, u.track_id, u.kind, u.state, u.seq,
           has_target(u) as has_target, is_under_way(u) as is_under_way,
           held.id as held_id, coalesce(holder.seq, 0) as held_seq,
           -- Storing or attaching it would change nothing. The upload that its target holds is not superseded itself.
           (not has_target(u) or coalesce(holder.seq, 0) > u.seq) as is_superseded
    from uploads u
    left join releases r on r.id = u.release_id
    left join tracks t on t.id = u.track_id
    left join objects held on held.id = case u.kind when 'COVER' then r.cover_id else t.audio_id end
    left join uploads holder on holder.id = held.upload_id;

create function is_superseded(of_upload uuid) returns boolean language sql stable as $$
    select is_superseded from upload_targets where upload_id = of_upload
$$;

-- This one had forgotten that an upload which is whole does not expire: a list said that a release needs attention, and its page did not.
create or replace function is_being_replaced(of_release uuid, of_kind upload_kind, of_track uuid, since bigint) returns boolean language sql stable as $$
    select exists (select 1 from uploads u
                   where u.release_id = of_release and u.kind = of_kind and u.track_id is not distinct from of_track and u.seq > since
                     and is_under_way(u))
$$;

create or replace function release_has_failed_file(release uuid) returns boolean language sql stable as $$
    select exists (select 1 from upload_targets u
                   where u.release_id = release and not u.is_superseded
                     and (u.state = 'FAILED' or (u.state = 'DISCARDED' and u.held_id is null))
                     and not is_being_replaced(release, u.kind, u.track_id, u.held_seq))
        or exists (select 1 from releases r
                   join objects o on o.id = r.cover_id join uploads u on u.id = o.upload_id
                   where r.id = release and o.examination = 'FAILED' and not is_being_replaced(release, 'COVER', null, u.seq))
        or exists (select 1 from tracks t
                   join objects o on o.id = t.audio_id join uploads u on u.id = o.upload_id
                   where t.release_id = release and o.examination = 'FAILED' and not is_being_replaced(release, 'AUDIO', t.id, u.seq))
$$;

-- Processes of the version before still call it while an upgrade goes from one to the next.
create or replace function is_overtaken(of_upload uuid) returns boolean language sql stable as $$
    select is_superseded(of_upload)
$$;
