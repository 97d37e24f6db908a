-- What a form that was sent without scripts came to, until its page has shown it.

create table flashes (
    -- SHA-256 of the token in the browser's cookie.
    token_hash bytea primary key,
    -- The path of the page that shows it.
    page text not null,
    -- JSON, as text: what somebody typed may hold U+0000, which jsonb refuses.
    content text not null,
    expires_at timestamptz not null
);

create index idx_flashes_expires_at on flashes (expires_at);
