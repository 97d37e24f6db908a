//! The core of Vwaza Release Manager, which the crates `app` and `server` build on.
//!
//! `domain` is pure (no I/O, no clock, no randomness) and compiles to WebAssembly, so the browser validates a form by
//! the same rules as the server. `backend` holds everything with side effects: SQL, storage, the job queue, media
//! files.

pub mod domain;

#[cfg(not(target_arch = "wasm32"))]
pub mod backend;
