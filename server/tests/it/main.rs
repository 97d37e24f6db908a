//! Tests of the whole server over HTTP. The real binary runs as a child process, for each test with a database and a
//! folder of its own. One module per behaviour; each test tells one story.
//!
//! A number at the beginning of a test's name (`u18_…`, `j4_…`) is that of a fault in `docs/promises.md`: U for uploads
//! and storage, J for the queue's jobs, A for reviews (an admin's verdict), N for the network and the database, R for
//! other faults. The table there says what holds after the fault.

#![expect(clippy::disallowed_methods, reason = "no future of a test with a transaction is dropped halfway")]
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod access;
mod access_tokens;
mod accounts;
mod administration;
mod audit;
mod backups;
mod bounded;
mod cancelling;
mod causes;
mod commands;
mod concurrency;
mod connections;
mod corpus;
mod crashes;
mod dead_letters;
mod decoding;
mod descriptors;
mod disks;
mod embedded;
mod events;
mod examination;
mod examined_again;
mod expiry;
mod faults;
mod forms;
mod fsck;
mod fuzz;
mod guessing;
mod health;
mod indexes;
mod integrity;
mod jobs;
mod kills;
mod limits;
mod lists;
mod logs;
mod lost_replies;
mod mail;
mod media;
mod metrics;
mod migrations;
mod my_data;
mod operations;
mod pages;
mod password_reset;
mod private_files;
mod protocol;
mod proxies;
mod queue;
mod reaper;
mod refusals;
mod release_mails;
mod releases;
mod review;
mod search;
mod security_log;
mod server_functions;
mod sessions;
mod shutdown;
mod single_writer;
mod standard_clients;
mod statements;
mod storages;
mod support;
mod traces;
mod tracks;
mod tus;
mod two_factor;
mod unfinished_tracks;
mod uploads;
mod validation;
mod verification;
mod workers;
