//! What the queue's page is made of: how much waits, and what has failed for good.

pub mod changed_files;
pub mod dead_letters;
pub mod job_table;
