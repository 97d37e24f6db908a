-- What a received upload was for is gone, or holds a newer one: storing it would change nothing.

create function is_overtaken(of_upload uuid) returns boolean language sql stable as $$
    select exists (select 1 from uploads u
                   left join releases r on r.id = u.release_id
                   left join tracks t on t.id = u.track_id
                   left join objects held on held.id = case u.kind when 'COVER' then r.cover_id else t.audio_id end
                   left join uploads holder on holder.id = held.upload_id
                   where u.id = of_upload
                     and (r.id is null or (u.kind = 'AUDIO' and t.id is null) or holder.seq > u.seq))
$$;

-- An object has one job, which examines it. Jobs without one need no entry; and for the foreign key, without which each object that
-- the reaper forgets has the whole queue read, it must not ask for the kind.
drop index idx_upload_jobs_examine;
create unique index idx_upload_jobs_object_id on upload_jobs (object_id) where object_id is not null;
