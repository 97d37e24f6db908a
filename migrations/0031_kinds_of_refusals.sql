-- Why a file was refused, as a kind: HTTP statuses belong to the edge. `failure_status` stays for processes of the version before, which
-- still read and write it while an upgrade goes from one to the next.
create type file_refusal as enum (
    'TOO_LARGE', 'WRONG_KIND', 'EMPTY', 'INCOMPLETE', 'DAMAGED', 'CANNOT_DECODE', 'OUTSIDE_LIMITS', 'CHECKSUM_MISMATCH', 'LOST'
);
alter table uploads add column refusal file_refusal;
update uploads set refusal = case failure_status when 410 then 'LOST'::file_refusal when 413 then 'TOO_LARGE'
                                                 when 415 then 'WRONG_KIND' else 'OUTSIDE_LIMITS' end
where state = 'REFUSED';

-- Whether the examination was given up though the file may be fine: an admin who discards it has the artist asked for it again.
alter table objects add column was_given_up boolean not null default false;
update objects set was_given_up = true
where examination = 'FAILED'
  and examination_failure like 'We could not examine this file, though we tried several times.%';
