//! Other AI gateways in front of the same mock, on the same core, with one worker: LiteLLM, MLflow's and Portkey. They are installed into
//! folders of their own; what cannot be installed, or does not start, is told with the reason and never left out in silence.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{
    measure::{Figure, Load},
    report::median,
    servers::{self, Kind, Running, SERVERS_CORE, Setup},
    side_by_side::{OTHERS_CASE, body},
};
use crate::project::{output, root, target};

/// They are slow, so rounds are longer; they start slowly, so rounds do not take turns.
const ROUNDS: usize = 3;
const SECONDS: f64 = 4.0;

/// How long they may take to start.
const PATIENCE: Duration = Duration::from_secs(120);

/// Another gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    LiteLlm,
    Mlflow,
    Portkey,
}

impl Other {
    const ALL: [Self; 3] = [Self::LiteLlm, Self::Mlflow, Self::Portkey];

    const fn as_str(self) -> &'static str {
        match self {
            Self::LiteLlm => "LiteLLM 1.108.7",
            Self::Mlflow => "MLflow AI gateway 3.17.2",
            Self::Portkey => "Portkey gateway 1.15.2",
        }
    }

    /// What is installed of it.
    const fn packages(self) -> &'static [&'static str] {
        match self {
            Self::LiteLlm => &["litellm[proxy]==1.108.7"],
            // It needs psutil and does not say so.
            Self::Mlflow => &["mlflow[genai]==3.17.2", "psutil==7.2.2"],
            Self::Portkey => &["@portkey-ai/gateway@1.15.2"],
        }
    }

    fn folder(self) -> PathBuf {
        let name = match self {
            Self::LiteLlm => "litellm",
            Self::Mlflow => "mlflow",
            Self::Portkey => "portkey",
        };
        target().join("others").join(name)
    }

    /// Installs it where this version is missing.
    fn install(self) -> Result<()> {
        let folder = self.folder();
        let mark = folder.join("installed");
        let wanted = self.packages().join(" ");
        if fs::read_to_string(&mark).is_ok_and(|there| there == wanted) {
            return Ok(());
        }
        println!("Installing {}, which takes minutes.", self.as_str());
        // Half of an installation is of no use.
        let _removed = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        if self == Self::Portkey {
            fs::write(folder.join("package.json"), PORTKEY_PACKAGE)?;
            let mut npm = Command::new("npm");
            npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts"]);
            let _told = output(npm.current_dir(&folder))?;
        } else {
            let _told = output(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
            let mut pip = Command::new(folder.join("bin/pip"));
            let _told = output(
                pip.args(["install", "--quiet", "--disable-pip-version-check"])
                    .args(self.packages()),
            )?;
        }
        fs::write(mark, wanted)?;
        Ok(())
    }

    /// Starts it in front of the mock.
    fn start(self, mock: SocketAddr, folder: &Path) -> Result<Running> {
        let address = servers::free_address()?;
        let bin = self.folder().join("bin");
        let mut command = self.command(mock, &address.port().to_string(), &bin, folder)?;
        // MLflow starts its workers by name.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(bin).chain(std::env::split_paths(&path));
        command
            .stderr(fs::File::create(folder.join("other.log"))?)
            .current_dir(folder)
            .env("PATH", std::env::join_paths(paths)?)
            .env("NODE_ENV", "production")
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .env("LITELLM_MODE", "PRODUCTION")
            .env("LITELLM_LOG", "ERROR")
            .env("MLFLOW_DISABLE_TELEMETRY", "true");
        let started = servers::started(command, address, address, PATIENCE);
        started.with_context(|| last_words(folder))
    }

    fn command(self, mock: SocketAddr, port: &str, bin: &Path, folder: &Path) -> Result<Command> {
        let here = ["--host", "127.0.0.1", "--port", port];
        Ok(match self {
            Self::LiteLlm => {
                let file = servers::write(folder, "litellm.yaml", &litellm(mock))?;
                let mut command = servers::pinned(SERVERS_CORE, &bin.join("litellm"));
                command.arg("--config").arg(file).args(here);
                command.args(["--num_workers", "1"]);
                command
            }
            Self::Mlflow => {
                let file = servers::write(folder, "mlflow.yaml", &mlflow(mock))?;
                let mut command = servers::pinned(SERVERS_CORE, &bin.join("mlflow"));
                command.args(["gateway", "start", "--config-path"]);
                command.arg(file).args(here).args(["--workers", "1"]);
                command
            }
            Self::Portkey => {
                // It listens at all addresses, whatever it is told.
                let script = "node_modules/@portkey-ai/gateway/build/start-server.js";
                let mut command = servers::pinned(SERVERS_CORE, Path::new("node"));
                command.arg(self.folder().join(script));
                command.args(["--headless", &format!("--port={port}")]);
                command
            }
        })
    }

    fn headers(self, mock: SocketAddr) -> Vec<String> {
        match self {
            Self::LiteLlm => vec![
                "--header".to_owned(),
                format!("authorization: Bearer {LITELLM_KEY}"),
            ],
            Self::Mlflow => Vec::new(),
            Self::Portkey => [
                "x-portkey-provider: openai".to_owned(),
                format!("x-portkey-custom-host: http://{mock}/v1"),
                "authorization: Bearer sk-mock".to_owned(),
            ]
            .into_iter()
            .flat_map(|header| ["--header".to_owned(), header])
            .collect(),
        }
    }
}

/// Installs all of them, so that it does not disturb what is measured; what goes wrong is heard when they are measured.
pub(super) fn install() {
    for other in Other::ALL {
        if let Err(error) = other.install() {
            println!("{} cannot be installed: {error:#}", other.as_str());
        }
    }
}

/// The section about them.
pub(super) fn measure(folder: &Path, mock: SocketAddr, program: &Path) -> Result<String> {
    println!("other gateways");
    let body = body(folder, &OTHERS_CASE)?;
    let running = Setup::of(Kind::Whole, mock, folder, program).start()?;
    let mut ours = Figure::default();
    let load = OTHERS_CASE.load(Kind::Whole, &running, &body);
    for _ in 0..ROUNDS {
        let _told = ours.measure(&running, &load, SECONDS)?;
    }
    drop(running);
    let mut text = HEAD.to_owned();
    row(&mut text, Kind::Whole.as_str(), &ours, &ours)?;
    let mut missing = String::new();
    for other in Other::ALL {
        println!("  {}", other.as_str());
        match one(other, folder, mock, &body) {
            Ok(figure) => row(&mut text, other.as_str(), &figure, &ours)?,
            Err(error) => {
                println!("  not measured: {error:#}");
                let reason = portable(&format!("{error:#}"));
                writeln!(
                    missing,
                    "\nNot measured: {}, because {reason}",
                    other.as_str()
                )?;
            }
        }
    }
    Ok(text + &missing)
}

const HEAD: &str = "## other gateways: chat 1 KB, 16 connections

One worker on the servers' core, without limits, books and logs of calls (LiteLLM has one key, as it does not start without); Tollgate has everything on. Memory is that of all their processes.

| | a second | p50 | p99 | core for each | memory | failed | tollgate makes |
|---|--:|--:|--:|--:|--:|--:|--:|
";

fn row(text: &mut String, name: &str, figure: &Figure, ours: &Figure) -> Result<()> {
    let rate = median(&figure.a_second);
    Ok(writeln!(
        text,
        "| {name} | {rate:.0} | {:.1} ms | {:.1} ms | {:.0} µs | {:.0} MB | {} | {:.1} times as many |",
        median(&figure.p50_us) / 1000.0,
        median(&figure.p99_us) / 1000.0,
        median(&figure.core_us),
        median(&figure.memory),
        figure.failures,
        median(&ours.a_second) / rate.max(0.1),
    )?)
}

fn one(other: Other, folder: &Path, mock: SocketAddr, body: &Path) -> Result<Figure> {
    other.install().context("it cannot be installed")?;
    let running = other.start(mock, folder).context("it does not start")?;
    let mut load = OTHERS_CASE.load(Kind::Bare, &running, body);
    load.more = other.headers(mock);
    answers(&load)
        .with_context(|| last_words(folder))
        .context("it does not answer")?;
    let mut figure = Figure::default();
    for _ in 0..ROUNDS {
        let _told = figure.measure(&running, &load, SECONDS)?;
    }
    Ok(figure)
}

/// Waits until it answers a call.
fn answers(load: &Load) -> Result<()> {
    let mut once = load.clone();
    once.connections = 1;
    once.more.extend(["--calls".to_owned(), "1".to_owned()]);
    let mut said = String::new();
    for _ in 0..PATIENCE.as_secs() {
        match once.run(10.0) {
            Ok(told) if told["calls"] == 1 => return Ok(()),
            Ok(told) => said = told["failure"].as_str().unwrap_or("refused").to_owned(),
            Err(error) => said = format!("{error:#}"),
        }
        sleep(Duration::from_secs(1));
    }
    ensure!(said.is_empty(), "{said}");
    Ok(())
}

/// One line, without where things are on this machine.
pub(super) fn portable(reason: &str) -> String {
    let places = [
        (target(), "target"),
        (root(), "."),
        (std::env::temp_dir(), "tmp"),
    ];
    let line = reason.replace('\n', " ");
    places.iter().fold(line, |line, (place, name)| {
        line.replace(&place.display().to_string(), name)
    })
}

/// The end of what it wrote, which mostly says why.
fn last_words(folder: &Path) -> String {
    let log = fs::read(folder.join("other.log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let mut lines: Vec<_> = log
        .lines()
        .rev()
        .filter(|line| !line.trim().is_empty())
        .take(3)
        .collect();
    lines.reverse();
    format!("its last words: {}", lines.join(" / "))
}

/// What a newer one of these brings does not go with it.
const PORTKEY_PACKAGE: &str = r#"{
  "private": true,
  "dependencies": {"@portkey-ai/gateway": "1.15.2"},
  "overrides": {"hono": "4.9.7", "@hono/node-server": "1.13.5", "@hono/node-ws": "1.2.0"}
}
"#;

/// It does not start without one.
const LITELLM_KEY: &str = "sk-bench-4f1c0a7e92d84b6fa3c5e8d7b6a59483c2d1e0f9";

fn litellm(mock: SocketAddr) -> String {
    format!(
        "model_list:
  - model_name: chat
    litellm_params: {{model: openai/mock, api_base: \"http://{mock}/v1\", api_key: sk-mock}}
router_settings: {{num_retries: 0}}
litellm_settings: {{telemetry: false, request_timeout: 60}}
general_settings: {{master_key: {LITELLM_KEY}}}
"
    )
}

fn mlflow(mock: SocketAddr) -> String {
    format!(
        "endpoints:
  - name: chat
    endpoint_type: llm/v1/chat
    model: {{provider: openai, name: mock, config: {{openai_api_key: sk-mock, openai_api_base: \"http://{mock}/v1\"}}}}
"
    )
}
