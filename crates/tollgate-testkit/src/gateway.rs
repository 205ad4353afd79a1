//! The real program on a free port.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;
use tokio::{net::TcpSocket, time::sleep};

use crate::client::{self, Answer};

/// The real program on a free port. Killed when dropped.
#[derive(Debug)]
pub struct TestGateway {
    child: Child,
    program: PathBuf,
    environment: Vec<(String, String)>,
    address: SocketAddr,
    /// Nobody else gets the port while this is there: the program's listeners share it, and another program's would share it with them.
    _port: TcpSocket,
    folder: PathBuf,
    output: Arc<Mutex<String>>,
}

/// So that gateways of one test process do not share a folder.
static FOLDERS: AtomicU32 = AtomicU32::new(0);

impl TestGateway {
    /// Starts the program with a configuration, and waits until it is ready.
    pub async fn start(program: &Path, configuration: &str) -> Self {
        Self::start_with(program, configuration, &[]).await
    }

    /// The same, with environment variables. There are no others.
    pub async fn start_with(
        program: &Path,
        configuration: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let folder = std::env::temp_dir().join(format!(
            "tollgate-{}-{}",
            std::process::id(),
            FOLDERS.fetch_add(1, Ordering::Relaxed)
        ));
        fs::create_dir_all(&folder).expect("a folder can be made");
        let file = folder.join("tollgate.yaml");
        fs::write(&file, configuration).expect("the configuration can be written");
        let port = reserve_port();
        let address = port.local_addr().expect("it is bound");
        let output = Arc::<Mutex<String>>::default();
        let environment: Vec<(String, String)> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let gateway = Self {
            child: spawn(program, &file, address, &environment, &output),
            program: program.to_owned(),
            environment,
            address,
            _port: port,
            folder,
            output,
        };
        gateway.wait_until_ready().await
    }

    /// Kills the program without warning, and starts it again where it was.
    pub async fn kill_and_restart(mut self) -> Self {
        self.child.kill().expect("the program can be killed");
        self.child.wait().expect("it ends");
        self.child = spawn(
            &self.program,
            &self.configuration_file(),
            self.address,
            &self.environment,
            &self.output,
        );
        self.wait_until_ready().await
    }

    /// How a command of the program ends, and what it prints, with the same configuration.
    pub fn command_output(&self, arguments: &[&str]) -> Output {
        Command::new(&self.program)
            .args(arguments)
            .arg("--config")
            .arg(self.configuration_file())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("the program starts")
    }

    /// What a command of the program prints, with the same configuration.
    pub fn command(&self, arguments: &[&str]) -> String {
        let told = self.command_output(arguments);
        assert!(
            told.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&told.stderr)
        );
        String::from_utf8_lossy(&told.stdout).into_owned()
    }

    /// Where it keeps its files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    async fn wait_until_ready(mut self) -> Self {
        for _ in 0..1_000 {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the gateway ended with {status}:\n{}", self.output());
            }
            if client::get(self.address, "/readyz")
                .await
                .is_ok_and(|answer| answer.status == 200)
            {
                return self;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("the gateway is not ready:\n{}", self.output());
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file that it was started with.
    pub fn configuration_file(&self) -> PathBuf {
        self.folder.join("tollgate.yaml")
    }

    /// Writes another configuration into the file.
    pub fn write_configuration(&self, configuration: &str) {
        let next = self.folder.join("next.yaml");
        fs::write(&next, configuration).expect("the configuration can be written");
        fs::rename(next, self.configuration_file()).expect("the configuration can be replaced");
    }

    /// How often it has written to files and pipes, as the kernel counts (Linux's `/proc/PID/io`; what goes to sockets with `send` is not among it).
    pub fn writes(&self) -> u64 {
        let told = fs::read_to_string(format!("/proc/{}/io", self.child.id()));
        let told = told.expect("the kernel counts what a process writes");
        let count = told.lines().find_map(|line| line.strip_prefix("syscw: "));
        count
            .and_then(|count| count.parse().ok())
            .unwrap_or_default()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "the signal can be sent"
        );
    }

    /// Waits for the program's end, for ten seconds at most.
    pub async fn wait_for_end(&mut self) -> ExitStatus {
        for _ in 0..1_000 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("the gateway does not end:\n{}", self.output());
    }

    /// Everything that it has printed so far.
    pub fn output(&self) -> String {
        self.output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The lines of finished calls so far, in the order in which the calls came: workers write theirs apart.
    pub fn calls(&self) -> Vec<Value> {
        let lines = self.output();
        let lines = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut calls: Vec<Value> = lines.filter(|line| line["event"] == "call").collect();
        calls.sort_by(|one, other| one["timestamp"].as_str().cmp(&other["timestamp"].as_str()));
        calls
    }

    /// Waits until so many calls have been written to the log, for five seconds at most.
    pub async fn wait_for_calls(&self, count: usize) -> Vec<Value> {
        for _ in 0..500 {
            let calls = self.calls();
            if calls.len() >= count {
                return calls;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("there are not {count} calls in the log:\n{}", self.output());
    }

    /// Posts JSON and reads the whole answer.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, body, &[]).await
    }

    /// The same, with further headers.
    pub async fn post_with(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        client::post(self.address, path, headers, body.to_string().into_bytes())
            .await
            .expect("the gateway answers")
    }

    /// Gets a path.
    pub async fn get(&self, path: &str) -> Answer {
        client::get(self.address, path)
            .await
            .expect("the gateway answers")
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

/// A free port of loopback's, bound and not listened at.
fn reserve_port() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    socket.set_reuseport(true).expect("a port can be shared");
    socket
        .bind((Ipv4Addr::LOCALHOST, 0).into())
        .expect("loopback has a free port");
    socket
}

fn spawn(
    program: &Path,
    file: &Path,
    address: SocketAddr,
    environment: &[(String, String)],
    output: &Arc<Mutex<String>>,
) -> Child {
    let mut child = Command::new(program)
        .args(["serve", "--config"])
        .arg(file)
        .args(["--listen", &address.to_string()])
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    collect(child.stdout.take(), output);
    collect(child.stderr.take(), output);
    child
}

fn collect(pipe: Option<impl Read + Send + 'static>, output: &Arc<Mutex<String>>) {
    let (Some(pipe), output) = (pipe, Arc::clone(output)) else {
        return;
    };
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            output.push_str(&line);
            output.push('\n');
        }
    });
}
