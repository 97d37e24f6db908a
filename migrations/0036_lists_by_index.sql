-- Lists read each page from an index. The indexes themselves are built while others write, see `src/backend/db/indexes.rs`.

-- The order of titles and names ignores accents and case.
create function sort_text(of_text text) returns text language sql immutable parallel safe as $$
    select lower(regexp_replace(normalize(of_text, nfkd), '[\u0300-\u036f]', '', 'g'))
$$;

-- The files that could not be stored or examined, so that their artist has to do something. A list asks for all its releases at once:
-- `where release_id = any (…)`.
create view failed_files as
    select u.release_id from upload_targets u
    where u.state in ('FAILED', 'DISCARDED') and (u.state = 'FAILED' or u.held_id is null)
      and not u.is_superseded and not is_being_replaced(u.release_id, u.kind, u.track_id, u.held_seq)
    union all
    select r.id from releases r join objects o on o.id = r.cover_id join uploads u on u.id = o.upload_id
    where o.examination = 'FAILED' and not is_being_replaced(r.id, 'COVER', null, u.seq)
    union all
    select t.release_id from tracks t join objects o on o.id = t.audio_id join uploads u on u.id = o.upload_id
    where o.examination = 'FAILED' and not is_being_replaced(t.release_id, 'AUDIO', t.id, u.seq);

create or replace function release_has_failed_file(release uuid) returns boolean language sql stable as $$
    select exists (select 1 from failed_files where release_id = release)
$$;

-- An index with another definition takes this name. Until it is built, the old one serves.
alter index idx_releases_artist_id rename to idx_releases_artist_id_before_0036;
