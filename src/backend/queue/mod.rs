//! The queue: its statements, the worker that claims jobs, what jobs of each kind do, and the dead letters.

pub(in crate::backend) mod dead_letters;
pub(in crate::backend) mod job_search;
pub(in crate::backend) mod jobs;
mod statements;
pub(in crate::backend) mod worker;

pub(in crate::backend) use statements::*;
