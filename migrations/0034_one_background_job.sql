-- At most one background job runs, whichever processes claim. Two claims of one moment do not see each other, so the index decides. A
-- second job that runs already becomes an ordinary one.
lock table upload_jobs in share row exclusive mode;
update upload_jobs set is_background = false
where is_background and status = 'UPLOADING'
  and id <> (select id from upload_jobs where is_background and status = 'UPLOADING' order by id limit 1);
create unique index idx_upload_jobs_running_background on upload_jobs (is_background) where is_background and status = 'UPLOADING';
