-- Files that somebody chose or dropped together. The numbers in their tags order their tracks.
alter table uploads add column batch uuid;
create index idx_uploads_batch on uploads (batch) where batch is not null;

-- The track still stands where the names of the files that were chosen together have put it.
alter table tracks add column order_is_guessed boolean not null default false;

-- Zeros alone passed for codes until now.
update releases set gtin = null where gtin ~ '^0+$';
update tracks set isrc = null where isrc ~ '^..0+$';
