//! The binary `vwaza`: the server, and the operator's commands.

// The type of a page's view is deeply nested.
#![recursion_limit = "512"]

mod cli;
mod client;
mod config;
mod connection_slots;
mod descriptors;
mod errors;
mod events;
mod guarded_body;
mod health;
mod idle;
mod limits;
mod listen;
mod log_queue;
mod media;
mod metrics;
mod min_rate_body;
mod my_data;
mod pages;
mod plain_forms;
mod render_threads;
mod requests;
mod router;
mod security;
mod site;
mod state;
mod telemetry;
mod tus;
mod upload_form;

use std::process::ExitCode;

use clap::Parser;
use rustix::fs::Mode;
use tikv_jemallocator::Jemalloc;

/// Returns freed memory to the system within seconds, even while the process is idle: a background thread does it, as
/// `JEMALLOC_SYS_WITH_MALLOC_CONF` in `.cargo/config.toml` asks. `./dev bench memory` measures how much memory stays in
/// use after a load.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // Unreleased masters, mails and lock files must not be readable by other users of this machine, whatever umask this
    // process inherits.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let command = cli::Cli::parse();
    let config = match config::Config::from_env() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("vwaza: {error}");
            return ExitCode::from(2);
        }
    };
    let telemetry = match telemetry::init(&config, command.is_server()) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("vwaza: the log cannot be written: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| {
        let outcome = runtime.block_on(cli::run(command, config));
        // The shutdown does not wait for an examination in the middle of a long file. The job is handed back.
        runtime.shutdown_background();
        outcome
    });
    let code = match outcome {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(error = ?error, "vwaza stopped");
            eprintln!("vwaza: {error}");
            ExitCode::FAILURE
        }
    };
    drop(telemetry);
    code
}
