-- A file that failed needs nobody's attention any more once another one for the same target is on its way.

create function is_being_replaced(of_release uuid, of_kind upload_kind, of_track uuid, since bigint) returns boolean language sql stable as $$
    select exists (select 1 from uploads
                   where release_id = of_release and kind = of_kind and track_id is not distinct from of_track and seq > since
                     and (state = 'RECEIVED' or (state = 'RECEIVING' and expires_at > now())))
$$;

create or replace function release_has_failed_file(release uuid) returns boolean language sql stable as $$
    select exists (select 1 from uploads u
                   join releases r on r.id = u.release_id
                   left join tracks t on t.id = u.track_id
                   left join objects held on held.id = case u.kind when 'COVER' then r.cover_id else t.audio_id end
                   left join uploads holder on holder.id = held.upload_id
                   where u.release_id = release and u.seq > coalesce(holder.seq, 0)
                     and (u.state = 'FAILED' or (u.state = 'DISCARDED' and held.id is null))
                     and (u.kind = 'COVER' or u.track_id is not null)
                     and not is_being_replaced(release, u.kind, u.track_id, coalesce(holder.seq, 0)))
        or exists (select 1 from releases r
                   join objects o on o.id = r.cover_id join uploads u on u.id = o.upload_id
                   where r.id = release and o.examination = 'FAILED' and not is_being_replaced(release, 'COVER', null, u.seq))
        or exists (select 1 from tracks t
                   join objects o on o.id = t.audio_id join uploads u on u.id = o.upload_id
                   where t.release_id = release and o.examination = 'FAILED' and not is_being_replaced(release, 'AUDIO', t.id, u.seq))
$$;
