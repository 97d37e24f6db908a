-- Tracks that an upload has made and that hold nothing yet: no file has ever arrived for them, and nobody has typed into them. Where the
-- only upload of such a track has expired, the track goes, too.
create view announced_tracks as
    select t.id, t.release_id,
           exists (select 1 from uploads u where u.track_id = t.id and u.state = 'EXPIRED') as has_expired
    from tracks t
    where t.audio_id is null and t.title_is_guessed and t.title_version is null and t.isrc is null and not t.explicit
      and not exists (select 1 from uploads u
                      where u.track_id = t.id and (u.received_at is not null or u.state not in ('EXPIRED', 'CANCELLED')));

-- The janitor's path.
create index idx_tracks_announced on tracks (release_id) where audio_id is null and title_is_guessed;
