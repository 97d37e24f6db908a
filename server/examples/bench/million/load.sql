-- The releases of the benchmark, their tracks and their artists. `bench.releases` says how many releases: ten for each artist, and five
-- tracks for each release. Every value is computed from its number, so that each run has the same.

-- Replicas don't execute triggers. The benchmark has all rows indexed afterwards, as an upgrade does.
set session_replication_role = replica;
set synchronous_commit = off;

-- A number from 0 to 1 for each number and salt.
create function pg_temp.chance(number bigint, salt int) returns float8 language sql immutable
    return (hashint8extended(number, salt) & 1048575) / 1048576.0;

create temporary table words as
select n, case when n % 60 = 0 then replace(replace(word, 'a', 'á'), 'o', 'ø')
               when n % 97 = 0 then chr(19968 + ((n::bigint * 7919) % 20000)::int) || chr(19968 + ((n::bigint * 104729) % 20000)::int)
               else word end as word
from (select n, (array['ka','lo','mi','ru','ve','sa','to','ni','pe','da','fu','go','hi','ja','le','mo','na','pi','ri','su'])[1 + n % 20]
             || (array['ran','lim','dos','ven','mar','tel','pin','ros','gat','bil','cor','den','fos','hal','jun','kel','lun','mir','nox','par'])[1 + n / 20 % 20]
             || (array['','a','o','is','en','ia','or','um','et','al','ix','us'])[1 + n / 400 % 12]
             || (array['','ta','ro','lin','der','so','me','ka','vi','do'])[1 + n / 4800 % 10] as word
      from generate_series(0, 47999) n) made;
create unique index on words (n);
analyze words;

-- A few words are in many texts, and most are in few.
create function pg_temp.word_number(number bigint, salt int) returns int language sql immutable
    return floor(48000 * power(pg_temp.chance(number, salt), 3))::int;

insert into users (id, email, artist_name, password_hash)
select md5('artist ' || g.n)::uuid, 'artist-' || g.n || '@example.com',
       case g.n when 1 then 'Nova' else initcap(a.word || case when g.n % 3 = 0 then '' else ' ' || b.word end) end, ''
from generate_series(1, current_setting('bench.releases')::int / 10) g (n)
join words a on a.n = pg_temp.word_number(g.n, 1) join words b on b.n = pg_temp.word_number(g.n, 2)
order by g.n;

-- One release in 200 is Nova's, and one in 100 waits for its review.
insert into releases (id, artist_id, status, title, title_version, label, gtin, release_date, submitted_at, decided_at, reject_reason, created_at, updated_at)
select (lpad(to_hex((1000 * extract(epoch from at))::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
       md5('artist ' || case when n % 400 in (0, 201) then 1 else 1 + floor(pg_temp.chance(n, 3) * current_setting('bench.releases')::int / 10)::int end)::uuid,
       status, title, case when n % 7 = 0 then (array['Live', 'Remix', 'Acoustic', 'Deluxe Edition', 'Radio Edit'])[1 + n % 5] end, label,
       case when n % 5 < 3 then lpad((n * 10)::text, 12, '0') end, case when n % 10 > 0 then at::date + 30 end,
       case when status <> 'DRAFT' then at + interval '1 day' end, case when status in ('PUBLISHED', 'REJECTED') then at + interval '2 days' end,
       case when status = 'REJECTED' then 'The cover is blurred.' end, at, least(now(), at + interval '60 days' * pg_temp.chance(n, 4))
from (select g.n, now() - (current_setting('bench.releases')::int - g.n) * interval '150 seconds' as at,
             (case when g.n % 200 in (1, 100) then 'PENDING_REVIEW' when g.n % 12 = 4 then 'DRAFT' when g.n % 30 = 3 then 'REJECTED' else 'PUBLISHED' end)::release_status as status,
             case when g.n % 1000 = 8 then 'Midnight Drive'
                  when g.n % 2 = 0 then initcap(a.word) || ' Midnight'
                  when g.n % 401 = 0 then '東京の' || chr(19968 + ((g.n::bigint * 7919) % 20000)::int)
                  else initcap(a.word || ' ' || b.word) end as title,
             initcap(l.word || ' ' || m.word) || ' Records' as label
      from generate_series(1, current_setting('bench.releases')::int) g (n)
      join words a on a.n = pg_temp.word_number(g.n, 5) join words b on b.n = pg_temp.word_number(g.n, 6)
      join words l on l.n = g.n % 1999 * 7 join words m on m.n = g.n % 1999 * 11) made
order by n;

-- The release in the middle has 100 tracks.
insert into tracks (id, release_id, number, title, isrc)
select md5('track ' || r.n || ' ' || t)::uuid, r.id, t, initcap(w.word), 'GB' || upper(substr(md5((r.n % 1999)::text), 1, 3)) || lpad(((r.n * 5 + t) % 10000000)::text, 7, '0')
from (select row_number() over (order by id) as n, id from releases) r
cross join lateral generate_series(1, case when r.n = current_setting('bench.releases')::int / 2 then 100 else 5 end) t
join words w on w.n = (r.n + t * 31) % 48000
order by r.n, t;

set session_replication_role = default;
analyze;
