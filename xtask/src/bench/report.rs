//! What was measured, for people and for the next run.

use std::{fmt::Write as _, fs};

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    measure::{Figure, Quiet},
    servers::Kind,
    side_by_side::{Figures, last_run},
};
use crate::project::root;

const PAGE: &str = "docs/benchmarks.md";

/// From here on the page is written by hand, and stays when it is made anew.
const BY_HAND: &str = "## What stands in between";

const HEAD: &str = "# Benchmarks

Made by `cargo xtask bench`, which anybody can run; what is missing of it (nginx, haproxy, other gateways) it installs. Each is a reverse proxy in front of the same mock provider (`tollgate mock`), pinned to one
core with one worker; the mock and the load share another. Rounds take turns; figures are medians over the rounds, with the least and the most. nginx and haproxy pass bytes on; they know nothing of keys, models,
tokens or money. *Everything off* is no keys, limits, books and log; *everything on* is keys, two limits, a budget, prices, the books on SQLite, metrics, and a log line for each call.

The load is a closed loop but where it says so; an open loop counts latency from when a call was due. Times of a core are the kernel's, for the process that is measured: where calls a second times the core for each come to a
second, its core was full (with everything on, calls are entered into the books while nobody else wants the core: what that took after the load had ended is in the times of a core, and not in the calls a second); where they do not, the load was the narrow place, and those who are measured look more alike than they are. The program is the one that `cargo xtask ship` builds, where it is named (`--program`).

Where it says *all cores*, nothing is pinned and there is a worker for each core, but load and mock are on the same cores: it says how they get along, and little of what as many cores of one's own would do.

Wanted (1 KB, 64 connections): 0.7 of nginx with everything on and 0.9 with everything off; 0.8 for streams of 20 events; translated 0.7 of what passes through; 12 KB for an open stream.

Instructions for each call, which repeat where times do not, are counted by `cargo xtask bench --instructions` into `docs/instructions.json`.
";

/// Prints the figures, compares them with those of the last run, and writes the page where all was measured.
pub(super) fn tell(
    figures: &Figures,
    sections: &[String],
    quiet: &Quiet,
    is_whole: bool,
) -> Result<()> {
    let last: Value = fs::read(last_run())
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let mut page = HEAD.to_owned();
    writeln!(
        page,
        "\n{}; {:.0} % of it were busy before the run, and its cores stood still for {:.1} ms of each second of work, in pieces of 0.2 ms and more, which no p99 is without.\n",
        machine(),
        quiet.busy * 100.0,
        quiet.standstill.as_secs_f64() * 1000.0
    )?;
    for (case, by) in figures {
        writeln!(page, "## {case}\n")?;
        let is_memory = case.contains("open streams");
        let base = by
            .get(Kind::Nginx.as_str())
            .map(|figure| median(&figure.a_second));
        if is_memory {
            writeln!(
                page,
                "| | KB each, when all have begun | MB in all | KB each, five seconds later | not begun |\n|---|--:|--:|--:|--:|"
            )?;
        } else {
            writeln!(
                page,
                "| | a second | against nginx | p50 | p99 | core for each | memory | failed |\n|---|--:|--:|--:|--:|--:|--:|--:|"
            )?;
        }
        for kind in Kind::ALL {
            let Some(figure) = by.get(kind.as_str()) else {
                continue;
            };
            if is_memory {
                writeln!(
                    page,
                    "| {} | {:.1} | {:.0} | {:.1} | {} |",
                    kind.as_str(),
                    median(&figure.a_second),
                    median(&figure.memory),
                    median(&figure.each_later),
                    figure.failures
                )?;
            } else {
                writeln!(page, "{}", row(kind, figure, base))?;
            }
            compare(case, kind, figure, &last);
        }
        page.push('\n');
    }
    for section in sections {
        writeln!(page, "{}\n", section.trim_end())?;
    }
    println!("{page}");
    if is_whole {
        let before = fs::read_to_string(root().join(PAGE)).unwrap_or_default();
        let by_hand = before.find(BY_HAND).and_then(|at| before.get(at..));
        let page = format!("{}\n\n{}", page.trim_end(), by_hand.unwrap_or(BY_HAND));
        fs::write(root().join(PAGE), page.trim_end().to_owned() + "\n")?;
        fs::write(last_run(), as_json(figures).to_string())?;
        println!("Written into {PAGE}.");
    }
    Ok(())
}

fn row(kind: Kind, figure: &Figure, base: Option<f64>) -> String {
    let rate = median(&figure.a_second);
    let ratio = base.map_or_else(String::new, |base| format!("{:.2}", rate / base));
    format!(
        "| {} | {:.0} ({:.0}–{:.0}) | {ratio} | {:.0} µs | {:.0} µs | {:.1} µs | {:.0} MB | {} |",
        kind.as_str(),
        rate,
        least(&figure.a_second),
        most(&figure.a_second),
        median(&figure.p50_us),
        median(&figure.p99_us),
        median(&figure.core_us),
        median(&figure.memory),
        figure.failures
    )
}

/// Says where a figure is a tenth worse than in the last run.
fn compare(case: &str, kind: Kind, figure: &Figure, last: &Value) {
    let before = last[case][kind.as_str()].as_f64();
    let now = median(&figure.a_second);
    if let Some(before) = before
        && !case.contains("open streams")
        && now < before * 0.9
    {
        println!(
            "{case}, {}: {now:.0} a second, {before:.0} the last time",
            kind.as_str()
        );
    }
}

fn as_json(figures: &Figures) -> Value {
    let mut told = json!({});
    for (case, by) in figures {
        for (kind, figure) in by {
            told[case.as_str()][*kind] = json!(median(&figure.a_second));
        }
    }
    told
}

/// The processor and how many cores there are.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = name.map_or("an unknown processor", |name| {
        name.trim_start_matches([':', '\t', ' '])
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("Measured on {cores} cores of {name}")
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The middle one.
pub(super) fn median(values: &[f64]) -> f64 {
    sorted(values)
        .get(values.len() / 2)
        .copied()
        .unwrap_or_default()
}

fn least(values: &[f64]) -> f64 {
    sorted(values).first().copied().unwrap_or_default()
}

fn most(values: &[f64]) -> f64 {
    sorted(values).last().copied().unwrap_or_default()
}
