//! A private Redis on a free port, of the system's own package. `cargo xtask test` installs it.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// Programs that speak its language, the first that is there is used.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// Looks whether it has started, and the pause between them: ten seconds in all.
const LOOKS_MAX: u32 = 1_000;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// A server of a test's own, which keeps nothing. Stopped when dropped.
#[derive(Debug)]
pub struct Redis {
    server: Option<Child>,
    port: u16,
}

impl Redis {
    /// Starts an empty one.
    ///
    /// # Panics
    /// When no program is there, or it does not start.
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("loopback has a free port")
            .port();
        let mut redis = Self { server: None, port };
        redis.resume();
        redis
    }

    /// Starts it again, empty.
    ///
    /// # Panics
    /// When it does not start.
    pub fn resume(&mut self) {
        let program = program().expect("Redis is installed: `cargo xtask test` does that");
        let port = self.port.to_string();
        let child = Command::new(program)
            .args([
                "--port",
                &port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        self.server = Some(child);
        for _ in 0..LOOKS_MAX {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            sleep(LOOK_AGAIN_AFTER);
        }
        panic!("Redis does not start");
    }

    /// Stops it at once; what it held is lost.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _killed = server.kill();
            let _ended = server.wait();
        }
    }

    /// Stops its work without ending it, as a machine does that is too busy.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    /// Has it close connections that were idle for so many seconds, as many an operator does.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn close_idle_after(&self, seconds: u32) {
        let told = TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut stream| {
            write!(stream, "CONFIG SET timeout {seconds}\r\n")?;
            let mut answer = [0; 3];
            stream.read_exact(&mut answer)?;
            Ok(answer)
        });
        assert_eq!(told.expect("it answers"), *b"+OK");
    }

    /// Its address, for whoever connects.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    fn signal(&self, signal: &str) {
        if let Some(server) = &self.server {
            let told = Command::new("kill")
                .args([signal, &server.id().to_string()])
                .status();
            assert!(told.is_ok_and(|status| status.success()));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.go_on();
        self.stop();
    }
}

/// The program's name; `None` where none is installed.
pub fn program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|program| {
        let told = Command::new(program).arg("--version").output();
        told.is_ok_and(|told| told.status.success())
    })
}
