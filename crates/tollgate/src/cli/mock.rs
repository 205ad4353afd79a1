//! `tollgate mock`: a provider that makes its answers up, to load gateways and clients with.

use std::{net::SocketAddr, process::ExitCode, thread, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use tokio::runtime::Builder;
use tollgate_mock::Plan;

use super::output;
use crate::config;

/// How the mock answers.
#[derive(Debug, Args)]
#[command(after_help = "\
A call says for itself how it is answered: by its `max_tokens`, and by the headers
x-mock-latency-ms, x-mock-jitter-ms, x-mock-tokens, x-mock-rate and x-mock-status.")]
pub(super) struct Arguments {
    /// Where to listen.
    #[arg(short, long, default_value = "127.0.0.1:5100", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Before the first byte of an answer.
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = parse_time)]
    latency: Duration,
    /// Up to so much more, by chance.
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = parse_time)]
    jitter: Duration,
    /// Tokens of an answer, each an event of a stream.
    #[arg(long, default_value_t = 20)]
    tokens: usize,
    /// Events a second of a stream; 0 for as fast as they go.
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// The status of all answers.
    #[arg(long, default_value_t = 200)]
    status: u16,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn parse_time(text: &str) -> Result<Duration, String> {
    config::parse_duration(text).ok_or_else(|| "a time such as 50ms is wanted".to_owned())
}

/// Serves until it is stopped.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let plan = Plan {
        latency: arguments.latency,
        jitter: arguments.jitter,
        tokens: arguments.tokens,
        rate: arguments.rate,
        status: arguments.status,
    };
    let listeners = tollgate_mock::listeners(arguments.listen, arguments.threads)
        .with_context(|| format!("cannot listen at {}", arguments.listen))?;
    let address = listeners
        .first()
        .context("there is no thread")?
        .local_addr()?;
    output::remark(&format!(
        "A provider that makes its answers up, at http://{address}/v1 (OpenAI's chat and embeddings, Anthropic's messages).\n"
    ))?;
    let mut threads = Vec::new();
    for listener in listeners {
        threads.push(thread::spawn(move || -> Result<()> {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                Ok(tollgate_mock::serve(listener, plan).await?)
            })
        }));
    }
    for thread in threads {
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("the mock panicked"))??;
    }
    Ok(ExitCode::SUCCESS)
}
