-- Backups that are being made. While a pin is alive, the reaper dooms no object that a backup's snapshot may name.

create table backup_pins (
    id uuid primary key,
    created_at timestamptz not null default now(),
    -- A heartbeat moves it on. A pin whose time is over stays over.
    expires_at timestamptz not null
);

-- The latest backup, for metrics.
create table last_backup (
    only_row boolean primary key default true check (only_row),
    name text not null,
    ended_at timestamptz not null default now(),
    -- Bytes that the backup names, in all its pieces.
    bytes bigint not null,
    -- What the backup should have and lacks.
    missing integer not null
);
