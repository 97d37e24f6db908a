//! The core of Vwaza Release Manager: what a release manager *is*.
//!
//! `domain` is pure (no I/O, no clock, no randomness) and compiles to WebAssembly, so that the browser judges a form by the
//! same rules as the server. `backend` holds everything that touches the world: SQL, storage, the queue, media.

pub mod domain;

#[cfg(not(target_arch = "wasm32"))]
pub mod backend;
