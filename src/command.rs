//! The command line: what can be typed, and what each word does.

pub mod serve;
pub mod up;
pub mod welcome;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Settings;
use crate::lifecycle::Failure;
use crate::telemetry;

/// A self-hosted live-streaming backend.
#[derive(Parser)]
#[command(version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the whole site in the foreground: PostgreSQL, nginx, the API and the pages.
    Up(Settings),
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    match run(Line::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Logs go to stderr as well; this line is for whoever typed the command.
            eprintln!("tally: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(settings) => {
            telemetry::start(settings.log_format, &settings.log)?;
            up::run(settings)
        }
    }
}
