//! `cargo xtask run`: builds the gateway, starts it, and says how to call it.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::project::{command, run as run_command, target};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The configuration file; without one, the built-in demo answers, with no key and no network.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to listen at.
    #[arg(long, default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    println!("Building (the first time takes some minutes; later ones seconds).");
    run_command(&mut command("cargo", &["build", "--package", "tollgate"]))?;
    let mut serve = command(
        target().join("debug/tollgate"),
        &["serve", "--listen", &arguments.listen.to_string()],
    );
    if let Some(config) = &arguments.config {
        serve.arg("--config").arg(
            config
                .canonicalize()
                .with_context(|| format!("cannot find {}", config.display()))?,
        );
    }
    let mut gateway = serve
        .stdin(Stdio::null())
        .spawn()
        .context("cannot start the gateway")?;
    wait_until_ready(arguments.listen, &mut gateway)?;
    let url = format!("http://{}", arguments.listen);
    println!("\nTollgate answers at {url}. Stop it with Ctrl-C.\n");
    if arguments.config.is_none() {
        println!(
            "  curl -N {url}/v1/chat/completions -H 'content-type: application/json' \\\n    -d '{{\"model\": \"demo\", \"stream\": true, \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'\n"
        );
        println!(
            "  curl {url}/v1/messages -H 'content-type: application/json' \\\n    -d '{{\"model\": \"demo\", \"max_tokens\": 100, \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'\n"
        );
    }
    // Ctrl-C reaches the gateway too, which drains and ends.
    let status = gateway.wait()?;
    if !status.success() {
        bail!("the gateway ended with {status}");
    }
    Ok(())
}

/// Waits until the gateway says that it is ready, or ends.
pub(crate) fn wait_until_ready(address: SocketAddr, gateway: &mut Child) -> Result<()> {
    for _ in 0..1_000 {
        if let Some(status) = gateway.try_wait()? {
            bail!("the gateway ended with {status} before it was ready");
        }
        if is_ready(address) {
            return Ok(());
        }
        sleep(Duration::from_millis(10));
    }
    bail!("the gateway is not ready after ten seconds")
}

/// Whether `GET /readyz` answers 200.
pub(crate) fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        match stream.read_exact(&mut head) {
            Ok(()) => Ok(head.ends_with(b" 200")),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    };
    ask().unwrap_or(false)
}
