//! A gateway that is asked for twice what it can do: how many calls it answers, how many it refuses, how long those take that it answers,
//! and how it is in the second after.

use std::{fmt::Write as _, path::Path, process::Child};

use anyhow::Result;
use serde_json::Value;

use super::{
    measure::Load,
    servers::{Kind, SERVERS_CORE, Setup, pinned},
    side_by_side::{CASES, body},
};

/// How long it is measured what it can do, and asked for too much.
const CAPACITY_SECONDS: f64 = 3.0;
const SECONDS: f64 = 5.0;

/// So many callers do not wait for each other.
const CONNECTIONS: usize = 2_000;

/// `server.limits.late`: as it comes, and where callers are to wait for less; and whether somebody else works on the gateway's core all the time. Who shares
/// a core with the load and the mock alone is hardly asked for more than he can do: they are in each other's way first.
const HARDSHIPS: [(Option<&str>, bool); 3] = [(None, false), (None, true), (Some("20ms"), true)];

/// Somebody who works on the gateway's core.
struct Other(Child);

impl Other {
    fn start() -> Result<Self> {
        let mut command = pinned(SERVERS_CORE, Path::new("sh"));
        Ok(Self(command.args(["-c", "while :; do :; done"]).spawn()?))
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// The section about it.
pub(super) fn measure(folder: &Path, mock: std::net::SocketAddr, program: &Path) -> Result<String> {
    println!("overload");
    let case = &CASES[0];
    let body = body(folder, case)?;
    let mut text = HEAD.to_owned();
    for (late, is_shared) in HARDSHIPS {
        let _other = is_shared.then(Other::start).transpose()?;
        let running = Setup {
            late,
            ..Setup::of(Kind::Whole, mock, folder, program)
        }
        .start()?;
        let closed = case.load(Kind::Whole, &running, &body);
        let able = number(&closed.run(CAPACITY_SECONDS)?, "a_second");
        let open = Load {
            connections: CONNECTIONS,
            rate: Some(able * 2.0),
            more: vec!["--then".to_owned(), (able / 2.0).to_string()],
            ..closed
        };
        let told = open.run(SECONDS)?;
        let late = late.unwrap_or("as it comes (1 s)");
        let core = if is_shared { "shared" } else { "its own" };
        let how = format!("{core} | {late}");
        row(&mut text, &how, "twice that", able * 2.0, &told, SECONDS)?;
        row(
            &mut text,
            &how,
            "half, the second after",
            able / 2.0,
            &told["then"],
            1.0,
        )?;
    }
    Ok(text)
}

const HEAD: &str = "## overload: twice what tollgate can do (1 KB chat, everything on, 2,000 connections, open loop)

What it can do is what it did in a closed loop of 64 connections just before; 2,000 that are all in use make calls dearer for everybody, as the table of so many connections shows. Latencies are of those that were answered, from when they were due. Not asked are those for
which none of the connections was free within 50 ms: callers beyond 2,000 at once. Where `late` is not reached, callers wait, and nobody is refused. Load and mock are on one core, which holds
the load up before the gateway; so it is measured once more while somebody else works on the gateway's core all the time.

| core | `late` | asked for | a second | answered a second | refused (503) a second | not asked a second | failed | p50 | p99 |
|---|---|---|--:|--:|--:|--:|--:|--:|--:|
";

fn number(told: &Value, name: &str) -> f64 {
    told[name].as_f64().unwrap_or_default()
}

fn row(
    text: &mut String,
    how: &str,
    what: &str,
    asked: f64,
    told: &Value,
    seconds: f64,
) -> Result<()> {
    Ok(writeln!(
        text,
        "| {how} | {what} | {asked:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} ms | {:.1} ms |",
        number(told, "a_second"),
        number(told, "refused") / seconds,
        number(told, "left") / seconds,
        number(told, "failures"),
        number(told, "p50_us") / 1000.0,
        number(told, "p99_us") / 1000.0,
    )?)
}
