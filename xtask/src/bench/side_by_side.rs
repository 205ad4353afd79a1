//! Everybody under the same load, in rounds that take turns, so that what else the machine does is felt by all alike.

use std::{
    collections::BTreeMap,
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    report,
    servers::{self, Kind, LOADS_CORE, Running},
};
use crate::project::target;

/// Rounds, and the length of a measurement in each.
const ROUNDS: usize = 3;
const SECONDS: f64 = 2.0;
const WARM_UP_SECONDS: f64 = 0.5;

/// Of the time of all cores, so much may be somebody else's.
const BUSY_MAX: f64 = 0.15;

/// Streams that are open at once, for their memory.
const OPEN_STREAMS: usize = 5_000;

/// A load.
pub(super) struct Case {
    pub(super) name: &'static str,
    path: &'static str,
    /// Bytes of the body, about.
    bytes: usize,
    /// Events of a stream; a whole answer without.
    events: Option<usize>,
    connections: usize,
    model: &'static str,
    /// Only a gateway does it.
    is_translated: bool,
}

const CHAT: &str = "/v1/chat/completions";

/// What is measured for everybody.
pub(super) const CASES: [Case; 10] = [
    case("chat 1 KB, 64 connections", CHAT, 1 << 10, None, 64),
    case("chat 1 KB, 16 connections", CHAT, 1 << 10, None, 16),
    case("chat 1 KB, 512 connections", CHAT, 1 << 10, None, 512),
    case("chat 10 KB, 64 connections", CHAT, 10 << 10, None, 64),
    case("chat 400 KB, 16 connections", CHAT, 400 << 10, None, 16),
    case(
        "streams of 20 events, 64 connections",
        CHAT,
        1 << 10,
        Some(20),
        64,
    ),
    case(
        "streams of 500 events, 16 connections",
        CHAT,
        1 << 10,
        Some(500),
        16,
    ),
    Case {
        model: "vectors",
        ..case(
            "embeddings, 64 connections",
            "/v1/embeddings",
            1 << 10,
            None,
            64,
        )
    },
    Case {
        is_translated: true,
        ..case(
            "translated from Anthropic's messages, 64 connections",
            "/v1/messages",
            1 << 10,
            None,
            64,
        )
    },
    Case {
        is_translated: true,
        ..case(
            "translated streams of 20 events, 64 connections",
            "/v1/messages",
            1 << 10,
            Some(20),
            64,
        )
    },
];

const fn case(
    name: &'static str,
    path: &'static str,
    bytes: usize,
    events: Option<usize>,
    connections: usize,
) -> Case {
    Case {
        name,
        path,
        bytes,
        events,
        connections,
        model: "chat",
        is_translated: false,
    }
}

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
    pub(super) failures: u64,
}

/// By case, then by who was measured.
pub(super) type Figures = BTreeMap<String, BTreeMap<&'static str, Figure>>;

/// Measures, and writes `docs/benchmarks.md` and what the next run compares with.
pub(super) fn run(force: bool, only: Option<&str>, program: &Path) -> Result<()> {
    for kind in Kind::ALL {
        kind.install()?;
    }
    let busy = busy()?;
    ensure!(
        busy <= BUSY_MAX || force,
        "other work takes {:.0} % of this machine: nothing that is measured now would hold (--force measures all the same)",
        busy * 100.0
    );
    let folder = env::temp_dir().join(format!("tollgate-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(&folder, only, program);
    // What is left behind is in the way of nobody.
    let _removed = fs::remove_dir_all(&folder);
    let figures = measured?;
    report::tell(&figures, busy, only.is_none())
}

fn measure(folder: &Path, only: Option<&str>, program: &Path) -> Result<Figures> {
    let mock = servers::mock(0, program)?;
    let mut figures = Figures::new();
    let wanted = |name: &str| only.is_none_or(|word| name.contains(word));
    for case in CASES.iter().filter(|case| wanted(case.name)) {
        println!("{}", case.name);
        let body = body(folder, case)?;
        for _ in 0..ROUNDS {
            for kind in Kind::ALL {
                if case.is_translated && !kind.is_tollgate() {
                    continue;
                }
                let running = servers::start(kind, mock.address, folder, program)?;
                let figure = figures.entry(case.name.to_owned()).or_default();
                let figure = figure.entry(kind.as_str()).or_default();
                one(&running, kind, case, &body, None, figure)?;
            }
        }
    }
    if wanted("latency") {
        latencies(folder, &mock, &mut figures, program)?;
    }
    if wanted("open streams") {
        open_streams(folder, &mut figures, program)?;
    }
    Ok(figures)
}

/// Has a program do what it is measured doing, but nothing is measured.
pub(crate) fn train(program: &Path) -> Result<()> {
    let folder = env::temp_dir().join(format!("tollgate-train-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mock = servers::mock(0, program)?;
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_tollgate()) {
        let running = servers::start(kind, mock.address, &folder, program)?;
        for case in &CASES {
            let body = body(&folder, case)?;
            let load = Load {
                address: running.address,
                kind,
                case,
                body: &body,
                rate: None,
            };
            let _told = load.run(SECONDS)?;
        }
    }
    // What is left behind is in the way of nobody.
    let _removed = fs::remove_dir_all(&folder);
    Ok(())
}

/// One measurement, warmed up.
fn one(
    running: &Running,
    kind: Kind,
    case: &Case,
    body: &Path,
    rate: Option<f64>,
    figure: &mut Figure,
) -> Result<()> {
    let address = if case.events.is_some() {
        running.streams
    } else {
        running.address
    };
    let load = Load {
        address,
        kind,
        case,
        body,
        rate,
    };
    let _warm = load.run(WARM_UP_SECONDS)?;
    let (_, before) = running.used()?;
    let told = load.run(SECONDS)?;
    let (memory, after) = running.used()?;
    let number = |name: &str| told[name].as_f64().unwrap_or_default();
    figure.a_second.push(number("a_second"));
    figure.p50_us.push(number("p50_us"));
    figure.p99_us.push(number("p99_us"));
    figure.core_us.push(quotient(
        after.saturating_sub(before),
        told["calls"].as_u64(),
    ));
    figure.memory.push(super::megabytes(memory));
    figure.failures += told["failures"].as_u64().unwrap_or_default();
    if let Some(failure) = told["failure"].as_str() {
        println!("  {}: {failure}", kind.as_str());
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "microseconds for a call")]
fn quotient(micros: u64, calls: Option<u64>) -> f64 {
    micros as f64 / calls.unwrap_or_default().max(1) as f64
}

/// Latencies at half of what the whole gateway can do, the same for everybody.
fn latencies(folder: &Path, mock: &Running, figures: &mut Figures, program: &Path) -> Result<()> {
    let case = &CASES[0];
    let body = body(folder, case)?;
    let measured = figures
        .get(case.name)
        .and_then(|by| by.get(Kind::Whole.as_str()));
    let rate = match measured {
        Some(figure) => report::median(&figure.a_second) / 2.0,
        None => 5_000.0,
    };
    let name =
        format!("latency at {rate:.0} calls a second (1 KB chat, 64 connections, open loop)");
    println!("{name}");
    for _ in 0..ROUNDS {
        for kind in Kind::ALL {
            let running = servers::start(kind, mock.address, folder, program)?;
            let figure = figures.entry(name.clone()).or_default();
            let figure = figure.entry(kind.as_str()).or_default();
            one(&running, kind, case, &body, Some(rate), figure)?;
        }
    }
    Ok(())
}

/// Memory of streams that are open at once.
fn open_streams(folder: &Path, figures: &mut Figures, program: &Path) -> Result<()> {
    let name = format!("{OPEN_STREAMS} open streams: kilobytes each");
    println!("{name}");
    let case = Case {
        events: Some(1_000),
        connections: OPEN_STREAMS,
        ..case("", CHAT, 1 << 10, None, 0)
    };
    let body = body(folder, &case)?;
    for kind in Kind::ALL {
        let mock = servers::mock(1, program)?;
        let running = servers::start(kind, mock.address, folder, program)?;
        let (idle, _) = running.used()?;
        let load = Load {
            address: running.streams,
            kind,
            case: &case,
            body: &body,
            rate: None,
        };
        let mut holding = load
            .command()?
            .args(["--hold", "60"])
            .stdout(std::process::Stdio::piped())
            .spawn()?;
        let mut told = String::new();
        let out = holding.stdout.take().context("no output")?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut told)?;
        let told: Value = serde_json::from_str(&told).unwrap_or_default();
        let (full, _) = running.used()?;
        holding.kill()?;
        holding.wait()?;
        let figure = figures.entry(name.clone()).or_default();
        let figure = figure.entry(kind.as_str()).or_default();
        let begun = told["begun"].as_u64();
        figure
            .a_second
            .push(quotient(full.saturating_sub(idle), begun));
        figure.memory.push(super::megabytes(full));
        figure.failures = (OPEN_STREAMS as u64).saturating_sub(begun.unwrap_or_default());
    }
    Ok(())
}

fn body(folder: &Path, case: &Case) -> Result<PathBuf> {
    let filler = "The quick brown fox jumps over the lazy dog. ";
    let text = filler.repeat(case.bytes / filler.len());
    let mut call = if case.path.ends_with("embeddings") {
        json!({"model": case.model, "input": text})
    } else {
        json!({"model": case.model, "max_tokens": case.events.unwrap_or(50), "messages": [{"role": "user", "content": text}]})
    };
    if case.events.is_some() {
        call["stream"] = json!(true);
    }
    let file = folder.join("body.json");
    fs::write(&file, call.to_string())?;
    Ok(file)
}

struct Load<'a> {
    address: SocketAddr,
    kind: Kind,
    case: &'a Case,
    body: &'a Path,
    rate: Option<f64>,
}

impl Load<'_> {
    /// The load as a process of its own, on its own core.
    fn command(&self) -> Result<Command> {
        let mut command = Command::new("taskset");
        command
            .args(["-c", LOADS_CORE])
            .arg(env::current_exe()?)
            .args(["load", "--address", &self.address.to_string()])
            .args(["--path", self.case.path])
            .arg("--body")
            .arg(self.body)
            .args(["--connections", &self.case.connections.to_string()]);
        if self.case.events.is_some() {
            command.arg("--streams");
        }
        if let Some(key) = self.kind.key() {
            command.args(["--key", key]);
        }
        if let Some(rate) = self.rate {
            command.args(["--rate", &rate.to_string()]);
        }
        Ok(command)
    }

    fn run(&self, seconds: f64) -> Result<Value> {
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

/// The share of all cores that is busy now.
fn busy() -> Result<f64> {
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

/// Where the figures of the last run are.
pub(super) fn last_run() -> PathBuf {
    target().join("benchmarks.json")
}
