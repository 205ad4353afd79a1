//! A private `PostgreSQL` on a free port, of the system's own package. `cargo xtask test` installs it.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// Where Debian keeps the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// `PostgreSQL` will not run as root; its package makes this user.
const USER: &str = "postgres";

/// Texts are compared as in English, and not as bytes, which nothing may take for granted. Servers that were built without ICU cannot do that.
const ENGLISH: [&str; 4] = [
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--locale-provider=icu",
    "--icu-locale=en-US",
];

/// A database server of a test's own. Stopped and removed when dropped.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
}

static FOLDERS: AtomicU32 = AtomicU32::new(0);

impl Postgres {
    /// Starts a server with an empty database.
    ///
    /// # Panics
    /// When the programs are not there, or the server does not start.
    pub fn start() -> Self {
        let programs = programs().expect("PostgreSQL is installed: `cargo xtask test` does that");
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("tollgate-postgres-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder can be made");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("loopback has a free port")
            .port();
        let server = Self {
            programs,
            folder,
            port,
        };
        if is_root() {
            run(Command::new("chown").arg(USER).arg(&server.folder));
        }
        if !server.make(&ENGLISH) {
            assert!(server.make(&[]), "a database can be made");
        }
        server.resume();
        server
    }

    /// Makes the empty database; says whether the server can do so with these options.
    fn make(&self, options: &[&str]) -> bool {
        let mut make = self.program("initdb");
        make.args(["--auth=trust", "--username=tollgate", "--no-sync"])
            .args(options)
            .arg("--pgdata")
            .arg(self.folder.join("data"));
        make.output().expect("the program starts").status.success()
    }

    /// Starts it again.
    pub fn resume(&self) {
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 -c fsync=off",
            self.port,
            self.folder.display()
        );
        run(self
            .program("pg_ctl")
            .args(["--wait", "--silent", "--options", &options, "--log"])
            .arg(self.folder.join("log"))
            .arg("--pgdata")
            .arg(self.folder.join("data"))
            .arg("start"));
    }

    /// Stops it at once, as if it had died.
    pub fn stop(&self) {
        let mut stop = self.program("pg_ctl");
        stop.args(["--wait", "--silent", "--mode=immediate", "--pgdata"])
            .arg(self.folder.join("data"))
            .arg("stop");
        let _stopped = stop.output();
    }

    /// Its address, for whoever connects.
    pub fn url(&self) -> String {
        format!("postgres://tollgate@127.0.0.1:{}/postgres", self.port)
    }

    /// What it answers to a statement, a line for each row.
    pub fn ask(&self, statement: &str) -> String {
        let told = self
            .program("psql")
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--command", statement, &self.url()])
            .output()
            .expect("the program starts");
        assert!(
            told.status.success(),
            "{statement}: {}",
            String::from_utf8_lossy(&told.stderr)
        );
        String::from_utf8_lossy(&told.stdout).trim().to_owned()
    }

    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("runuser");
        command.args(["-u", USER, "--"]).arg(program);
        command.current_dir(&self.folder);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

/// The folder of the programs, of the newest version that is installed; `None` where there is none.
pub fn programs() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|folder| folder.join("initdb").exists())
        .collect();
    versions.sort();
    let elsewhere = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"];
    let mut elsewhere = elsewhere.iter().map(|folder| Path::new(folder).to_owned());
    versions
        .pop()
        .or_else(|| elsewhere.find(|folder| folder.join("initdb").exists()))
}

fn is_root() -> bool {
    let told = Command::new("id").arg("-u").output();
    told.is_ok_and(|told| told.stdout.trim_ascii() == b"0")
}

fn run(command: &mut Command) {
    let told = command.output().expect("the program starts");
    assert!(
        told.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&told.stdout),
        String::from_utf8_lossy(&told.stderr)
    );
}
