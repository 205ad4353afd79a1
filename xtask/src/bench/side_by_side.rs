//! Everybody under the same load, in rounds that take turns, so that what else the machine does is felt by all alike.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    Arguments, growth,
    measure::{Figure, Load, Quiet, busy, files_allowed, quotient, standstill},
    others, overload, report,
    servers::{self, Kind, Running, Setup},
};
use crate::project::target;

/// Rounds, and the length of a measurement in each.
const ROUNDS: usize = 3;

/// One call in a hundred is slow whenever a core stands still for a moment: the middle of many rounds tells more.
const LATENCY_ROUNDS: usize = 9;
const SECONDS: f64 = 2.0;

/// Of the time of all cores, so much may be somebody else's.
const BUSY_MAX: f64 = 0.15;

/// Streams that are open at once, for their memory, where the system allows so many files.
const OPEN_STREAMS: u64 = 10_000;

/// How long they are open until they are looked at again: what their beginning took may have been given back by then.
const OPEN_FOR: Duration = Duration::from_secs(5);

/// A load.
#[derive(Clone, Copy)]
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

impl Case {
    pub(super) fn load<'a>(&self, kind: Kind, running: &Running, body: &'a Path) -> Load<'a> {
        Load {
            address: if self.events.is_some() {
                running.streams
            } else {
                running.address
            },
            path: self.path,
            body,
            key: kind.key(),
            connections: self.connections,
            streams: self.events.is_some(),
            rate: None,
            unpinned: false,
            more: Vec::new(),
        }
    }
}

/// What is measured for everybody.
pub(super) const CASES: [Case; 12] = [
    case("chat 1 KB, 64 connections", CHAT, 1 << 10, None, 64),
    case("chat 1 KB, 16 connections", CHAT, 1 << 10, None, 16),
    case("chat 1 KB, 512 connections", CHAT, 1 << 10, None, 512),
    // So many wait for whoever is asked for more than he can do.
    case("chat 1 KB, 2000 connections", CHAT, 1 << 10, None, 2000),
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
    // As it is: no model is asked for, as far as the gateway knows.
    case(
        "plain HTTP, 64 connections",
        "/plain/v1/chat/completions",
        1 << 10,
        None,
        64,
    ),
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

/// What is measured for other gateways.
pub(super) const OTHERS_CASE: Case = CASES[1];

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

/// By case, then by who was measured.
pub(super) type Figures = BTreeMap<String, BTreeMap<&'static str, Figure>>;

/// Measures, and writes `docs/benchmarks.md` and what the next run compares with.
pub(super) fn run(arguments: &Arguments, program: &Path) -> Result<()> {
    for kind in Kind::ALL {
        kind.install()?;
    }
    if arguments.wants_others() {
        others::install();
    }
    let busy = busy()?;
    ensure!(
        busy <= BUSY_MAX || arguments.force,
        "other work takes {:.0} % of this machine: nothing that is measured now would hold (--force measures all the same)",
        busy * 100.0
    );
    let standstill = standstill();
    let folder = env::temp_dir().join(format!("tollgate-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(&folder, arguments, program);
    // What is left behind is in the way of nobody.
    let _removed = fs::remove_dir_all(&folder);
    let (figures, sections) = measured?;
    let quiet = Quiet { busy, standstill };
    report::tell(&figures, &sections, &quiet, arguments.only.is_none())
}

fn measure(folder: &Path, arguments: &Arguments, program: &Path) -> Result<(Figures, Vec<String>)> {
    let mock = servers::mock(0, program)?;
    let mut figures = Figures::new();
    for case in CASES.iter().filter(|case| arguments.wants(case.name)) {
        println!("{}", case.name);
        let body = body(folder, case)?;
        for _ in 0..ROUNDS {
            for kind in Kind::ALL {
                if case.is_translated && !kind.is_tollgate() {
                    continue;
                }
                let running = Setup::of(kind, mock.address, folder, program).start()?;
                let figure = figures.entry(case.name.to_owned()).or_default();
                let figure = figure.entry(kind.as_str()).or_default();
                let _told = figure.measure(&running, &case.load(kind, &running, &body), SECONDS)?;
            }
        }
    }
    if arguments.wants("latency") {
        latencies(folder, &mock, &mut figures, program)?;
    }
    if arguments.wants("open streams") {
        open_streams(folder, &mut figures, program)?;
    }
    if arguments.wants(ALL_CORES) {
        all_cores(folder, &mut figures, program)?;
    }
    let mut sections = Vec::new();
    if arguments.wants("overload") {
        let told = overload::measure(folder, mock.address, program);
        sections.push(told_or_named("overload", told));
    }
    if arguments.wants("growth") {
        // What it leaves in its store is in nobody's way.
        let folder = folder.join("growth");
        fs::create_dir_all(&folder)?;
        let told = growth::measure(&folder, mock.address, program);
        sections.push(told_or_named("growth", told));
    }
    if arguments.wants_others() {
        let told = others::measure(folder, mock.address, program);
        sections.push(told_or_named("other gateways", told));
    }
    Ok((figures, sections))
}

/// A part of the report, or why it is missing: what was measured before is told all the same.
fn told_or_named(name: &str, told: Result<String>) -> String {
    told.unwrap_or_else(|error| format!("## {name}\n\nNot measured: {error:#}.\n"))
}

/// Has a program do what it is measured doing, but nothing is measured.
pub(crate) fn train(program: &Path) -> Result<()> {
    let folder = env::temp_dir().join(format!("tollgate-train-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mock = servers::mock(0, program)?;
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_tollgate()) {
        let running = Setup::of(kind, mock.address, &folder, program).start()?;
        for case in &CASES {
            let body = body(&folder, case)?;
            let _told = case.load(kind, &running, &body).run(SECONDS)?;
        }
    }
    // What is left behind is in the way of nobody.
    let _removed = fs::remove_dir_all(&folder);
    Ok(())
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
    for _ in 0..LATENCY_ROUNDS {
        for kind in Kind::ALL {
            let running = Setup::of(kind, mock.address, folder, program).start()?;
            let figure = figures.entry(name.clone()).or_default();
            let figure = figure.entry(kind.as_str()).or_default();
            let load = Load {
                rate: Some(rate),
                ..case.load(kind, &running, &body)
            };
            let _told = figure.measure(&running, &load, SECONDS)?;
        }
    }
    Ok(())
}

/// Load and mock are on the same cores, as there are no others.
const ALL_CORES: &str = "all cores, which load and mock share: chat 1 KB, 64 connections";

/// A worker for each core, all of them unpinned.
fn all_cores(folder: &Path, figures: &mut Figures, program: &Path) -> Result<()> {
    println!("{ALL_CORES}");
    let case = &CASES[0];
    let body = body(folder, case)?;
    let mock = servers::unpinned_mock(program)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..ROUNDS {
        for kind in [Kind::Nginx, Kind::Bare, Kind::Whole] {
            let running = Setup {
                workers: Some(cores),
                ..Setup::of(kind, mock.address, folder, program)
            }
            .start()?;
            let load = Load {
                unpinned: true,
                ..case.load(kind, &running, &body)
            };
            let figure = figures.entry(ALL_CORES.to_owned()).or_default();
            let figure = figure.entry(kind.as_str()).or_default();
            let _told = figure.measure(&running, &load, SECONDS)?;
        }
    }
    Ok(())
}

/// Memory of streams that are open at once.
fn open_streams(folder: &Path, figures: &mut Figures, program: &Path) -> Result<()> {
    // A stream is two files for a proxy, and there are other files.
    let streams = OPEN_STREAMS.min(files_allowed().saturating_sub(1_000) / 2);
    let name = format!("{streams} open streams: kilobytes each");
    println!("{name}");
    let case = Case {
        events: Some(1_000),
        connections: usize::try_from(streams)?,
        ..case("", CHAT, 1 << 10, None, 0)
    };
    let body = body(folder, &case)?;
    for kind in Kind::ALL {
        let mock = servers::mock(1, program)?;
        let running = Setup::of(kind, mock.address, folder, program).start()?;
        let (idle, _) = running.used()?;
        let mut holding = case
            .load(kind, &running, &body)
            .command()?
            .args(["--hold", "60"])
            .stdout(std::process::Stdio::piped())
            .spawn()?;
        let mut told = String::new();
        let out = holding.stdout.take().context("no output")?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut told)?;
        let told: Value = serde_json::from_str(&told).unwrap_or_default();
        let (full, _) = running.used()?;
        sleep(OPEN_FOR);
        let (later, _) = running.used()?;
        holding.kill()?;
        holding.wait()?;
        let figure = figures.entry(name.clone()).or_default();
        let figure = figure.entry(kind.as_str()).or_default();
        let begun = told["begun"].as_u64();
        figure
            .a_second
            .push(quotient(full.saturating_sub(idle), begun));
        let each_later = quotient(later.saturating_sub(idle), begun);
        figure.each_later.push(each_later);
        figure.memory.push(super::megabytes(full));
        figure.failures = streams.saturating_sub(begun.unwrap_or_default());
    }
    Ok(())
}

/// Writes the body of a case's calls.
pub(super) fn body(folder: &Path, case: &Case) -> Result<PathBuf> {
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

/// Where the figures of the last run are.
pub(super) fn last_run() -> PathBuf {
    target().join("benchmarks.json")
}
