//! Tollgate: a gateway between applications and the AI services that they call. Arguments → command.

mod app;
mod cli;
mod config;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
