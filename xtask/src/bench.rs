//! `cargo xtask bench`: the gateway side by side with plain proxies and other gateways, start and idle memory of the program as it is shipped, what a translation costs, and what
//! the books take in and answer (a million records; `RECORDS=10000000` for the goals).

mod growth;
mod instructions;
pub(crate) mod load;
mod measure;
mod others;
mod overload;
mod report;
mod servers;
mod side_by_side;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    project::{command, run, target},
    run::is_ready,
};

const ROUNDS: usize = 20;

/// What is measured.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only loads whose name contains this, side by side (also `latency`, `open streams`, `all cores`, `overload`, `growth`, `other gateways`);
    /// `docs/benchmarks.md` stays as it is.
    #[arg(long)]
    only: Option<String>,
    /// Measure although the machine has other work.
    #[arg(long)]
    force: bool,
    /// Measure this program, such as `target/shipped/tollgate` of `cargo xtask ship`, and nothing that is built of the sources.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Leave other gateways out, which take minutes to install.
    #[arg(long)]
    without_others: bool,
    /// Count instructions for each call with callgrind, compare them with the last count's, and measure nothing else.
    #[arg(long)]
    instructions: bool,
}

impl Arguments {
    /// Whether a load of this name is measured.
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|word| name.contains(word))
    }

    fn wants_others(&self) -> bool {
        self.wants("other gateways") && !self.without_others
    }
}

pub(crate) use servers::install;
pub(crate) use side_by_side::train;

pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    let built = target().join("ship/tollgate");
    let program = arguments.program.as_ref().unwrap_or(&built);
    if arguments.program.is_none() {
        run(&mut command(
            "cargo",
            &["build", "--profile", "ship", "--package", "tollgate"],
        ))?;
    }
    if arguments.instructions {
        return instructions::count(arguments, program);
    }
    side_by_side::run(arguments, program)?;
    if arguments.only.is_some() {
        return Ok(());
    }
    let mut starts = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..ROUNDS {
        let address = free_address()?;
        let (mut gateway, start) = start(program, address)?;
        sleep(Duration::from_millis(200));
        memory.push(resident_kilobytes(gateway.id())?);
        gateway.kill()?;
        gateway.wait()?;
        starts.push(start);
    }
    starts.sort();
    memory.sort_unstable();
    let (first, middle, last) = (0, ROUNDS / 2, ROUNDS - 1);
    println!(
        "start to ready, {ROUNDS} times: {:.1} / {:.1} / {:.1} ms (least, middle, most); wanted: 100 ms",
        milliseconds(starts[first]),
        milliseconds(starts[middle]),
        milliseconds(starts[last])
    );
    println!(
        "idle memory: {:.1} / {:.1} / {:.1} MB (least, middle, most); wanted: 30 MB",
        megabytes(memory[first]),
        megabytes(memory[middle]),
        megabytes(memory[last])
    );
    let size = fs::metadata(program)?.len();
    println!("program: {:.1} MB", megabytes(size / 1024));
    if arguments.program.is_some() {
        println!(
            "What a translation costs and what the books take in is measured without --program."
        );
        return Ok(());
    }
    run(&mut command(
        "cargo",
        &[
            "bench",
            "--profile",
            "ship",
            "--package",
            "tollgate-dialects",
            "--bench",
            "translation",
        ],
    ))?;
    run(&mut command(
        "cargo",
        &[
            "bench",
            "--profile",
            "ship",
            "--package",
            "tollgate-store",
            "--bench",
            "books",
        ],
    ))
}

#[expect(
    clippy::disallowed_types,
    reason = "a measurement of real time, outside of any runtime"
)]
fn start(program: &Path, address: SocketAddr) -> Result<(Child, Duration)> {
    let began = std::time::Instant::now();
    let mut gateway = command(program, &["serve", "--listen", &address.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the gateway")?;
    while !is_ready(address) {
        anyhow::ensure!(
            gateway.try_wait()?.is_none(),
            "the gateway ended before it was ready"
        );
        sleep(Duration::from_micros(500));
    }
    Ok((gateway, began.elapsed()))
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn resident_kilobytes(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn megabytes(kilobytes: u64) -> f64 {
    kilobytes as f64 / 1024.0
}
