//! Command line in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    tally::command::main()
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
