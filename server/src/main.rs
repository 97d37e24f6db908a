//! The binary `vwaza`: the server, and the operator's commands.

// The type of a page's view is deeply nested.
#![recursion_limit = "512"]

mod audit_export;
mod check_config;
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

use std::{error::Error, process::ExitCode};

use clap::Parser;
use rustix::fs::Mode;
use tikv_jemallocator::Jemalloc;
use tokio::runtime::Runtime;

use self::{config::Config, telemetry::Telemetry};

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
    let (config, problems) = Config::read();
    if !problems.is_empty() && !command.checks_config() {
        problems.iter().for_each(|problem| eprintln!("vwaza: {problem}"));
        return ExitCode::from(2);
    }
    let (runtime, telemetry) = match start(&config, command.is_server()) {
        Ok(started) => started,
        Err(error) => {
            eprintln!("vwaza: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(cli::run(command, config, &problems)) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(error = ?error, "vwaza stopped");
            eprintln!("vwaza: {error}");
            ExitCode::FAILURE
        }
    };
    drop(telemetry);
    // The shutdown does not wait for an examination in the middle of a long file. The job is handed back.
    runtime.shutdown_background();
    code
}

fn start(config: &Config, is_server: bool) -> Result<(Runtime, Telemetry), Box<dyn Error + Send + Sync>> {
    let runtime = Runtime::new()?;
    let telemetry = telemetry::init(config, is_server, runtime.handle())?;
    Ok((runtime, telemetry))
}
