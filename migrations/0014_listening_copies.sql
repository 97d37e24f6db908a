-- A copy to listen to, in a format that every browser plays, is derived from a track's file as thumbnails are from a cover.
-- (A new value of an enum cannot be used in the transaction that adds it, so the constraint does not name it.)
alter type object_role add value 'LISTENING';

alter table objects
    drop constraint a_thumbnail_has_a_parent,
    add constraint what_is_derived_has_a_parent check (
        (role in ('COVER', 'AUDIO')) = (parent_id is null) and (role = 'THUMBNAIL') = (edge_px is not null));

-- A track's file has one.
create unique index idx_objects_listening on objects (parent_id) where state = 'ATTACHED' and parent_id is not null and edge_px is null;
