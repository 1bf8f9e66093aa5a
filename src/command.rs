//! The command line: what can be typed, and what each word does.

pub mod serve;
pub mod welcome;

use std::process::ExitCode;

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
