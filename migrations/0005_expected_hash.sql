-- What the client says its file hashes to, before it sends a byte of it. NULL: it does not say.
alter table uploads add column expected_sha256 bytea check (octet_length(expected_sha256) = 32);
