//! Who is measured side by side, each in front of the same mock, each on the same core.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::run::is_ready;

/// The core of what is measured, and that of the mock and the load.
pub(super) const SERVERS_CORE: &str = "0";
pub(super) const LOADS_CORE: &str = "1";

/// A caller's key, and its hash.
const KEY: &str = "tg_benchmark_0000000000000000000000000000000";
const HASH: &str = "sha256:96139daa738a21bba9d1103e5f5f1e718323f77e59e1e5a1db39baf14feeee2e";

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
    /// Kilobytes in memory, and microseconds of a core used, with those of its own children.
    pub(super) fn used(&self) -> Result<(u64, u64)> {
        let mut processes = vec![self.child.id()];
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = fs::read_to_string(children).unwrap_or_default();
        processes.extend(
            children
                .split_whitespace()
                .filter_map(|id| id.parse::<u32>().ok()),
        );
        let (mut memory, mut time) = (0, 0);
        for process in processes {
            memory += super::resident_kilobytes(process)?;
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

impl Drop for Running {
    fn drop(&mut self) {
        // nginx and haproxy end their children when they are told to end.
        let _told = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        for _ in 0..250 {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Starts the mock on the load's core.
pub(super) fn mock(rate: u32, program: &Path) -> Result<Running> {
    let address = free_address()?;
    let mut command = pinned(LOADS_CORE, program);
    command.args([
        "mock",
        "--listen",
        &address.to_string(),
        "--rate",
        &rate.to_string(),
    ]);
    started(command, address, address)
}

/// Starts one of those who are measured.
pub(super) fn start(
    kind: Kind,
    mock: SocketAddr,
    folder: &Path,
    program: &Path,
) -> Result<Running> {
    let folder = folder.join(kind.as_str().replace([' ', ','], "-"));
    fs::create_dir_all(&folder)?;
    let (address, streams) = (free_address()?, free_address()?);
    match kind {
        Kind::Nginx => {
            let file = write(
                &folder,
                "nginx.conf",
                &nginx(address, streams, mock, &folder),
            )?;
            let mut command = pinned(SERVERS_CORE, Path::new("/usr/sbin/nginx"));
            command.arg("-c").arg(file).arg("-p").arg(&folder);
            started(command, address, streams)
        }
        Kind::Haproxy => {
            let file = write(&folder, "haproxy.cfg", &haproxy(address, mock))?;
            let mut command = pinned(SERVERS_CORE, Path::new("/usr/sbin/haproxy"));
            command.arg("-db").arg("-f").arg(file);
            started(command, address, address)
        }
        Kind::Bare | Kind::Whole => {
            let text = if kind == Kind::Bare {
                bare(mock)
            } else {
                whole(mock)
            };
            let file = write(&folder, "tollgate.yaml", &text)?;
            let log = File::create(folder.join("log"))?;
            let mut command = pinned(SERVERS_CORE, program);
            command
                .args(["serve", "--listen", &address.to_string(), "--config"])
                .arg(file)
                .stdout(log);
            started(command, address, address)
        }
    }
}

fn pinned(core: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn started(mut command: Command, address: SocketAddr, streams: SocketAddr) -> Result<Running> {
    let child = command
        .spawn()
        .context("cannot start it pinned to a core")?;
    let mut running = Running {
        child,
        address,
        streams,
    };
    for _ in 0..200 {
        if std::net::TcpStream::connect(address).is_ok() || is_ready(address) {
            return Ok(running);
        }
        if let Some(status) = running.child.try_wait()? {
            bail!("{command:?} ended with {status}");
        }
        sleep(Duration::from_millis(25));
    }
    bail!("{command:?} does not listen at {address}")
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, text)?;
    Ok(file)
}

/// A plain proxy with connections that stay open on both sides; whole answers buffered, streams not.
fn nginx(address: SocketAddr, streams: SocketAddr, mock: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "worker_processes 1;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log crit;

events {{ worker_connections 18000; }}
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
  upstream mock {{ server {mock}; keepalive 1024; keepalive_requests 100000000; }}
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

fn haproxy(address: SocketAddr, mock: SocketAddr) -> String {
    format!(
        "global
  maxconn 9000
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
  server mock {mock} maxconn 9000
"
    )
}

fn models(mock: SocketAddr) -> String {
    format!(
        "providers:
  - {{name: mock, type: custom, base_url: \"http://{mock}/v1\"}}
routes:
  - {{name: chat, model: {{provider: mock, name: mock}}}}
  - {{name: vectors, route_type: llm/v1/embeddings, model: {{provider: mock, name: mock}}}}
prices:
  - {{provider: mock, model: \"*\", input: 1, output: 2}}
server: {{workers: 1, limits: {{connections: 9000}}}}
"
    )
}

fn bare(mock: SocketAddr) -> String {
    format!(
        "{}store: {{url: none}}\nlog: {{calls: false}}\n",
        models(mock)
    )
}

fn whole(mock: SocketAddr) -> String {
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
        models(mock)
    )
}
