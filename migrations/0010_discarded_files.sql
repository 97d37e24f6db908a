-- A file that an admin gave up is missed like one that failed, until its artist brings another.

create or replace function release_has_failed_file(release uuid) returns boolean language sql stable as $$
    select exists (select 1 from uploads u
                   join releases r on r.id = u.release_id
                   left join tracks t on t.id = u.track_id
                   left join objects held on held.id = case u.kind when 'COVER' then r.cover_id else t.audio_id end
                   left join uploads holder on holder.id = held.upload_id
                   where u.release_id = release and u.seq > coalesce(holder.seq, 0)
                     and (u.state = 'FAILED' or (u.state = 'DISCARDED' and held.id is null))
                     and (u.kind = 'COVER' or u.track_id is not null))
        or exists (select 1 from releases r join objects o on o.id = r.cover_id
                   where r.id = release and o.examination = 'FAILED')
        or exists (select 1 from tracks t join objects o on o.id = t.audio_id
                   where t.release_id = release and o.examination = 'FAILED')
$$;
