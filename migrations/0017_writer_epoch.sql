-- Each opening of an upload to a writer counts it up, and a writer's offsets count only for as long as nobody else has opened it: a
-- statement that a broken line delivers late moves no offset that a later writer's bytes rest on.
alter table uploads add column writer_epoch bigint not null default 0;
