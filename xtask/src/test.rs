//! `cargo xtask test`: installs what the tests need, saying what and how, and runs all of them. `cargo xtask traffic`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use tollgate_testkit::{postgres, redis, traffic::Counts};

use crate::{
    docs,
    project::{command, output, root, run, succeeds, target},
};

/// Python that the official clients need at least.
const PYTHON_MINOR_MIN: u32 = 9;

/// Node.js that the official clients need at least.
const NODE_MAJOR_MIN: u32 = 18;

#[derive(Debug, Args)]
pub(crate) struct TrafficArguments {
    /// A folder of recorded calls (`*.jsonl`); without it `../shared/traffic`, where there is one, and else the recordings that
    /// come with the project.
    folder: Option<PathBuf>,
    /// Only recordings whose id, provider or endpoint contain this.
    #[arg(long)]
    filter: Option<String>,
}

pub(crate) fn test() -> Result<()> {
    postgres()?;
    redis()?;
    run(&mut command(
        "cargo",
        &["build", "--workspace", "--all-targets", "--locked"],
    ))?;
    if succeeds(&mut command("cargo", &["nextest", "--version"])) {
        run(&mut command(
            "cargo",
            &[
                "nextest",
                "run",
                "--workspace",
                "--locked",
                "--no-fail-fast",
            ],
        ))?;
        run(&mut command(
            "cargo",
            &["test", "--workspace", "--doc", "--locked"],
        ))?;
    } else {
        run(&mut command(
            "cargo",
            &["test", "--workspace", "--locked", "--no-fail-fast"],
        ))?;
    }
    print(&replay(None, None, None)?)?;
    python_clients()?;
    node_clients()
}

/// `PostgreSQL`, of which tests start private servers.
fn postgres() -> Result<()> {
    if postgres::programs().is_some() {
        return Ok(());
    }
    let install = ["install", "--yes", "--no-install-recommends", "postgresql"];
    let told = output(&mut command("id", &["-u"]))?;
    if told.trim() != "0" {
        bail!(
            "PostgreSQL is missing: install it (on Debian: `apt-get {}`)",
            install.join(" ")
        );
    }
    println!("PostgreSQL is missing: installing Debian's package `postgresql`.");
    run(command("apt-get", &install).env("DEBIAN_FRONTEND", "noninteractive"))
        .context("on a fresh machine, `apt-get update` may have to come first")
}

/// Redis, of which tests start private servers.
fn redis() -> Result<()> {
    if redis::program().is_some() {
        return Ok(());
    }
    let install = [
        "install",
        "--yes",
        "--no-install-recommends",
        "redis-server",
    ];
    let told = output(&mut command("id", &["-u"]))?;
    if told.trim() != "0" {
        bail!(
            "Redis is missing: install it (on Debian: `apt-get {}`)",
            install.join(" ")
        );
    }
    println!("Redis is missing: installing Debian's package `redis-server`.");
    run(command("apt-get", &install).env("DEBIAN_FRONTEND", "noninteractive"))
        .context("on a fresh machine, `apt-get update` may have to come first")
}

/// Runs the tests that take minutes.
pub(crate) fn soak() -> Result<()> {
    postgres()?;
    redis()?;
    run(&mut command(
        "cargo",
        &[
            "test",
            "--package",
            "tollgate",
            "--test",
            "it",
            "--",
            "--ignored",
            "--nocapture",
        ],
    ))
}

/// Replays recorded traffic, and prints the counts.
pub(crate) fn traffic(arguments: &TrafficArguments) -> Result<()> {
    print(&replay_chosen(arguments)?)
}

fn print(counts: &Counts) -> Result<()> {
    println!("{counts}");
    nothing_failed(counts)
}

fn nothing_failed(counts: &Counts) -> Result<()> {
    if counts.failed() > 0 {
        bail!("{} replays failed", counts.failed());
    }
    Ok(())
}

/// Replays recorded traffic, and writes the counts into the documentation.
pub(crate) fn docs(arguments: &TrafficArguments) -> Result<()> {
    let counts = replay_chosen(arguments)?;
    docs::write(&counts.to_string())?;
    nothing_failed(&counts)
}

/// Replays recorded traffic, and checks what the gateway says against the providers' published schemas, which are beside it.
pub(crate) fn specs(arguments: &TrafficArguments) -> Result<()> {
    let Some(folder) = chosen(arguments)? else {
        bail!("name a folder of recorded calls with schemas in its folder `specs`");
    };
    let schemas = folder.join("specs");
    if !schemas.is_dir() {
        bail!("there are no schemas: {} is missing", schemas.display());
    }
    let python = python_environment()?;
    let exchanges = target().join("exchanges.jsonl");
    print(&replay(
        Some(&folder),
        arguments.filter.as_deref(),
        Some(&exchanges),
    )?)?;
    println!("Checking {}; this takes some minutes.", exchanges.display());
    run(command(&python, &["xtask/specs.py"])
        .arg(&exchanges)
        .arg(&schemas))
}

fn replay_chosen(arguments: &TrafficArguments) -> Result<Counts> {
    replay(
        chosen(arguments)?.as_deref(),
        arguments.filter.as_deref(),
        None,
    )
}

/// The folder that was named, or the usual one.
fn chosen(arguments: &TrafficArguments) -> Result<Option<PathBuf>> {
    let folder = match &arguments.folder {
        Some(folder) => Some(
            folder
                .canonicalize()
                .with_context(|| format!("cannot find {}", folder.display()))?,
        ),
        None => root().join("../shared/traffic").canonicalize().ok(),
    };
    Ok(folder)
}

/// Replays the recordings of a folder, or those that come with the project.
fn replay(folder: Option<&Path>, filter: Option<&str>, exchanges: Option<&Path>) -> Result<Counts> {
    run(&mut command("cargo", &["build", "--package", "tollgate"]))?;
    match folder {
        Some(folder) => println!("Replaying {}.", folder.display()),
        None => println!("Replaying the recordings that come with the project."),
    }
    tollgate_testkit::traffic::replay(&program(), folder, filter, exchanges)
}

fn program() -> PathBuf {
    target().join("debug/tollgate")
}

/// The official Python clients.
fn python_clients() -> Result<()> {
    let python = python_environment()?;
    run(
        command(&python, &["-m", "pytest", "--quiet", "clients/python"])
            .env("TOLLGATE_BIN", program()),
    )
}

/// A virtual environment with what the clients and checks in Python need; its interpreter.
fn python_environment() -> Result<PathBuf> {
    let folder = root().join("clients/python");
    let environment = root().join("clients/.venv");
    let python = environment.join("bin/python");
    if !python.exists() {
        let system = system_python()?;
        println!(
            "The Python clients need a virtual environment: making {} with {system}.",
            environment.display()
        );
        run(command(&system, &["-m", "venv"]).arg(&environment))
            .context("on Debian, `apt-get install python3-venv` may be missing")?;
    }
    let requirements = folder.join("requirements.txt");
    install_once(&requirements, &environment, || {
        println!(
            "Installing the Python clients named in {}.",
            requirements.display()
        );
        run(command(
            &python,
            &[
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ],
        )
        .arg(&requirements))
    })?;
    // The generation before has the same name, and LlamaIndex wants another OpenAI client: they live apart.
    install_apart(&environment, "older", &["--no-deps"])?;
    install_apart(&environment, "llama-index", &[])?;
    Ok(python)
}

/// Installs what `requirements-NAME.txt` lists into a folder of its own within the environment.
fn install_apart(environment: &Path, name: &str, options: &[&str]) -> Result<()> {
    let requirements = root().join(format!("clients/python/requirements-{name}.txt"));
    let folder = environment.join(name);
    install_once(&requirements, &folder, || {
        println!(
            "Installing the Python clients named in {}.",
            requirements.display()
        );
        run(command(
            environment.join("bin/python"),
            &[
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                // What lives apart need not agree with the rest.
                "--no-warn-conflicts",
                "--upgrade",
            ],
        )
        .args(options)
        .arg("--target")
        .arg(&folder)
        .arg("--requirement")
        .arg(&requirements))
    })
}

/// The official Node.js clients.
fn node_clients() -> Result<()> {
    let folder = root().join("clients/node");
    let version = output(&mut command("node", &["--version"]))
        .context("Node.js is missing: install it (on Debian: `apt-get install nodejs npm`)")?;
    let major: u32 = version
        .trim()
        .trim_start_matches('v')
        .split('.')
        .next()
        .unwrap_or_default()
        .parse()
        .unwrap_or(0);
    if major < NODE_MAJOR_MIN {
        bail!(
            "Node.js {} is too old: {NODE_MAJOR_MIN} or later is needed",
            version.trim()
        );
    }
    install_once(
        &folder.join("package-lock.json"),
        &folder.join("node_modules"),
        || {
            println!("Installing the Node.js clients named in clients/node/package.json.");
            run(command("npm", &["ci", "--no-audit", "--no-fund"]).current_dir(&folder))
        },
    )?;
    run(command("node", &["--test"])
        .current_dir(&folder)
        .env("TOLLGATE_BIN", program()))
}

/// Installs unless the same list was installed before: a copy of it is kept beside what it lists.
fn install_once(list: &Path, installed: &Path, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let wanted =
        fs::read_to_string(list).with_context(|| format!("cannot read {}", list.display()))?;
    let stamp = installed.join(".installed");
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    install()?;
    Ok(fs::write(stamp, wanted)?)
}

fn system_python() -> Result<String> {
    for name in ["python3", "python"] {
        let Ok(version) = output(&mut command(
            name,
            &[
                "-c",
                "import sys; print(sys.version_info[1] if sys.version_info[0] == 3 else 0)",
            ],
        )) else {
            continue;
        };
        if version.trim().parse().unwrap_or(0) >= PYTHON_MINOR_MIN {
            return Ok(name.to_owned());
        }
    }
    bail!(
        "Python 3.{PYTHON_MINOR_MIN} or later is missing: install it (on Debian: `apt-get install python3 python3-venv`)"
    )
}
