//! Chores of the project, written in Rust: `cargo xtask CHORE`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool"
)]

mod bench;
mod ci;
mod docs;
mod fuzz;
mod prices;
mod project;
mod run;
mod ship;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Build the gateway and start it: with the built-in demo, or with a configuration file.
    Run(run::Arguments),
    /// Install what the tests need, and run all of them.
    Test,
    /// Everything that must hold before a change is taken: format, lints, documentation, licences, tests.
    Ci,
    /// Replay a folder of recorded provider traffic through the gateway, and print the counts.
    Traffic(test::TrafficArguments),
    /// Replay recorded traffic, and check what the gateway says against the providers' published schemas.
    Specs(test::TrafficArguments),
    /// Make the pages of the documentation that come from the code and from recorded traffic.
    Docs(test::TrafficArguments),
    /// Make the prices that come with the program, of LiteLLM's published map.
    Prices(prices::Arguments),
    /// Check the shape of the sources: heads of files, lengths, which room imports which.
    Tidy,
    /// Feed garbage to everything that reads foreign bytes, and see whether it bears it.
    Fuzz(fuzz::Arguments),
    /// Kill the gateway a hundred times under load, take its database away for a minute, and see whether the books are right.
    Soak,
    /// Measure the gateway side by side with plain proxies and other gateways, its start and memory, translation and the books.
    Bench(bench::Arguments),
    /// Build the program as it is shipped: it learns under load what it does, and is built once more with that and laid out anew. Half an hour.
    Ship,
    /// Make calls in a closed or an open loop, and tell their rate and latencies as JSON.
    Load(bench::load::Arguments),
}

fn main() -> ExitCode {
    let result = match Cli::parse().chore {
        Chore::Run(arguments) => run::run(&arguments),
        Chore::Test => test::test(),
        Chore::Ci => ci::ci(),
        Chore::Traffic(arguments) => test::traffic(&arguments),
        Chore::Specs(arguments) => test::specs(&arguments),
        Chore::Docs(arguments) => test::docs(&arguments),
        Chore::Prices(arguments) => prices::prices(&arguments),
        Chore::Tidy => tidy::tidy(),
        Chore::Fuzz(arguments) => fuzz::fuzz(&arguments),
        Chore::Soak => test::soak(),
        Chore::Bench(arguments) => bench::bench(&arguments),
        Chore::Ship => ship::ship(),
        Chore::Load(arguments) => bench::load::load(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
