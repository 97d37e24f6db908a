-- The search has to learn of everything that is there. The triggers of the migration before note what changes from now on, so this one
-- locks nobody out. The keeper takes the latest notes first: it numbers the releases that were changed last as the latest.
insert into search_stale (release_id) select id from releases order by updated_at desc;
insert into search_stale (user_id) select id from users;
