//! Who is measured side by side, each in front of the same mock, each on the same core.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use super::measure::files_allowed;
use crate::run::is_ready;

/// The core of what is measured, and that of the mock and the load.
pub(super) const SERVERS_CORE: &str = "0";
pub(super) const LOADS_CORE: &str = "1";

/// How long a program may take to listen.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A caller's key, and its hash.
pub(super) const KEY: &str = "tg_benchmark_0000000000000000000000000000000";
pub(super) const HASH: &str =
    "sha256:96139daa738a21bba9d1103e5f5f1e718323f77e59e1e5a1db39baf14feeee2e";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Nginx,
    Haproxy,
    /// Keys, limits, budgets, books and log off.
    Bare,
    /// And on.
    Whole,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Nginx, Self::Haproxy, Self::Bare, Self::Whole];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Bare => "tollgate, everything off",
            Self::Whole => "tollgate, everything on",
        }
    }

    pub(super) fn is_tollgate(self) -> bool {
        matches!(self, Self::Bare | Self::Whole)
    }

    /// The key that it wants.
    pub(super) fn key(self) -> Option<&'static str> {
        (self == Self::Whole).then_some(KEY)
    }

    /// Debian's package of it.
    fn package(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Nginx => Some(("/usr/sbin/nginx", "nginx-light")),
            Self::Haproxy => Some(("/usr/sbin/haproxy", "haproxy")),
            Self::Bare | Self::Whole => None,
        }
    }

    /// Installs it where it is missing.
    pub(super) fn install(self) -> Result<()> {
        let Some((program, package)) = self.package() else {
            return Ok(());
        };
        install(program, package)
    }
}

/// Installs one of Debian's packages where a program of it is missing.
pub(crate) fn install(program: &str, package: &str) -> Result<()> {
    if Path::new(program).exists() {
        return Ok(());
    }
    println!("Installing {package} with apt-get.");
    let done = Command::new("apt-get")
        .args(["install", "--yes", "--no-install-recommends", package])
        .status()
        .context("cannot run apt-get")?;
    ensure!(done.success(), "{package} could not be installed");
    Ok(())
}

/// A program that runs; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    pub(super) address: SocketAddr,
    /// Where streams are not held back.
    pub(super) streams: SocketAddr,
}

impl Running {
    /// Tells it to end, and waits for so long until it has.
    pub(super) fn end(mut self, patience: Duration) -> Result<()> {
        let _told = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        for _ in 0..patience.as_millis() / 20 {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            sleep(Duration::from_millis(20));
        }
        bail!("it does not end")
    }

    /// Kilobytes in memory, and microseconds of a core used, with those of all processes that it started.
    pub(super) fn used(&self) -> Result<(u64, u64)> {
        let mut processes = vec![self.child.id()];
        processes.extend(descendants(self.child.id()));
        let (mut memory, mut time) = (0, 0);
        for process in processes {
            // A process that just ended uses nothing.
            let Ok(resident) = super::resident_kilobytes(process) else {
                continue;
            };
            memory += resident;
            let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
            let behind = stat.rsplit_once(") ").context("no stat")?.1;
            let ticks: u64 = behind
                .split(' ')
                .skip(11)
                .take(2)
                .filter_map(|ticks| ticks.parse::<u64>().ok())
                .sum();
            // The kernel tells hundredths of a second.
            time += ticks * 10_000;
        }
        Ok((memory, time))
    }
}

impl Running {
    /// Waits until a gateway has entered all calls into its books; for nobody else, and no longer than a minute.
    pub(super) fn wait_for_books(&self) {
        for _ in 0..600 {
            let waiting = self.metric("tollgate_books_waiting_bytes");
            if waiting.is_none_or(|waiting| waiting == 0.0) {
                return;
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// A metric without labels, where it is told.
    fn metric(&self, name: &str) -> Option<f64> {
        let mut stream = std::net::TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let request = "GET /metrics HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).ok()?;
        let mut told = String::new();
        stream.read_to_string(&mut told).ok()?;
        let line = told.lines().find(|line| line.starts_with(name))?;
        line.split(' ').nth(1)?.trim().parse().ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // nginx and haproxy end their children when they are told to end; not everybody does.
        let children = descendants(self.child.id());
        if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        let _told = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        for _ in 0..250 {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                break;
            }
            sleep(Duration::from_millis(20));
        }
        let _killed = self.child.kill();
        let _ended = self.child.wait();
        for child in children {
            if Path::new(&format!("/proc/{child}")).exists() {
                let _killed = Command::new("kill")
                    .args(["-9", &child.to_string()])
                    .status();
            }
        }
    }
}

/// Processes that a process started, and those that they started.
fn descendants(process: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|id| id.parse().ok()) {
            found.push(child);
            found.extend(descendants(child));
        }
    }
    found
}

/// Starts the mock on the load's core.
pub(super) fn mock(rate: u32, program: &Path) -> Result<Running> {
    start_mock(pinned(LOADS_CORE, program), rate)
}

/// Starts the mock on any core.
pub(super) fn unpinned_mock(program: &Path) -> Result<Running> {
    start_mock(quiet(Command::new(program)), 0)
}

fn start_mock(mut command: Command, rate: u32) -> Result<Running> {
    let address = free_address()?;
    command.args([
        "mock",
        "--listen",
        &address.to_string(),
        "--rate",
        &rate.to_string(),
    ]);
    started(command, address, address, PATIENCE)
}

/// Who is measured, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup<'a> {
    pub(super) kind: Kind,
    pub(super) mock: SocketAddr,
    pub(super) folder: &'a Path,
    pub(super) program: &'a Path,
    /// Workers, on any core; one on its own core without.
    pub(super) workers: Option<usize>,
    /// How long it may take to listen.
    pub(super) patience: Duration,
    /// How late the gateway may be, where it is not as it comes.
    pub(super) late: Option<&'a str>,
}

impl<'a> Setup<'a> {
    pub(super) fn of(kind: Kind, mock: SocketAddr, folder: &'a Path, program: &'a Path) -> Self {
        Self {
            kind,
            mock,
            folder,
            program,
            workers: None,
            patience: PATIENCE,
            late: None,
        }
    }

    /// Starts it.
    pub(super) fn start(self) -> Result<Running> {
        let folder = self
            .folder
            .join(self.kind.as_str().replace([' ', ','], "-"));
        fs::create_dir_all(&folder)?;
        let (address, streams) = (free_address()?, free_address()?);
        match self.kind {
            Kind::Nginx => {
                let text = self.nginx(address, streams, &folder);
                let file = write(&folder, "nginx.conf", &text)?;
                let mut command = self.command(Path::new("/usr/sbin/nginx"));
                command.arg("-c").arg(file).arg("-p").arg(&folder);
                started(command, address, streams, self.patience)
            }
            Kind::Haproxy => {
                let file = write(&folder, "haproxy.cfg", &haproxy(address, self.mock))?;
                let mut command = self.command(Path::new("/usr/sbin/haproxy"));
                command.arg("-db").arg("-f").arg(file);
                started(command, address, address, self.patience)
            }
            Kind::Bare => gateway(
                self.command(self.program),
                &folder,
                &self.bare(),
                self.patience,
            ),
            Kind::Whole => gateway(
                self.command(self.program),
                &folder,
                &self.whole(),
                self.patience,
            ),
        }
    }

    fn command(&self, program: &Path) -> Command {
        if self.workers.is_none() {
            return pinned(SERVERS_CORE, program);
        }
        quiet(Command::new(program))
    }
}

/// Starts a gateway with a configuration.
pub(super) fn gateway(
    mut command: Command,
    folder: &Path,
    text: &str,
    patience: Duration,
) -> Result<Running> {
    let address = free_address()?;
    let file = write(folder, "tollgate.yaml", text)?;
    let log = File::create(folder.join("log"))?;
    command
        .args(["serve", "--listen", &address.to_string(), "--config"])
        .arg(file)
        .stdout(log);
    started(command, address, address, patience)
}

/// A program on a core of its own.
pub(super) fn pinned(core: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    quiet(command)
}

fn quiet(mut command: Command) -> Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Starts a program, and waits until it listens.
pub(super) fn started(
    mut command: Command,
    address: SocketAddr,
    streams: SocketAddr,
    patience: Duration,
) -> Result<Running> {
    let child = command
        .spawn()
        .context("cannot start it pinned to a core")?;
    let mut running = Running {
        child,
        address,
        streams,
    };
    for _ in 0..patience.as_millis() / 25 {
        if std::net::TcpStream::connect(address).is_ok() || is_ready(address) {
            return Ok(running);
        }
        if let Some(status) = running.child.try_wait()? {
            bail!("it ended with {status}");
        }
        sleep(Duration::from_millis(25));
    }
    bail!(
        "nothing listens at {address} after {} seconds",
        patience.as_secs()
    )
}

pub(super) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

pub(super) fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, text)?;
    Ok(file)
}

// === the configurations ===

impl Setup<'_> {
    /// A plain proxy with connections that stay open on both sides; whole answers buffered, streams not.
    fn nginx(&self, address: SocketAddr, streams: SocketAddr, folder: &Path) -> String {
        let (folder, mock, workers) = (folder.display(), self.mock, self.workers.unwrap_or(1));
        format!(
        "worker_processes {workers};
daemon off;
pid {folder}/pid;
error_log {folder}/error.log crit;

events {{ worker_connections 24000; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_max_body_size 64m;
  client_body_buffer_size 1m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream mock {{ server {mock}; keepalive 4096; keepalive_requests 100000000; }}
  proxy_http_version 1.1;
  proxy_set_header Connection \"\";
  proxy_buffers 16 64k;
  proxy_buffer_size 64k;
  server {{ listen {address} backlog=4096; location / {{ proxy_pass http://mock; }} }}
  server {{ listen {streams} backlog=4096; location / {{ proxy_buffering off; proxy_pass http://mock; }} }}
}}
"
    )
    }

    fn models(&self) -> String {
        let (mock, workers) = (self.mock, self.workers.unwrap_or(1));
        let late = self
            .late
            .map(|late| format!(", late: {late}"))
            .unwrap_or_default();
        format!(
            "providers:
  - {{name: mock, type: custom, base_url: \"http://{mock}/v1\"}}
routes:
  - {{name: chat, model: {{provider: mock, name: mock}}}}
  - {{name: vectors, route_type: llm/v1/embeddings, model: {{provider: mock, name: mock}}}}
  - {{name: plain, route_type: http, model: {{provider: mock}}}}
prices:
  - {{provider: mock, model: \"*\", input: 1, output: 2}}
server: {{workers: {workers}, limits: {{connections: 12000{late}}}}}
"
        )
    }

    fn bare(&self) -> String {
        format!(
            "{}store: {{url: none}}\nlog: {{calls: false}}\n",
            self.models()
        )
    }

    fn whole(&self) -> String {
        format!(
            "{}log: {{format: json}}
keys:
  - {{name: bench, team: bench, hash: \"{HASH}\"}}
limits:
  - {{name: requests, of: {{key: each}}, requests: 1000000000, per: hour}}
  - {{name: tokens, of: {{team: each, route: each}}, tokens: 1000000000000, per: day}}
budgets:
  - {{name: money, of: {{team: each}}, dollars: 1000000, per: month}}
",
            self.models()
        )
    }
}

fn haproxy(address: SocketAddr, mock: SocketAddr) -> String {
    // It does not start where it may not open two files for each.
    let connections = files_allowed().saturating_sub(500) / 2;
    format!(
        "global
  maxconn {connections}
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend in
  bind {address}
  default_backend mock
backend mock
  server mock {mock} maxconn {connections}
"
    )
}
