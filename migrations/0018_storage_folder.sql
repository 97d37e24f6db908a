-- The folder of local storage that this database's objects are in, by the id that stands in it: the folder that a disk was mounted on is
-- another one.
create table storage_folder (
    is_only boolean primary key default true check (is_only),
    id uuid not null
);
