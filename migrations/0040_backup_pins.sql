-- Backups that are being made. While a pin is alive, the reaper dooms no object that a backup's snapshot may name.

create table backup_pins (
    id uuid primary key,
    created_at timestamptz not null default now(),
    -- A heartbeat moves it on. A pin whose time is over stays over.
    expires_at timestamptz not null
);
