//! `cargo xtask bench --instructions`: instructions that a call takes, counted by callgrind, which repeat where times do not. N calls and twice as
//! many are made, and what start and end take is no part of the difference.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    Arguments,
    measure::Load,
    servers::{self, Kind, Setup},
    side_by_side::{CASES, Case, body},
};
use crate::project::root;

const PAGE: &str = "docs/instructions.json";
const VALGRIND: &str = "/usr/bin/valgrind";

/// So many calls are made, and twice as many. Some are under way together, as the books then take several at a time, which is how it is under load.
const CALLS: u64 = 1_000;
const CONNECTIONS: usize = 16;
const RUNS: usize = 3;

/// It runs fifty times as slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is counted, by its name among the loads.
const COUNTED: [(&str, &str); 3] = [
    ("chat 1 KB", "chat 1 KB, 64 connections"),
    (
        "stream of 20 events",
        "streams of 20 events, 64 connections",
    ),
    (
        "translated from Anthropic's messages",
        "translated from Anthropic's messages, 64 connections",
    ),
];

/// A change that is more than that is told, in hundredths.
const CHANGE_TOLD: f64 = 2.0;

/// Counts, compares with the last count, and writes it down.
pub(super) fn count(arguments: &Arguments, program: &Path) -> Result<()> {
    servers::install(VALGRIND, "valgrind")?;
    let folder = env::temp_dir().join(format!("tollgate-count-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let page = root().join(PAGE);
    let last: Value = fs::read(&page)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let counted = counted(arguments, &folder, program);
    // What is left behind is in the way of nobody.
    let _removed = fs::remove_dir_all(&folder);
    let counted = counted?;
    compare(&counted, &last);
    if arguments.only.is_none() {
        fs::write(page, format!("{counted:#}\n"))?;
        println!("Written into {PAGE}.");
    }
    Ok(())
}

fn counted(arguments: &Arguments, folder: &Path, program: &Path) -> Result<Value> {
    let mut counted = json!({});
    for (name, case) in COUNTED
        .into_iter()
        .filter(|(name, _)| arguments.wants(name))
    {
        let case = CASES.iter().find(|known| known.name == case);
        let case = case.context("a load that is not there")?;
        for kind in Kind::ALL.into_iter().filter(|kind| kind.is_tollgate()) {
            let mut each = Vec::new();
            for _ in 0..RUNS {
                let once = run(kind, case, CALLS, folder, program)?;
                let twice = run(kind, case, CALLS * 2, folder, program)?;
                each.push(twice.saturating_sub(once) / CALLS);
            }
            each.sort_unstable();
            let (least, most) = (each[0], each[RUNS - 1]);
            let spread = super::measure::quotient((most - least) * 100, Some(each[RUNS / 2]));
            println!(
                "{name}, {}: {} instructions a call (spread {spread:.1} %)",
                kind.as_str(),
                each[RUNS / 2]
            );
            counted[name][kind.as_str()] = json!({
                "instructions": each[RUNS / 2], "least": least, "most": most,
            });
        }
    }
    Ok(counted)
}

/// The instructions of a whole life of the program with so many calls in it.
fn run(kind: Kind, case: &Case, calls: u64, folder: &Path, program: &Path) -> Result<u64> {
    let mock = servers::mock(0, program)?;
    let file = folder.join("callgrind.out");
    let script = valgrind(&file, folder, program)?;
    let running = Setup {
        patience: PATIENCE,
        ..Setup::of(kind, mock.address, folder, &script)
    }
    .start()?;
    let body = body(folder, case)?;
    let load = Load {
        connections: CONNECTIONS,
        more: vec!["--calls".to_owned(), calls.to_string()],
        ..case.load(kind, &running, &body)
    };
    let told = load.run(PATIENCE.as_secs_f64())?;
    ensure!(
        told["calls"].as_u64() == Some(calls),
        "not all calls were answered: {told}"
    );
    running.end(PATIENCE)?;
    let written = fs::read_to_string(&file)?;
    let total = written
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals: "));
    let total = total.context("callgrind wrote no total")?;
    Ok(total.trim().parse()?)
}

/// The program under callgrind, as a program of its own.
fn valgrind(out: &Path, folder: &Path, program: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let text = format!(
        "#!/bin/sh\nexec {VALGRIND} --quiet --tool=callgrind --callgrind-out-file='{}' '{}' \"$@\"\n",
        out.display(),
        fs::canonicalize(program)?.display()
    );
    let script = servers::write(folder, "callgrind.sh", &text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

/// Tells what has changed since the last count.
fn compare(counted: &Value, last: &Value) {
    for (name, _) in COUNTED {
        for kind in Kind::ALL {
            let count = |all: &Value| all[name][kind.as_str()]["instructions"].as_f64();
            let (Some(now), Some(before)) = (count(counted), count(last)) else {
                continue;
            };
            let change = (now / before - 1.0) * 100.0;
            if change.abs() > CHANGE_TOLD {
                println!(
                    "{name}, {}: {change:+.1} % ({before:.0} the last time)",
                    kind.as_str()
                );
            }
        }
    }
}
