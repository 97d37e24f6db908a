-- An admin reads what a newer examination found and dismisses it. The row stays, so that the same result is not reported again.

-- The foreign key needs this lock, too. Whoever deletes an account takes it before that of changed_facts.
lock table users in share row exclusive mode;
alter table changed_facts
    -- Each result has a number of its own. An admin dismisses the result that they have read, and no newer one.
    add column revision bigint generated always as identity,
    add column dismissed_at timestamptz,
    add column dismissed_by uuid references users (id) on delete set null,
    -- A result that was found later is not dismissed, even if the version before recorded it.
    add column is_dismissed boolean not null generated always as (coalesce(dismissed_at >= found_at, false)) stored;
create index idx_changed_facts_dismissed_by on changed_facts (dismissed_by);
drop index idx_changed_facts_found_at;
create index idx_changed_facts_found_at on changed_facts (found_at desc, object_id) where not is_dismissed;
