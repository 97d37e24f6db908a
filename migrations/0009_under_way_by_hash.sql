-- Files that are announced by different hashes are different files, whatever else is alike.
drop index idx_uploads_under_way;
create unique index idx_uploads_under_way
    on uploads (owner_id, release_id, track_id, kind, file_name, length_bytes, fingerprint, expected_sha256) nulls not distinct
    where state = 'RECEIVING' and release_id is not null;
