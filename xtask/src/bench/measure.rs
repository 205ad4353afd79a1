//! One measurement of whoever runs: the load as a process of its own, and what it and the kernel tell of it.

use std::{
    env, fs,
    net::SocketAddr,
    num::NonZero,
    path::Path,
    process::Command,
    thread::{available_parallelism, scope, sleep},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::time::Instant;

use super::servers::{LOADS_CORE, Running};

/// Before what is measured.
const WARM_UP_SECONDS: f64 = 0.5;

/// Files that a proxy needs for ten thousand open streams, and the most that we ask the system for.
const FILES: u64 = 21_000;

/// What a measurement gave.
#[derive(Clone, Debug, Default)]
pub(super) struct Figure {
    pub(super) a_second: Vec<f64>,
    pub(super) p50_us: Vec<f64>,
    pub(super) p99_us: Vec<f64>,
    /// Microseconds of its core for a call.
    pub(super) core_us: Vec<f64>,
    /// Megabytes.
    pub(super) memory: Vec<f64>,
    /// Kilobytes of each stream that has been open for a while.
    pub(super) each_later: Vec<f64>,
    pub(super) failures: u64,
}

impl Figure {
    /// Measures once, warmed up; gives what the load said.
    pub(super) fn measure(
        &mut self,
        running: &Running,
        load: &Load,
        seconds: f64,
    ) -> Result<Value> {
        let _warm = load.run(WARM_UP_SECONDS)?;
        running.wait_for_books();
        let (_, before) = running.used()?;
        let told = load.run(seconds)?;
        let (memory, _) = running.used()?;
        // What is left for later is work of these calls, too.
        running.wait_for_books();
        let (_, after) = running.used()?;
        let number = |name: &str| told[name].as_f64().unwrap_or_default();
        self.a_second.push(number("a_second"));
        self.p50_us.push(number("p50_us"));
        self.p99_us.push(number("p99_us"));
        self.core_us.push(quotient(
            after.saturating_sub(before),
            told["calls"].as_u64(),
        ));
        self.memory.push(super::megabytes(memory));
        self.failures += told["failures"].as_u64().unwrap_or_default()
            + told["refused"].as_u64().unwrap_or_default();
        if let Some(failure) = told["failure"].as_str() {
            println!("  {failure}");
        }
        Ok(told)
    }
}

/// One by the other.
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
pub(super) fn quotient(sum: u64, count: Option<u64>) -> f64 {
    sum as f64 / count.unwrap_or_default().max(1) as f64
}

/// What is asked, and how often.
#[derive(Clone, Debug)]
pub(super) struct Load<'a> {
    pub(super) address: SocketAddr,
    pub(super) path: &'a str,
    pub(super) body: &'a Path,
    pub(super) key: Option<&'a str>,
    pub(super) connections: usize,
    pub(super) streams: bool,
    /// Calls a second of an open loop.
    pub(super) rate: Option<f64>,
    /// On any core, not on its own.
    pub(super) unpinned: bool,
    /// More arguments.
    pub(super) more: Vec<String>,
}

impl Load<'_> {
    /// The load as a process of its own, on its own core.
    pub(super) fn command(&self) -> Result<Command> {
        let program = env::current_exe()?;
        let mut command = if self.unpinned {
            Command::new(program)
        } else {
            let mut pinned = Command::new("taskset");
            pinned.args(["-c", LOADS_CORE]).arg(program);
            pinned
        };
        command
            .args(["load", "--address", &self.address.to_string()])
            .args(["--path", self.path])
            .arg("--body")
            .arg(self.body)
            .args(["--connections", &self.connections.to_string()])
            .args(&self.more);
        if self.streams {
            command.arg("--streams");
        }
        if let Some(key) = self.key {
            command.args(["--key", key]);
        }
        if let Some(rate) = self.rate {
            command.args(["--rate", &rate.to_string()]);
        }
        Ok(command)
    }

    pub(super) fn run(&self, seconds: f64) -> Result<Value> {
        let done = self
            .command()?
            .args(["--seconds", &seconds.to_string()])
            .output()?;
        ensure!(
            done.status.success(),
            "the load failed: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        serde_json::from_slice(&done.stdout).context("the load says something else")
    }
}

/// How quiet the machine is before anything is measured.
pub(super) struct Quiet {
    /// The share of all cores that is busy.
    pub(super) busy: f64,
    /// How long its cores stand still of a second of work.
    pub(super) standstill: Duration,
}

/// The share of all cores that is busy now.
pub(super) fn busy() -> Result<f64> {
    let read = || -> Result<(u64, u64)> {
        let stat = fs::read_to_string("/proc/stat")?;
        let numbers: Vec<u64> = stat
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .filter_map(|number| number.parse().ok())
            .collect();
        let idle = numbers.iter().skip(3).take(2).sum();
        Ok((numbers.iter().sum(), idle))
    };
    let (all, idle) = read()?;
    sleep(Duration::from_secs(2));
    let (all_later, idle_later) = read()?;
    Ok(1.0 - quotient(idle_later - idle, Some(all_later - all)))
}

/// How long every core stands still of a second of work, on the average: a host that has others to serve takes it from who works, and no p99 can be shorter
/// than what it takes.
pub(super) fn standstill() -> Duration {
    const LOOK: Duration = Duration::from_secs(2);
    let look = || {
        let (begin, mut last) = (Instant::now(), Duration::ZERO);
        let mut still = Duration::ZERO;
        while last < LOOK {
            let now = begin.elapsed();
            let gap = now - last;
            if gap > Duration::from_micros(200) {
                still += gap;
            }
            last = now;
        }
        still
    };
    let cores = available_parallelism().map_or(1, NonZero::get);
    let still: Duration = scope(|scope| {
        let cores: Vec<_> = (0..cores).map(|_| scope.spawn(look)).collect();
        let stills = cores.into_iter().filter_map(|core| core.join().ok());
        stills.sum()
    });
    let seconds = u32::try_from(cores).unwrap_or(1).saturating_mul(2);
    still / seconds
}

/// How many files a process may open: what we ask for, or what the system allows. Programs that we start may as many.
pub(super) fn files_allowed() -> u64 {
    let now = getrlimit(Resource::Nofile);
    // No limit is none.
    let (current, maximum) = (
        now.current.unwrap_or(u64::MAX),
        now.maximum.unwrap_or(u64::MAX),
    );
    if current >= FILES {
        return current;
    }
    // Beyond the hard limit only a few may go, who then raise that, too.
    for maximum in [maximum.max(FILES), maximum] {
        let wanted = Rlimit {
            current: Some(maximum.min(FILES)),
            maximum: Some(maximum),
        };
        if setrlimit(Resource::Nofile, wanted).is_ok() {
            return maximum.min(FILES);
        }
    }
    current
}
