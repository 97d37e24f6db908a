-- The header Upload-Metadata as a tus client gave it, which HEAD has to tell. NULL: none, or begun by the application.
alter table uploads add column metadata text;
-- A plain form cannot go on after a restart: what a kill leaves of it is given up at the next start.
alter table uploads add column can_resume boolean not null default true;
