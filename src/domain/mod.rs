//! Rules and types that the server and the browser share. They do no I/O and use no clock and no randomness: time is an
//! argument.

pub mod account;
pub mod administration;
pub mod audit;
pub mod circuit;
pub mod codes;
pub mod device;
pub mod download;
pub mod files;
mod guests;
pub mod health;
pub mod http;
pub mod ids;
pub mod integrity;
pub mod job;
pub mod limits;
pub mod mail;
pub mod media;
pub mod operations;
pub mod page;
pub mod problem;
pub mod queue;
pub mod queue_page;
pub mod range;
pub mod release;
pub mod review;
pub mod search;
pub mod security;
pub mod text;
pub mod titles;
pub mod track;
pub mod two_factor;
pub mod upload;
