-- Whether an admin did it, or a command of the operator's, and not the user. `admin_id` is NULL for a command.
alter table security_events add column by_admin boolean not null default false;
