//! Takes files, checks them and sends them. `server` replaces this module on the server.

mod admission;
mod dropped_folders;
mod files;
mod intake;
mod request;
mod send;

pub use self::{
    files::{Files, holds_files},
    intake::add_files,
    send::{purge_file, start_next, stop},
};
