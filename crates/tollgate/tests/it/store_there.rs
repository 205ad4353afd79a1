//! A database that is there and cannot be used, and one that is not there yet: nobody is let in for want of keys.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::time::sleep;
use tollgate_testkit::{TestGateway, client, postgres::Postgres};

use crate::stage::program;

const CONFIGURATION: &str = "\
providers: [{name: openai, type: openai, base_url: \"http://127.0.0.1:1/v1\", api_key: sk}]
routes: [{name: chat, model: {provider: openai, name: gpt-4o-mini}}]
";

/// A new folder with a configuration.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tollgate-{}-{name}", std::process::id()));
    let _old = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder can be made");
    fs::write(folder.join("tollgate.yaml"), CONFIGURATION).expect("a file can be written");
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .arg("--config")
        .arg(folder.join("tollgate.yaml"))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What `serve` says where it ends by itself; `None` where it goes on serving.
async fn served(folder: &Path) -> Option<Output> {
    let mut child = command(folder, &["serve", "--listen", "127.0.0.1:0"])
        .spawn()
        .expect("the program starts");
    for _ in 0..100 {
        if child.try_wait().expect("it can be asked").is_some() {
            return Some(child.wait_with_output().expect("it has ended"));
        }
        sleep(Duration::from_millis(50)).await;
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    None
}

#[tokio::test]
async fn a_database_that_is_there_and_cannot_be_used_lets_nobody_in() {
    for (name, spoil) in [
        (
            "garbage",
            (|file: &Path| fs::write(file, "no database at all, but long enough".repeat(40)))
                as fn(&Path) -> std::io::Result<()>,
        ),
        ("directory", |file| {
            fs::remove_file(file)?;
            fs::create_dir(file)
        }),
        // The database is as it was, and what goes with it cannot be kept.
        ("no-journal", |file| {
            fs::write(file.with_extension("journal"), "")
        }),
    ] {
        let folder = folder(name);
        let made = command(&folder, &["key", "create", "--name", "somebody"]).output();
        assert!(made.expect("the program starts").status.success());
        spoil(&folder.join("tollgate.db")).expect("it can be spoiled");
        let ended = served(&folder).await.expect("it does not serve");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{name}: {told}");
        for word in ["tollgate.db", "keys", "restore", "move it away"] {
            assert!(told.contains(word), "{name}: {told}");
        }
        if name == "garbage" {
            assert!(told.contains("file is not a database"), "{told}");
            let listed = command(&folder, &["key", "list"]).output();
            let told = listed.expect("the program starts").stderr;
            let told = String::from_utf8_lossy(&told).into_owned();
            assert!(
                told.contains("tollgate.db") && told.contains("file is not a database"),
                "{told}"
            );
        }
        let _removed = fs::remove_dir_all(folder);
    }
}

#[tokio::test]
async fn where_there_is_no_database_and_none_can_be_kept_calls_go_on() {
    let folder = folder("nothing");
    fs::write(folder.join("tollgate.journal"), "").expect("a file can be written");
    assert!(served(&folder).await.is_none());
    assert!(!folder.join("tollgate.db").exists());
    // Unless something is to be administered, which is kept nowhere else.
    let configuration = format!("admin: {{listen: \"127.0.0.1:0\"}}\n{CONFIGURATION}");
    fs::write(folder.join("tollgate.yaml"), configuration).expect("a file can be written");
    let ended = served(&folder).await.expect("it does not serve");
    assert_eq!(ended.status.code(), Some(1));
    let _removed = fs::remove_dir_all(folder);
}

#[test]
fn what_it_makes_is_for_nobody_else_to_read() {
    let folder = folder("modes");
    let made = command(&folder, &["key", "create", "--name", "somebody"]).output();
    assert!(made.expect("the program starts").status.success());
    let mode = fs::metadata(folder.join("tollgate.db")).expect("it is there");
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    let _removed = fs::remove_dir_all(folder);
}

#[tokio::test]
async fn until_the_database_is_there_the_api_says_so() {
    let postgres = Postgres::start();
    postgres.stop();
    let admin = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("loopback has a free port");
    let configuration = format!(
        "store: {{url: \"{}\"}}\nadmin: {{listen: \"{admin}\"}}\n{CONFIGURATION}",
        postgres.url()
    );
    let gateway = TestGateway::start(program(), &configuration).await;
    let answer = client::get(admin, "/api/v1/me").await.expect("it answers");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["code"], "store_away");
    postgres.resume();
    let mut told = Value::Null;
    for _ in 0..200 {
        let answer = client::get(admin, "/api/v1/me").await.expect("it answers");
        told = answer.json();
        if answer.status == 401 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(told["code"], "unauthenticated", "{}", gateway.output());

    let owner = gateway.command(&["user", "create", "--name", "root"]);
    let authorization = format!("Bearer {}", owner.trim());
    let headers = [("authorization", authorization.as_str())];
    // PostgreSQL keeps no NUL, and does not fail.
    for path in ["teams/%00", "calls?key=%00", "teams?after=%00"] {
        let answer = client::get_with(admin, &format!("/api/v1/{path}"), &headers).await;
        let answer = answer.expect("it answers");
        assert_eq!(answer.status, 422, "{path}: {}", answer.text());
    }
    // It may go later, too.
    postgres.stop();
    let away = client::get_with(admin, "/api/v1/me", &headers).await;
    let away = away.expect("it answers");
    assert_eq!(away.status, 503, "{}", away.text());
    assert_eq!(away.header("retry-after"), "2");
    assert_eq!(away.json()["code"], "store_away", "{}", away.text());
}
