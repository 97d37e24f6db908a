//! The helpers of the tests.

mod access_table;
mod app;
mod bucket;
mod client;
mod embedded;
mod jobs;
mod log;
mod mail;
mod raw;
mod release;
mod response;
mod tus;

pub(crate) use access_table::{AccessRow, Caller, Placeholders, RowBody, multipart, path_pattern, with_body};
pub(crate) use app::{App, PASSWORD, SIGABRT, spawn_app, spawn_app_with};
pub(crate) use bucket::{Bucket, app_on_supabase};
pub(crate) use client::{Client, fields_of, form};
pub(crate) use embedded::{Embedded, RunAs, is_root};
pub(crate) use jobs::{all_jobs_end, end_all_connections, idle_jobs, make_due, postponed_jobs, unfinished_jobs};
pub(crate) use raw::RawRequest;
pub(crate) use release::{LONG_SONG_HALF, a_cover, a_long_song, a_song, complete_details, sha256};
pub(crate) use response::TestResponse;
pub(crate) use testing::{Gate, assert_in_time, ends, eventually, is_soak};
pub(crate) use tus::metadata;
