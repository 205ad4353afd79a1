//! Whether calls cost more where there are many routes, keys and limits. Routes stand in the configuration file, which has at most 200,000
//! values; keys and limits are restored into the store, as a file could not hold a hundred thousand.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tollgate_domain::KeyHash;

use super::{
    measure::{Figure, Load},
    others::portable,
    report::median,
    servers::{self, HASH, KEY, Kind, SERVERS_CORE},
    side_by_side::{CASES, body},
};
use crate::project::{command, output};

const ROUNDS: usize = 3;
const SECONDS: f64 = 2.0;

/// How long it may take to start with so many.
const PATIENCE: Duration = Duration::from_secs(120);

/// The callers' keys; digits stand in place of the last eight.
const KEYS: &str = "tg_benchmark_00000000000000000000000########";

/// What there is much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Much {
    /// Asked in turn.
    Routes,
    /// Used in turn, each with a count of its own.
    Keys,
    /// Of other keys.
    Limits,
}

impl Much {
    const ALL: [Self; 3] = [Self::Routes, Self::Keys, Self::Limits];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Routes => "routes, asked in turn",
            Self::Keys => "keys, used in turn, each with its own count of a limit",
            Self::Limits => "limits that do not apply",
        }
    }

    const fn sizes(self) -> [u32; 3] {
        match self {
            Self::Routes => [10, 1_000, 20_000],
            Self::Keys | Self::Limits => [10, 1_000, 100_000],
        }
    }
}

/// The section about it.
pub(super) fn measure(folder: &Path, mock: SocketAddr, program: &Path) -> Result<String> {
    println!("growth");
    let folder = folder.join("growth");
    fs::create_dir_all(&folder)?;
    let mut text = HEAD.to_owned();
    for much in Much::ALL {
        let mut smallest = None;
        for size in much.sizes() {
            println!("  {size} {}", much.as_str());
            match one(much, size, mock, &folder, program) {
                Ok(grown) => {
                    row(&mut text, much, size, &grown, smallest.as_ref())?;
                    smallest.get_or_insert(grown);
                }
                Err(error) => {
                    let reason = portable(&format!("{error:#}"));
                    writeln!(text, "| {size} {}: {reason} | | | | | | | |", much.as_str())?;
                }
            }
        }
    }
    Ok(text)
}

const HEAD: &str = "## growth: chat 1 KB, 64 connections

With keys, a limit for each key and the books on SQLite, without a log line for each call. A configuration file has at most 200,000 values, which are some 20,000 routes; keys and limits are
in the store.

| | start | memory then | a second | of the fewest's | core for each | of the fewest's | failed |
|---|--:|--:|--:|--:|--:|--:|--:|
";

/// What a size came to.
#[derive(Debug)]
struct Grown {
    figure: Figure,
    start: Duration,
    memory: f64,
}

fn row(
    text: &mut String,
    much: Much,
    size: u32,
    grown: &Grown,
    smallest: Option<&Grown>,
) -> Result<()> {
    let (rate, core) = (
        median(&grown.figure.a_second),
        median(&grown.figure.core_us),
    );
    let of = |now: f64, before: fn(&Grown) -> f64| match smallest {
        Some(smallest) => format!("{:.2}", now / before(smallest)),
        None => "1.00".to_owned(),
    };
    Ok(writeln!(
        text,
        "| {size} {} | {:.0} ms | {:.0} MB | {rate:.0} | {} | {core:.1} µs | {} | {} |",
        much.as_str(),
        super::milliseconds(grown.start),
        grown.memory,
        of(rate, |smallest| median(&smallest.figure.a_second)),
        of(core, |smallest| median(&smallest.figure.core_us)),
        grown.figure.failures
    )?)
}

#[expect(
    clippy::disallowed_types,
    reason = "a measurement of real time, outside of any runtime"
)]
fn one(much: Much, size: u32, mock: SocketAddr, folder: &Path, program: &Path) -> Result<Grown> {
    let database = folder.join(format!("{much:?}-{size}.db"));
    let text = configuration(much, size, mock, &database)?;
    if much != Much::Routes {
        fill(
            much,
            size,
            &servers::write(folder, "fill.yaml", &text)?,
            folder,
            program,
        )?;
    }
    let began = std::time::Instant::now();
    let gateway = servers::pinned(SERVERS_CORE, program);
    let running = servers::gateway(gateway, folder, &text, PATIENCE)?;
    let start = began.elapsed();
    let memory = super::megabytes(running.used()?.0);
    let body = numbered_body(much, folder)?;
    let load = Load {
        key: Some(if much == Much::Keys { KEYS } else { KEY }),
        more: vec!["--numbers".to_owned(), size.to_string()],
        ..CASES[0].load(Kind::Whole, &running, &body)
    };
    let mut figure = Figure::default();
    for _ in 0..ROUNDS {
        let _told = figure.measure(&running, &load, SECONDS)?;
    }
    Ok(Grown {
        figure,
        start,
        memory,
    })
}

fn numbered_body(much: Much, folder: &Path) -> Result<PathBuf> {
    let file = body(folder, &CASES[0])?;
    if much == Much::Routes {
        let mut call: Value = serde_json::from_slice(&fs::read(&file)?)?;
        call["model"] = json!("chat-########");
        fs::write(&file, call.to_string())?;
    }
    Ok(file)
}

fn configuration(much: Much, size: u32, mock: SocketAddr, database: &Path) -> Result<String> {
    let mut text = format!(
        "providers:
  - {{name: mock, type: custom, base_url: \"http://{mock}/v1\"}}
store: {{url: \"sqlite:{}\"}}
log: {{calls: false}}
server: {{workers: 1}}
limits:
  - {{name: requests, of: {{key: each}}, requests: 1000000000, per: hour}}
",
        database.display()
    );
    if much != Much::Keys {
        writeln!(
            text,
            "keys:\n  - {{name: bench, team: bench, hash: \"{HASH}\"}}"
        )?;
    }
    writeln!(text, "routes:")?;
    if much != Much::Routes {
        writeln!(
            text,
            "  - {{name: chat, model: {{provider: mock, name: mock}}}}"
        )?;
        return Ok(text);
    }
    for number in 0..size {
        writeln!(
            text,
            "  - {{name: chat-{number:08}, model: {{provider: mock, name: mock}}}}"
        )?;
    }
    Ok(text)
}

/// Restores what a new store backs up, with as many rows more.
fn fill(much: Much, size: u32, file: &Path, folder: &Path, program: &Path) -> Result<()> {
    let empty = folder.join("empty.yaml");
    fs::write(
        &empty,
        fs::read_to_string(file)?.replace(".db\"", ".empty.db\""),
    )?;
    let ask = |what: &str, file: &Path| {
        let mut command = command(program, &[what, "--config"]);
        command.arg(file);
        command
    };
    let _told = output(&mut ask("migrate", &empty))?;
    let backup = output(ask("backup", &empty).arg("-"))?;
    let full = folder.join("full.backup");
    let mut text = Vec::new();
    for line in backup.lines() {
        let mut told: Value = serde_json::from_str(line)?;
        if let Some(rows) = told["rows"].as_u64() {
            told["rows"] = json!(rows + u64::from(size));
            // The last line vouches for all that stands before it.
            let hash = Sha256::digest(&text);
            told["sha256"] = json!(format!("{hash:x}"));
        }
        writeln!(text, "{told}")?;
        let table = match much {
            Much::Keys => "caller_keys",
            Much::Limits | Much::Routes => "objects",
        };
        if told["table"] == table {
            let columns = told["columns"]
                .as_array()
                .context("a table without columns")?;
            for number in 0..size {
                let row = filled(much, number);
                let row: Vec<_> = columns
                    .iter()
                    .map(|column| &row[column.as_str().unwrap_or_default()])
                    .collect();
                writeln!(text, "{}", json!(row))?;
            }
        }
    }
    fs::write(&full, text)?;
    let _told = output(ask("restore", file).arg(&full))?;
    Ok(())
}

/// A row, by its columns.
fn filled(much: Much, number: u32) -> Value {
    let number = format!("{number:08}");
    if much == Much::Keys {
        let key = KEYS.replace("########", &number);
        return json!({
            "id": format!("k{number}"), "name": format!("key-{number}"), "team": "bench", "organisation": "bench",
            "hash": KeyHash::of(&key).to_string(), "blocked": 0, "created_ms": 1, "version": 1,
        });
    }
    let name = format!("limit-{number}");
    let body = json!({"name": name, "of": {"key": format!("nobody-{number}")}, "requests": 10, "per": "hour"});
    json!({
        "id": name, "kind": "limit", "organisation": "bench", "team": "nobody", "name": name, "body": body.to_string(),
        "version": 1, "created_ms": 1, "changed_ms": 1,
    })
}
