//! The parts of `/admin/queue`: counts of jobs, dead letters and changed files.

pub mod changed_files;
pub mod dead_letters;
pub mod job_table;
