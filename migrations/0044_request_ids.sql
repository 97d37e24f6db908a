-- Jobs and mails remember which request caused them, so that the log lines of their attempts carry its id.
-- `trace_parent` is the position in a distributed trace, as the header `traceparent` of W3C has it. Both are null for work that no
-- request has caused, and for rows of processes of the version before.
alter table upload_jobs add column request_id text, add column trace_parent text;
alter table mail_jobs add column request_id text, add column trace_parent text;
