-- The search. `src/domain/search` folds texts and makes lexemes of them, so that a search doesn't depend on the database's locale or
-- extensions. `src/backend/releases/search/keeper.rs` keeps the tables; these triggers tell it what has changed.

create table release_search (
    release_id uuid primary key references releases (id) on delete cascade,
    -- Later for releases that were added later. A bucket of numbers is a lexeme, see `search_bucket`.
    number bigint not null,
    -- Copies, so that a search ranks a thousand releases without reading them. They are always exact.
    artist_id uuid not null,
    status release_status not null,
    changed_at timestamptz not null,
    submitted_at timestamptz,
    -- Words, codes and the title, and the lexemes of `search_filters`.
    words tsvector not null
) with (fillfactor = 90);
create sequence release_search_number owned by release_search.number;
-- Each search reads all entries that wait in an index to be sorted in, so only a few may wait.
create index idx_release_search_words on release_search using gin (words) with (gin_pending_list_limit = 512);

-- 16,384 releases that were added one after the other, as a lexeme.
create function search_bucket(of_number bigint) returns text language sql immutable return '#' || (of_number >> 14);

-- The lexemes by which lists are filtered. No word begins like them.
create function search_filters(of_number bigint, of_artist uuid, of_status release_status) returns tsvector language sql stable
    return array_to_tsvector(array[search_bucket(of_number), '@' || of_artist, '/' || of_status]);

-- A search with a filter knows of a transition at once.
create function copy_to_search() returns trigger language plpgsql as $$ begin
    update release_search
    set artist_id = new.artist_id, status = new.status, changed_at = new.updated_at, submitted_at = new.submitted_at,
        words = case when (old.artist_id, old.status) = (new.artist_id, new.status) then words
                     else ts_delete(words, array['@' || old.artist_id, '/' || old.status]) || search_filters(number, new.artist_id, new.status) end
    where release_id = new.id;
    return null;
end $$;
create trigger search_copies after update of artist_id, status, updated_at, submitted_at on releases for each row
    when (row (old.artist_id, old.status, old.updated_at, old.submitted_at)
          is distinct from row (new.artist_id, new.status, new.updated_at, new.submitted_at))
    execute function copy_to_search();

create table user_search (
    user_id uuid primary key references users (id) on delete cascade,
    -- Words of the name and of the e-mail address, and the name.
    words tsvector not null
);
create index idx_user_search_words on user_search using gin (words) with (gin_pending_list_limit = 512);

-- Every word of four characters or more that a release is found by, for searches for its beginning, and for those who mistype it.
create table search_words (
    word text collate "C" primary key,
    -- Any similar word has one of these parts. Empty for words with digits.
    parts text[] not null
);
create index idx_search_words_parts on search_words using gin (parts);

-- What the tables above don't know yet. A row for each change: a transaction never waits for another one to note a change.
create table search_stale (
    seq bigint generated always as identity primary key,
    release_id uuid,
    user_id uuid,
    -- The user's releases are stale, too.
    with_releases boolean not null default false,
    constraint a_release_or_a_user check (num_nonnulls(release_id, user_id) = 1)
);

create function note_stale_release() returns trigger language plpgsql as $$ begin
    insert into search_stale (release_id) values (new.id);
    return null;
end $$;
create trigger search_release_added after insert on releases for each row execute function note_stale_release();
create trigger search_release_changed after update of title, title_version, label, gtin, artist_id on releases for each row
    when (row (old.title, old.title_version, old.label, old.gtin, old.artist_id)
          is distinct from row (new.title, new.title_version, new.label, new.gtin, new.artist_id))
    execute function note_stale_release();

create function note_stale_isrc() returns trigger language plpgsql as $$ begin
    insert into search_stale (release_id) values (coalesce(new.release_id, old.release_id));
    return null;
end $$;
create trigger search_isrc_added after insert on tracks for each row when (new.isrc is not null) execute function note_stale_isrc();
create trigger search_isrc_changed after update of isrc on tracks for each row when (old.isrc is distinct from new.isrc)
    execute function note_stale_isrc();
create trigger search_isrc_removed after delete on tracks for each row when (old.isrc is not null) execute function note_stale_isrc();

create function note_stale_user() returns trigger language plpgsql as $$ begin
    insert into search_stale (user_id, with_releases) values (new.id, tg_op = 'UPDATE' and old.artist_name is distinct from new.artist_name);
    return null;
end $$;
create trigger search_user_added after insert on users for each row execute function note_stale_user();
create trigger search_user_changed after update of artist_name, email on users for each row
    when (row (old.artist_name, old.email) is distinct from row (new.artist_name, new.email)) execute function note_stale_user();

-- The releases that match a search, with one of these statuses and of one artist or of all: at most 1,001. If more match, those are left
-- out that were added first, except for those whose title is the search.
--
-- The latest two buckets are read first. If a word is so common that they hold 1,001 matches, the others are not looked at. The settings
-- keep every plan on the indexes, whatever the planner believes of the words.
create function search_releases(
    query tsquery, same_title tsquery, title_beginning tsquery, of_statuses release_status[], of_artist uuid, sorted_by text
) returns setof uuid language plpgsql stable
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan set jit = off
as $$
declare
    newest bigint := (select last_value from release_search_number);
    buckets tsquery := format('''%s'' | ''%s''', search_bucket(newest), search_bucket(newest - 16384));
begin
    if cardinality(of_statuses) = 1 then
        query := query && format('''/%s''', of_statuses[1])::tsquery;
    end if;
    if of_artist is not null then
        query := query && format('''@%s''', of_artist)::tsquery;
    end if;
    return query
    with recent as materialized (
        select s.release_id, s.changed_at, s.submitted_at, case when s.words @@ same_title then 0 when s.words @@ title_beginning then 1 else 2 end as rank
        from release_search s
        where s.words @@ (query && buckets) and s.status = any (of_statuses) and (of_artist is null or s.artist_id = of_artist) limit 1001
    ), others as materialized (
        select s.release_id, s.changed_at, s.submitted_at, case when s.words @@ same_title then 0 when s.words @@ title_beginning then 1 else 2 end as rank
        from release_search s
        where (select count(*) from recent) < 1001 and s.words @@ query
          and s.status = any (of_statuses) and (of_artist is null or s.artist_id = of_artist)
        limit 1001
    ), titled as materialized (
        select s.release_id, s.changed_at, s.submitted_at, 0 as rank
        from release_search s
        where (select greatest(count(*), (select count(*) from others)) from recent) > 1000 and s.words @@ (query && same_title)
          and s.status = any (of_statuses) and (of_artist is null or s.artist_id = of_artist)
        limit 1001
    ), found as (
        select * from titled union select * from recent union select * from others
    )
    select f.release_id from found f
    order by case when sorted_by in ('changed', 'waiting') then f.rank end,
             case sorted_by when 'waiting' then f.submitted_at end,
             case sorted_by when 'title' then (select sort_text(r.title) from releases r where r.id = f.release_id) end,
             case sorted_by when 'date' then (select coalesce(r.release_date, '-infinity') from releases r where r.id = f.release_id) end desc,
             f.changed_at desc, f.release_id
    limit 1001;
end $$;

-- The accounts that match a search: first those with the name that was searched for, then by name. At most 1,001.
create function search_users(query tsquery, same_name tsquery) returns setof uuid language plpgsql stable
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan set jit = off
as $$ begin
    return query
    with found as materialized (
        select s.user_id, s.words @@ same_name as is_same from user_search s where s.words @@ query limit 1001
    )
    select u.id from found f join users u on u.id = f.user_id order by not f.is_same, sort_text(u.artist_name), u.id;
end $$;

-- The words that have one of these parts, or are one of these words.
create function search_words_like(of_parts text[], of_words text[]) returns setof text language plpgsql stable
    set enable_seqscan = off set plan_cache_mode = force_generic_plan set jit = off
as $$ begin
    return query select w.word from search_words w where w.parts && of_parts or w.word = any (of_words);
end $$;

-- The words that begin with each of these, and no more than `at_most` of them.
create function search_words_beginning(of_typed text[], at_most int) returns table (typed text, words text[]) language plpgsql stable
    set enable_seqscan = off set plan_cache_mode = force_generic_plan set jit = off
as $$ begin
    return query select t, array(select w.word from search_words w where w.word >= t and w.word < t || chr(1114111) order by w.word limit at_most)
                 from unnest(of_typed) t;
end $$;

-- Which of these words no release has. A query goes with each word.
create function search_words_unused(of_words text[], queries tsquery[]) returns setof text language plpgsql stable
    set enable_seqscan = off set plan_cache_mode = force_generic_plan set jit = off
as $$ begin
    return query select w.word from unnest(of_words, queries) w (word, query)
                 where not exists (select 1 from release_search s where s.words @@ w.query);
end $$;
