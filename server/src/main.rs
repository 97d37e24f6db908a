//! The binary `vwaza`: the server, and the operator's commands.

mod cli;
mod config;
mod errors;
mod events;
mod health;
mod listen;
mod media;
mod pages;
mod router;
mod security;
mod site;
mod telemetry;
mod tus;
mod upload_form;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    let command = cli::Cli::parse();
    let config = match config::Config::from_env() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("vwaza: {error}");
            return ExitCode::from(2);
        }
    };
    telemetry::init(&config);
    match cli::run(command, config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = ?error, "vwaza stopped");
            eprintln!("vwaza: {error}");
            ExitCode::FAILURE
        }
    }
}
