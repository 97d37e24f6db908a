-- An upload in parts that a storage was told of: committed before the first part, so that the reaper can end what a kill leaves open.
-- NULL: none was begun, or the object is complete.
alter table objects add column multipart_id text;
